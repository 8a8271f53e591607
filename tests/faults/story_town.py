"""What the story happens in: a town of two appliances with a page each, a centre, a publisher and its HTTPS server."""

import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import pydicom
from sqlalchemy import Row, select

from appliance import review
from appliance.config import Places
from appliance.world import ledger
from appliance.world.ledger import updates as came
from appliance.world.ledger import watch
from appliance.world.models.making import make_key, read_key, sign_package
from central import authority
from models.retrain_head import LABELS_MIN
from tests.faults.clock import library
from tests.faults.ledgers import ask
from tests.faults.processes import free_port
from tests.faults.story_films import CONTRACT, NAME, NEXT, SITE, Film, certified, first_package
from tests.faults.town import Sections, Town

DAY_S = 86_400
READER, PASSWORD = "reader", "blue whale counting 7 stars"
PATIENCE_S = 900.0
ENDED = frozenset({"routine", "escalated", "answered", "reviewed"})
DROPPED_AT_ONCE = 20
ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("receive", "triage", "uplink", "review")
assert LABELS_MIN


class Story:
    """Everything that runs. old: films of the old scanner, of which the first certificate is made."""

    def __init__(self, folder: Path, old: list[Film]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.pages: dict[int, httpx.Client] = {}
        self.server: subprocess.Popen[bytes] | None = None
        self.trusted, self.key_file = folder / "trusted", folder / "publisher.key"
        self.trusted.mkdir()
        public = make_key(self.key_file)
        (self.trusted / "publisher.pub").write_bytes(public.read_bytes())
        self.key = read_key(self.key_file)
        self.first = first_package(folder / "models", self.key)
        self.next_package = folder / "next" / NAME / NEXT
        self._publisher()
        self.town = Town(
            folder / "town", workers=1, services=SERVICES, record=False, own={1: self._own("site"), 2: self._own("all")}
        )
        try:
            self._certify_first(old)
            for place in (1, 2):
                review.add_user(self.places(place), READER, PASSWORD)
            self.town.wait_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Story":
        return self

    def __exit__(self, _k: type[BaseException] | None, _f: BaseException | None, _t: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for page in self.pages.values():
            page.close()
        self.town.close()
        if self.server is not None:
            self.server.terminate()
            self.server.wait(30)
            self.server = None

    # How it is set up.

    def _own(self, ring: str) -> Sections:
        updates = {"root": str(self.root), "url": self.url, "ca_file": str(self.folder / "ca.pem"), "ring": ring}
        updates |= {"look_every_s": 10.0, "models": "activate", "promote_after_studies": 20}
        rates = CONTRACT.model_dump()
        return {
            "site": {"name": SITE, "device_id": f"edge-{1 if ring == 'site' else 2}"},
            "triage": {"model_folder": str(self.folder / "models"), "trusted_keys": str(self.trusted)},
            "updates": updates,
            "learning": {"corrections": "send"},
            "certificate": rates,
            "audit": {"answer_days": 90.0},
        }

    def _publisher(self) -> None:
        self.repository_folder, self.keys = self.folder / "repository", self.folder / "publisher-keys"
        self.offline = self.folder / "offline"
        self.central(
            "publish", "init", "--repository", self.repository_folder, "--keys", self.keys, "--offline", self.offline
        )
        self.root = self.repository_folder / "metadata/1.root.json"
        own, now = authority.found("story", time.time()), time.time()
        key = authority.new_key()
        shown = authority.issue(own, key.public_key(), "updates", now_s=now, days=365, hosts=["127.0.0.1"])
        pem = self.folder / "server.pem"
        pem.write_bytes(shown.public_bytes(authority.Encoding.PEM) + authority.key_pem(key))
        (self.folder / "ca.pem").write_bytes(own.pem)
        port = free_port()
        self.url = f"https://127.0.0.1:{port}/"
        words = ["serve-updates", "--repository", self.repository_folder, "--certificate", pem, "--port", port]
        command = [sys.executable, "-m", "central.cli", *map(str, words)]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)

    def _certify_first(self, old: list[Film]) -> None:
        from appliance.core.signature import key_id, public_of

        public = public_of(self.key)
        made = certified(self.first, old, self.key, {key_id(public): public})
        path = self.folder / "first.json"
        path.write_text(json.dumps(made.model_dump(mode="json")))
        print(
            f"   {made.patients} films, {made.findings} with the finding; "
            f"cleared at or below {made.clear_at_or_below}, flagged at or above {made.flag_at_or_above}"
        )
        for place in (1, 2):
            self.places(place).root.mkdir(parents=True, exist_ok=True)
            self.appliance(place, "models", "install", str(path))

    # What is done.

    def places(self, place: int) -> Places:
        return self.town.edges[place - 1].places

    def until(self, what: Callable[[], bool], why: str | Callable[[], str]) -> None:
        self.town.until(what, why, PATIENCE_S)

    def central(self, *words: object, days: int = 0) -> str:
        """A command of the centre; days: by how many its clock is ahead."""
        around = {"LD_PRELOAD": str(library()), "FAKETIME": f"+{days}d"} if days else {}
        command = [sys.executable, "-m", "central.cli", *map(str, words)]
        return self._run(command, around)

    def appliance(self, place: int, *words: str) -> str:
        command = [sys.executable, "-m", "appliance", "--config", str(self.town.edges[place - 1].path), *words]
        return self._run(command, {})

    def _run(self, command: list[str], around: Mapping[str, str]) -> str:
        import os

        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT, env={**os.environ, **around}
        )
        assert done.returncode == 0, f"{command[2:6]}: {done.stdout}{done.stderr}"
        return done.stdout

    def publish(self, what: str, *words: str, days: int = 0) -> str:
        keys = ("--repository", self.repository_folder, "--keys", self.keys)
        return self.central("publish", what, *words, *keys, days=days)

    def announce(self) -> None:
        """The retained hint on the broker."""
        where = ("--repository", self.repository_folder, "--broker", f"127.0.0.1:{self.town.port}")
        self.central("publish", "announce", *where)

    def read(self, place: int, taken: list[Film]) -> dict[str, str]:
        """The scanner drops the films, and each comes to its end; returns lanes by Study Instance UID."""
        edge, uids = self.town.edges[place - 1], set(self.by_uid(taken))
        for start in range(0, len(taken), DROPPED_AT_ONCE):
            some = taken[start : start + DROPPED_AT_ONCE]
            for film in some:
                partial = edge.scanner / f".{film.seed}.part"
                partial.write_bytes(film.study)
                partial.replace(edge.scanner / f"{film.seed}.dcm")
            own = set(self.by_uid(some))
            self.until(lambda own=own: self._ended(place, own), f"films do not come to their end at edge-{place}")
            from tests.faults.story import progress

            progress(f"{start + len(some)} of {len(taken)} films read at edge-{place}")
        return {row.study_instance_uid: row.lane for row in self.results(place) if row.study_instance_uid in uids}

    def _ended(self, place: int, uids: set[str]) -> bool:
        states = self.town.states(place)
        return all(states.get(uid) in ENDED for uid in uids)

    def sign(self, place: int, taken: list[Film]) -> int:
        """A reader signs each on the page, with the finding right where it is there and wrong where it is not."""
        by_uid, count = self.by_uid(taken), 0
        for row in self.results(place):
            film = by_uid.get(row.study_instance_uid)
            if film is None:
                continue
            page = self._page(place)
            case = page.get(f"/studies/{row.number}").text
            seen = {name: hidden(case, name) for name in ("check", "nonce", "revision", "seq")}
            named = re.search(r'for="(finding-\d)">pneumonia', case)
            assert named is not None, "the page asks about the finding"
            said_here = row.would_be == "flagged"
            agrees = said_here == film.finding
            told = {**seen, named[1]: "right" if film.finding else "wrong", "patient": "yes", "exam": "yes"}
            told |= {"decision": "agree" if agrees else "correct", "proof": PASSWORD}
            told |= {} if agrees else {"reason": "missed-finding" if film.finding else "false-finding"}
            answer = page.post(f"/studies/{row.number}/sign", data=told)
            count += answer.status_code == 303 and answer.headers["location"].endswith("done=signed")
            self.town.supervise(0.0)
        return count

    def _page(self, place: int) -> httpx.Client:
        if place not in self.pages:
            address = self.town.child(place, "review").address
            page = httpx.Client(
                base_url=address, headers={"Origin": address.rstrip("/")}, trust_env=False, timeout=60.0
            )
            form = {"name": READER, "password": PASSWORD, "check": hidden(page.get("/sign-in").text, "check")}
            assert page.post("/sign-in", data=form).headers.get("location") == "/"
            self.pages[place] = page
        return self.pages[place]

    def corrections(self) -> list[dict[str, Any]]:
        told = self.central("export-corrections", "--state", self.town.central, "--device", "edge-1")
        self.town.supervise(0.0)
        return [json.loads(line) for line in told.splitlines()]

    def retrain(self, exported: list[dict[str, Any]]) -> dict[str, Any]:
        """The job, then the signature of whoever vouches for it."""
        lines = self.folder / "corrections.jsonl"
        lines.write_text("".join(json.dumps(each) + "\n" for each in exported))
        job = ["models/retrain_head.py", "--package", self.first, "--corrections", lines, "--state", self.town.central]
        told = self._run([sys.executable, *map(str, [*job, "--version", NEXT, "--out", self.next_package])], {})
        sign_package(self.next_package, self.key)
        made: dict[str, Any] = json.loads(told.splitlines()[-1])
        return made

    def refuses_corrections(self, exported: list[dict[str, Any]]) -> str:
        """The code with which `certify` refuses corrections as labels."""
        command = [sys.executable, "-m", "appliance", "--config", str(self.town.edges[0].path), "certify"]
        words = ["--labels", str(self.folder / "corrections.jsonl"), "--model", f"{NAME}/{NEXT}"]
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
        assert exported
        found = re.search(r"labels-[a-z]+", done.stderr + done.stdout)
        return found[0] if done.returncode and found else f"status {done.returncode}"

    def certify(self, stretch: list[Film]) -> dict[str, Any]:
        """`appliance certify` from blinded reads of every one; its certificate comes down as the model did."""
        table = self.folder / "blinded.csv"
        with table.open("w", newline="") as out:
            lines = csv.writer(out)
            lines.writerow(["study_instance_uid", "finding"])
            lines.writerows([uid, int(film.finding)] for uid, film in self.by_uid(stretch).items())
        papers = self.folder / "papers"
        words = ["--labels", str(table), "--model", f"{NAME}/{NEXT}", "--key", str(self.key_file), "--out", str(papers)]
        command = [sys.executable, "-m", "appliance", "--config", str(self.town.edges[0].path), "certify", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
        found = [
            path
            for path in papers.glob("*.json")
            if "plan_digest" in path.read_text() and '"group"' in path.read_text()
        ]
        for path in found:
            made = json.loads(path.read_text())
            if "clear_at_or_below" in made:
                self.publish("add", "certificate", str(path), "--ring", "site")
                self.announce()
                self.until(lambda: self.certified_by_triage(f"{NAME}/{NEXT}"), "triage does not see the certificate")
                told = {name: made[name] for name in ("patients", "findings", "clear_at_or_below", "flag_at_or_above")}
                came = list((self.places(1).delivered_certificates / NAME / NEXT).glob("*.json"))
                own = list((self.places(1).certificates / NAME / NEXT).glob("*.json"))
                told |= {"came": len(came), "by_hand": len(own)}
                return {**told, "opens": made["clear_at_or_below"] is not None or made["flag_at_or_above"] is not None}
        return {
            "opens": False,
            "said": (done.stdout + done.stderr)[-600:],
            "papers": [p.name for p in papers.glob("*")],
        }

    def return_after(self, place: int, off_s: int) -> None:
        """An appliance that was switched off comes up with its clock so much later."""
        edge = self.town.edges[place - 1]
        edge.clock.turn(off_s)
        edge.come(edge.line)
        self.pages.pop(place, None)
        self.town.wait_ready()

    # What is seen.

    def by_uid(self, taken: list[Film]) -> dict[str, Film]:
        found = {}
        for film in taken:
            header = pydicom.dcmread(io.BytesIO(film.study), stop_before_pixels=True)
            found[str(header.StudyInstanceUID)] = film
        return found

    def results(self, place: int) -> list[Row[Any]]:
        """Number, UID, lane and what would have been said of each study's standing result."""

        def rows(c: Any) -> list[Row[Any]]:
            same = (ledger.results.c.study_number == ledger.studies.c.number) & (
                ledger.results.c.revision == ledger.studies.c.revision
            )
            chosen = select(ledger.studies.c.number, ledger.studies.c.study_instance_uid, ledger.results.c.lane)
            return list(c.execute(chosen.add_columns(ledger.results.c.would_be).join(ledger.results, same)))

        return ask(self.places(place).studies_db, rows, [])

    def wrong(self, lanes: Mapping[str, str], taken: list[Film]) -> list[str]:
        """Studies that were cleared with the finding or flagged without."""
        truth = {uid: film.finding for uid, film in self.by_uid(taken).items()}
        return [uid for uid, lane in lanes.items() if lane == ("cleared" if truth[uid] else "flagged")]

    def certified_by_triage(self, title: str) -> bool:
        """Whether triage at edge-1 has read a certificate of this model: it looks every few seconds."""

        def rows(c: Any) -> list[str]:
            return list(
                c.execute(select(watch.monitors.c.certificate).where(watch.monitors.c.model == title)).scalars()
            )

        return bool(ask(self.places(1).studies_db, rows, []))

    def role(self, place: int, title: str) -> str:
        """As `appliance models list` has it, out of the ledger."""
        told = json.loads(self.appliance(place, "models", "list", "--json"))
        self.town.supervise(0.0)
        return next((str(row.get("role", "")) for row in told if row["model"] == title), "")

    def held(self, place: int, title: str) -> bool:
        def rows(c: Any) -> list[str]:
            return [row.title for row in came.everything(c) if row.state == "held"]

        return title in ask(self.places(place).studies_db, rows, [])

    def repository(self, place: int) -> Row[Any] | None:
        found: list[Row[Any] | None] = ask(self.places(place).studies_db, lambda c: [came.stands(c)], [None])
        return found[0]

    def stale(self, place: int) -> bool:
        """Whether triage said, since it came back, that nothing that lies there may be believed."""
        row = self.repository(place)
        return row is not None and row.code == "updates-expired"


def hidden(page: str, name: str) -> str:
    """The value of a hidden field of a form."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return found[1]
