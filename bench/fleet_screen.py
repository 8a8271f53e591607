"""Takes the picture of docs/fleet.md: fifty simulated appliances say how they are over a real broker to a real centre.

    python -m bench.fleet_screen

Real are the broker, the worker (`central run`), its store, the letters, `central fleet` and Debian's Chromium; the
appliances are those of bench/simulated_sites.py, which scan nothing: what their triage would say is made up here.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import HttpCredentials, sync_playwright

from appliance.core.bulletin import Bulletin, Day, Running, UpdatesStanding
from appliance.core.messages import Status, Waiting
from appliance.world.broker import die_with
from bench.load import held, model
from bench.simulated_sites import SCANNED_AS, Plan, PolicyEar, Site, run_for, sites_of
from tests.central.centre_samples import enrol, letter_up
from tests.faults.town import Town

CHROMIUM, WEBP_QUALITY = "/usr/bin/chromium-headless-shell", 70
PICTURE = Path(__file__).parents[1] / "docs" / "screens" / "fleet.webp"
WHOLE = Path("build/screenshots/fleet-50-sending.png")
APPLIANCES, SECONDS, LOOK_AT_S = 50, 60.0, 50.0
BYTES_MAX = 150 * 1024
DAY_S = 86_400
NEWER, OLDER = "edge-diagnostic-appliance/0.2.0", "edge-diagnostic-appliance/0.1.0"
# What stands at some of them, so that somebody has to be looked after.
ALARMS: dict[int, dict[str, Any]] = {
    7: {"disk-low": "alarm", "scanner-silent": "warning"},
    19: {"model-fell-back": "warning"},
    33: {"updates-stale": "warning"},
}


@dataclass
class Saying(Site):
    """An appliance whose statuses bear a bulletin, but for the last five, which run the edition of before."""

    def _say(self, at: float) -> None:
        waiting = [each for each in self.by_case.values() if each.received_at is None]
        count = {word: sum(each.urgency == word for each in waiting) for word, _ in SCANNED_AS}
        now, old = time.time(), self.place >= APPLIANCES - 5
        told: dict[str, Any] = {
            "number": int(now * 1000),
            "life": f"{self.place:032x}",
            "said_at": int(now),
            "waiting": Waiting(**count),
            "oldest_s": int(max((at - each.scan_at for each in waiting), default=0.0)),
            "free_bytes": 2**30,
        }
        if old:
            said = Status(**told, product=OLDER, schema_version="status/1")
        else:
            said = Status(
                **told,
                product=NEWER,
                line_ends=int(now) + (9 if self.place == 12 else 200) * DAY_S,
                bulletin=self.bulletin(now),
            )
        self.client.publish(*letter_up("status", said, self.name), qos=1)

    def bulletin(self, now: float) -> Bulletin:
        """Lanes are counted from what it kept and sent; that a third of what it kept is flagged is made up."""
        kept = sum(each.kept for each in self.studies)
        beside = (Running(title="chest/1.1.0", sha256="6" * 64, part="beside", certificates=()),)
        return Bulletin(
            made_at=int(now),
            alarms=ALARMS.get(self.place, {}),
            day=Day(
                cleared=kept - kept // 3,
                flagged=kept // 3,
                escalated=len(self.studies) - kept,
                quarantined=0,
                undecided=0,
            ),
            models=(
                Running(title="chest/1.0.0", sha256="5" * 64, part="deciding", certificates=("7" * 64,)),
                *(beside if self.place % 10 == 0 else ()),
            ),
            policy=3,
            updates=UpdatesStanding(
                number=41,
                expires=int(now) + (-DAY_S if self.place == 33 else 12 * DAY_S),
                code=None,
                held=6,
                awaited=0,
                refused=0,
                left=2,
                withdrawn=0,
            ),
        )


def fleet(town: Town, folder: Path) -> tuple["subprocess.Popen[str]", str, str]:
    """`central fleet` on the town's store: the process, its address, the token."""
    token, file = secrets.token_hex(20), folder / "token"
    file.touch(0o600)
    file.write_text(token)
    words = ["--state", town.central, "--keys", town.keys, "--token-file", file, "--listen", "127.0.0.1:0"]
    command = [sys.executable, "-m", "central.cli", "fleet", *map(str, words)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=die_with(os.getpid()))
    assert running.stdout is not None
    return running, running.stdout.readline().rsplit(" ", 1)[-1].strip(), token


def pictures(address: str, token: str) -> tuple[bytes, bytes]:
    """What a window of 1600 x 900 shows, and the whole page, as PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        login = HttpCredentials(username="centre", password=token)
        context = browser.new_context(
            viewport={"width": 1600, "height": 900}, http_credentials=login, color_scheme="dark"
        )
        page = context.new_page()
        page.goto(address)
        seen = page.screenshot(), page.screenshot(full_page=True)
        browser.close()
        return seen


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="fleet-"))
    plan = Plan(0.5, APPLIANCES, APPLIANCES / 3, thin=3, thin_bytes_s=1500, status_s=5.0)
    sites: list[Site] = [
        Saying(name=f"hospital-{each.place:02d}-room-{each.place % 3 + 1}", place=each.place, plan=plan)
        for each in sites_of(plan)
    ]
    for each, plain in zip(sites, sites_of(plan), strict=True):
        each.pictures = plain.pictures
    child, endpoint = model(0.1, "--per-picture-s", "0.02")
    found: list[tuple[bytes, bytes]] = []
    try:
        with Town(folder / "town", appliances=0, workers=1, endpoint=endpoint, asking=("--images",)) as town:
            enrol(town.keys, *(site.name for site in sites), "hospital-50-room-1")
            for site in sites:
                site.connect(town.port)
            town.until(lambda: held(town), "not every share is held")
            running, address, token = fleet(town, folder)

            def seen(at: float, open_now: int) -> None:
                if at >= LOOK_AT_S and not found:
                    print(f"{at:.0f} s, {open_now} cases without a verdict: looking")
                    found.append(pictures(address, token))

            try:
                ear = PolicyEar(None, folder / "memory")
                pause = lambda: town.supervise(0.02)  # noqa: E731
                run_for(sites, ear, scan_s=SECONDS, drain_s=30.0, pause=pause, seen=seen)
            finally:
                running.terminate()
                running.wait(30)
    finally:
        for site in sites:
            if site.client is not None:
                site.close()
        child.kill()
        child.wait()
        shutil.rmtree(folder, ignore_errors=True)
    keep(*found[0])


def keep(window: bytes, whole: bytes) -> None:
    """The window as lossy WebP in docs/screens, small enough for a repository; the whole page in build/screenshots."""
    WHOLE.parent.mkdir(parents=True, exist_ok=True)
    WHOLE.write_bytes(whole)
    seen = cv2.imdecode(np.frombuffer(window, np.uint8), cv2.IMREAD_COLOR)
    assert seen is not None
    ok, made = cv2.imencode(".webp", seen, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    assert ok
    assert len(made) < BYTES_MAX, f"{len(made)} bytes"
    PICTURE.write_bytes(made.tobytes())
    print(f"{PICTURE.name}: {len(made) / 1024:.0f} KiB; the whole page: {WHOLE}")


if __name__ == "__main__":
    main()
