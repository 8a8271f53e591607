"""What every step of tests.faults.boot needs: the machine, the centre outside it, and what was sent there."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sample_dicom.scanner import Story, drop, synthetic
from tests.faults.machine import Machine
from tests.systemd_says import SERVICES as SERVICES

ROOT = Path(__file__).parents[2]
NAME = "edge-diagnostic-appliance"
STATE, KEYS = "/var/lib/appliance", "/etc/appliance/keys"
UNITS = " ".join(f"appliance-{name}.service" for name in SERVICES)
FORMER = "0.0.9"
PATIENCE_S = 300.0
ENDS = frozenset({"routine", "answered"})


@dataclass
class Centre:
    """The centre, outside the machine and inside its network."""

    folder: Path
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def verb(self, *words: object) -> str:
        command = [sys.executable, "-m", "central.cli", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        return done.stdout.strip().splitlines()[-1]

    def come(self, machine: Machine) -> None:
        inside = ["nsenter", "-t", str(machine.init), "-n", "--", sys.executable, "-m", "central.cli"]
        worker = ["run", "--state", str(self.folder / "state"), "--keys", str(self.folder / "keys")]
        worker += ["--broker", "127.0.0.1:1883", "--endpoint", "http://127.0.0.1:8099/v1"]
        with (self.folder / "log.txt").open("ab") as log:
            for words in (["no-model", "--port", "8099"], worker):
                self.running.append(subprocess.Popen([*inside, *words], stdout=log, stderr=log, cwd=ROOT))

    def go(self) -> None:
        for each in self.running:
            each.kill()
            each.wait()
        self.running.clear()


class Boot:
    """A machine with the product, and its books; `table` is what was seen, a line a step."""

    def __init__(self, folder: Path, former: Path, package: Path, films: int) -> None:
        self.machine = Machine(folder / "machine")
        self.folder, self.centre = folder, Centre(folder / "centre")
        self.centre.folder.mkdir()
        self.former, self.package, self.films = former, package, films
        self.table: list[tuple[str, str]] = []
        self.sent: list[Story] = []
        self.seed = 0

    def step(self, name: str, work: "Callable[[Boot], str]") -> None:
        began = time.monotonic()
        print(f"... {name}", file=sys.stderr, flush=True)
        said = work(self)
        self.table.append((name, f"{time.monotonic() - began:6.1f} s  {said}"))

    def studies(self, told: list[Story], *, wait: bool = True) -> str:
        scanner = self.machine.root / "srv/scanner"
        for story in told:
            drop(story, scanner)
        self.sent += told
        return self.settled() if wait else ""

    def more(self, films: int = 3) -> list[Story]:
        self.seed += 1
        return list(synthetic(self.seed, films, 0.5))

    def settled(self) -> str:
        """Waits until every study that was ever sent is in its lane, and every hard one has its verdict."""
        wanted = {story.study_instance_uid: story.expect for story in self.sent if story.study_instance_uid}
        ends, found = time.monotonic() + PATIENCE_S, {}
        while time.monotonic() < ends:
            found = {row["study_instance_uid"]: row for row in self.rows()}
            if all(uid in found and found[uid]["state"] in ENDS for uid in wanted):
                break
            time.sleep(1)
        open_ = [
            f"{found.get(uid, {}).get('state', 'not here')}"
            for uid in wanted
            if uid not in found or found[uid]["state"] not in ENDS
        ]
        assert not open_, f"still open: {open_}; {self.last_words()}"
        lanes = [found[uid]["lane"] for uid in wanted]
        wrong = [uid for uid, expect in wanted.items() if expect == "escalated" and found[uid]["lane"] != "escalated"]
        assert not wrong, f"in a wrong lane: {wrong}"
        assert set(lanes) > {"escalated"}, f"no lane opened, so no model decided: {self.last_words()}"
        counts = {lane: lanes.count(lane) for lane in ("cleared", "flagged", "escalated")}
        return ", ".join(f"{count} {lane}" for lane, count in counts.items()) + "; each escalated one has its verdict"

    def rows(self) -> list[dict[str, Any]]:
        status, said = self.machine.try_("appliance studies --json 2>/dev/null")
        rows: list[dict[str, Any]] = json.loads(said) if status == 0 and said.startswith("[") else []
        return rows

    def all_run(self) -> None:
        """The page, to which readers come, runs when the socket has its first visitor; the others always."""
        for name in SERVICES:
            self.machine.until(f"systemctl is-active -q appliance-{name}.service", 120)

    def last_words(self) -> str:
        return self.machine.try_("journalctl -b --no-pager -n 25 -u 'appliance*'")[1]
