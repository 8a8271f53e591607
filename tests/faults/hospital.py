"""A hospital's day: a scanner sends studies over TLS and asks for commitment, readers sign, the line to the PACS flaps.

    python -m tests.faults.hospital [--studies 50] [--seed 1] [--kills 25] [--keep FOLDER]

The scanner is dcmtk's `storescu`; its commitments are asked for and heard by pynetdicom, since dcmtk has no program for
them. The PACS is Orthanc, behind two lines (to it and from it) that hold, refuse, reset and delay. Readers sign on the
page. Meanwhile services are killed. In the end every study must have one structured report and one key image in the
PACS, read back over DICOMweb and held against two validators, and the scanner must have been told of every object that
it is kept. Prints a table; exits with 1 where anything is broken.
"""

import argparse
import json
import random
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pydicom
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from appliance import review
from appliance.cli.reconcile import reconcile
from appliance.core.results.check import wrong_in
from appliance.world.validator import objections
from tests.deliver.orthanc import PASSWORD as PACS_PASSWORD
from tests.deliver.orthanc import TITLE, USER, Orthanc
from tests.faults.processes import Processes, free_port
from tests.tiny import tiny
from tests.world.test_dimse import certificates

SCANNER, OURS, READER, PASSWORD = "CT_1", "EDGE", "reader", "blue whale counting 7 stars"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"  # the one instance of the Storage Commitment service (PS3.4 J.3.5)
REPORT, KEY_IMAGE = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7"
SENT_CLASSES = {"CR": "1.2.840.10008.5.1.4.1.1.1", "MR": "1.2.840.10008.5.1.4.1.1.4"}
KILLED = ("receive", "triage", "deliver", "review")
WEATHER = ("hold", "refuse", "reset", "delay", "pass", "pass")
PATIENCE_S = 240.0
READABLE = frozenset({"routine", "escalated", "answered"})


class Line:
    """A line that is at times a bad one: tests.faults.proxy in a process of its own."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "tests.faults.proxy", f"127.0.0.1:{self.port}", f"127.0.0.1:{target}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def become(self, weather: str) -> None:
        orders = {"reset": {"mode": "pass", "reset": True}, "delay": {"mode": "pass", "delay_s": 0.3}}
        self._say({"delay_s": 0.0, **orders.get(weather, {"mode": weather})})

    def _say(self, order: dict[str, object]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


class Scanner:
    """Sends the files of a study over TLS, asks whether they are kept, and hears the answers."""

    def __init__(self, keys: dict[str, tuple[Path, Path]], port: int, answers_port: int) -> None:
        self.keys, self.port = keys, port
        self.kept: set[str] = set()
        self.answers: Counter[str] = Counter()  # by transaction
        self.failed: list[str] = []
        self.tries = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys["scanner"][1], keys["scanner"][0])
        context.load_verify_locations(keys["authority"][1])
        context.verify_mode = ssl.CERT_REQUIRED
        listening = AE(ae_title=SCANNER)
        listening.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._hear)]
        self.server = listening.start_server(
            ("127.0.0.1", answers_port), block=False, evt_handlers=handlers, ssl_context=context
        )
        self.context = ssl.create_default_context(cafile=str(keys["authority"][1]))
        self.context.check_hostname = False
        self.context.load_cert_chain(keys["scanner"][1], keys["scanner"][0])

    def _hear(self, event: Any) -> tuple[int, None]:
        told = event.event_information
        self.answers[str(told.TransactionUID)] += 1
        self.kept |= {str(item.ReferencedSOPInstanceUID) for item in told.get("ReferencedSOPSequence", ())}
        self.failed += [str(item.ReferencedSOPInstanceUID) for item in told.get("FailedSOPSequence", ())]
        return 0x0000, None

    def sending(self, files: list[Path]) -> "subprocess.Popen[bytes]":
        key, certificate = self.keys["scanner"]
        line = ["+tls", str(key), str(certificate), "+cf", str(self.keys["authority"][1])]
        who = ["-aet", SCANNER, "-aec", OURS, "-to", "10", "-td", "30"]
        self.tries += 1
        command = ["storescu", *who, *line, "127.0.0.1", str(self.port), *(str(each) for each in files)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def asks(self, transaction: str, objects: dict[str, str]) -> bool:
        """N-ACTION for one study; whether it was taken."""
        told = Dataset()
        told.TransactionUID, told.ReferencedSOPSequence = transaction, []
        for uid, kind in objects.items():
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = kind, uid
            told.ReferencedSOPSequence.append(item)
        asking = AE(ae_title=SCANNER)
        asking.acse_timeout = asking.dimse_timeout = asking.network_timeout = asking.connection_timeout = 10
        asking.add_requested_context(StorageCommitmentPushModel)
        line = asking.associate("127.0.0.1", self.port, ae_title=OURS, tls_args=(self.context, None))
        if not line.is_established:
            return False
        status, _ = line.send_n_action(told, 1, StorageCommitmentPushModel, WELL_KNOWN)
        line.release()
        return getattr(status, "Status", None) == 0x0000


@dataclass
class Day:
    """What was done and what came of it."""

    studies: dict[str, dict[str, str]] = field(default_factory=dict)  # UID to its objects: SOP Instance to Class UID
    kills: Counter[str] = field(default_factory=Counter)
    weather: Counter[str] = field(default_factory=Counter)
    signed: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    took_s: float = 0.0
    sends: int = 0
    answers: int = 0

    def table(self) -> str:
        rows = {
            "studies, objects": f"{len(self.studies)}, {sum(map(len, self.studies.values()))}",
            "associations of the scanner (TLS), commitments answered": f"{self.sends}, {self.answers}",
            "changes of the lines to and from the PACS": ", ".join(f"{n} {w}" for w, n in sorted(self.weather.items())),
            "services killed": ", ".join(f"{n} {w}" for w, n in sorted(self.kills.items())),
            "signed on the page": str(len(self.signed)),
            "took": f"{self.took_s:.0f} s",
            "violations": "; ".join(self.broken) or "0",
        }
        return "\n".join(["| | |", "|---|---|", *(f"| {name} | {said} |" for name, said in rows.items())])


class Hospital:
    """All of it in one folder; `day` runs it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.dice, self.day_ = folder, random.Random(seed), Day()
        self.stack = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._build()
        except BaseException:
            self.stack.close()
            raise

    def _build(self) -> None:
        keys_folder = self.folder / "tls"
        keys_folder.mkdir()
        keys = certificates(keys_folder)
        port, answers, commitments = free_port(), free_port(), free_port()
        self.home = Line(commitments)  # from the PACS to us
        (self.folder / "pacs").mkdir()
        self.pacs = Orthanc(self.folder / "pacs", free_port(), free_port(), self.home.port)
        self.away = Line(self.pacs.dicom_port)  # from us to the PACS
        self.stack.callback(self.home.close)
        self.stack.callback(self.away.close)
        self.pacs.start()
        self.stack.callback(self.pacs.stop)
        dimse = {
            "port": port,
            "ae_title": OURS,
            "peers": [f"{SCANNER}@127.0.0.1"],
            "commit_peers": [f"{SCANNER}@127.0.0.1:{answers}"],
            "tls": "mutual",
            "tls_certificate_file": str(keys["ours"][1]),
            "tls_key_file": str(keys["ours"][0]),
            "tls_authority_file": str(keys["authority"][1]),
        }
        target = {"name": "pacs", "kind": "dimse", "host": "127.0.0.1", "port": self.away.port, "ae_title": TITLE}
        deliver = {"port": commitments, "retry_s": 0.5, "retry_max_s": 2.0, "connect_timeout_s": 3.0}
        deliver |= {"answer_timeout_s": 5.0, "commit_answer_s": 10.0}
        settings = {"dimse": dimse, "results": {"targets": [{**target, "commit": True}]}, "deliver": deliver}
        self.scanner = Scanner(keys, port, answers)
        self.stack.callback(self.scanner.server.shutdown)
        self.house = self.stack.enter_context(Processes(self.folder / "house", settings=settings, models=False))
        review.add_user(self.house.places, READER, PASSWORD)
        self.reader: httpx.Client | None = None
        self.house.wait_ready()

    def __enter__(self) -> "Hospital":
        return self

    def __exit__(self, *_: object) -> None:
        if self.reader is not None:
            self.reader.close()
        self.stack.close()

    # The day.

    def day(self, studies: int, kills: int) -> Day:
        began, day = time.monotonic(), self.day_
        dying = Counter(self.dice.randrange(studies) for _ in range(kills))
        for number in range(studies):
            self._weather()
            for _ in range(dying[number]):
                victim = self.dice.choice(KILLED)
                self.house.kill(victim)
                day.kills[victim] += 1
            self._scan(number)
            self._sign()
        for line in (self.away, self.home):
            line.become("pass")
        self._until(self._all_signed, "not every study was signed")
        self._until(self._all_home, "results or commitments are missing")
        day.took_s = time.monotonic() - began
        day.sends, day.answers = self.scanner.tries, len(self.scanner.answers)
        day.broken += judged(self)
        return day

    def _weather(self) -> None:
        for line in (self.away, self.home):
            now = self.dice.choice(WEATHER)
            line.become(now)
            self.day_.weather[now] += 1

    def _scan(self, number: int) -> None:
        """One study goes over the line until every object was taken; then it is asked whether it is kept."""
        study, patient = f"1.2.826.0.1.3680043.10.77.{number + 1}", f"PAT-{number:05d}"
        modality = self.dice.choice(tuple(SENT_CLASSES))
        folder, files, objects = self.folder / f"scan-{number}", [], {}
        folder.mkdir()
        for instance in range(1, self.dice.randint(1, 3) + 1):
            path = folder / f"{instance}.dcm"
            path.write_bytes(tiny(study, instance, patient, modality, self.dice.randrange(200)))
            files.append(path)
            objects[f"{study}.7.{instance}"] = SENT_CLASSES[modality]
        self.day_.studies[study] = objects

        def sent() -> bool:
            running = self.scanner.sending(files)
            self.house.until(lambda: running.poll() is not None, "the scanner's program does not end")
            return running.returncode == 0

        self._until(sent, "a study does not go in")
        self._until(lambda: self.scanner.asks(f"2.25.{number + 1}", objects), "a commitment is not taken")

    def _sign(self) -> None:
        """Whatever can be read by now is signed, on the page, as a reader does."""
        for study, row in self.house.studies().items():
            if study not in self.day_.signed and row.state in READABLE:
                try:
                    self._sign_one(study, row.number)
                except httpx.HTTPError:
                    self.reader = None  # the page was killed: another address, another session
                    return

    def _sign_one(self, study: str, number: int) -> None:
        page = self._signed_in()
        if page is None:
            return
        case = page.get(f"/studies/{number}").text
        if 'name="seq"' not in case:
            return
        seen = {name: hidden(case, name) for name in ("check", "nonce", "revision", "seq")}
        told = {**seen, "decision": "agree", "patient": "yes", "exam": "yes", "proof": PASSWORD}
        if page.post(f"/studies/{number}/sign", data=told).status_code == 303:
            self.day_.signed.add(study)

    def _signed_in(self) -> httpx.Client | None:
        child = self.house.child("review")
        if self.reader is not None:
            return self.reader
        if not child.ready:
            return None
        address = child.address
        page = httpx.Client(base_url=address, headers={"Origin": address.rstrip("/")}, trust_env=False)
        form = {"name": READER, "password": PASSWORD, "check": hidden(page.get("/sign-in").text, "check")}
        if page.post("/sign-in", data=form).headers.get("location") != "/":
            page.close()
            return None
        self.reader = page
        return page

    def _all_signed(self) -> bool:
        self._sign()
        states = self.house.states()
        return states.keys() == self.day_.studies.keys() and set(states.values()) == {"reviewed"}

    def _all_home(self) -> bool:
        places = self.house.places
        wanted = {uid for objects in self.day_.studies.values() for uid in objects}
        waiting = [path for folder in (places.outbox, places.receipts) for path in folder.glob("*.json")]
        return wanted <= self.scanner.kept and not waiting and len(self.pacs.objects()) >= 2 * len(self.day_.studies)

    def _until(self, what: Any, why: str) -> None:
        self.house.until(what, why, PATIENCE_S)


def hidden(page: str, name: str) -> str:
    """The value of a hidden field of a form."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


def judged(hospital: Hospital) -> list[str]:
    """What is broken, in words: the PACS asked over DICOMweb, every object held against two validators."""
    day, broken = hospital.day_, []
    session = create_session_from_user_pass(USER, PACS_PASSWORD)
    session.trust_env = False
    client = DICOMwebClient(f"{hospital.pacs.url}/dicom-web", session=session)
    found = {item["0020000D"]["Value"][0] for item in client.search_for_studies(limit=10_000)}
    broken += [f"{len(found - day.studies.keys())} studies in the PACS that nobody sent"] * bool(
        found - day.studies.keys()
    )
    for number, (study, objects) in enumerate(day.studies.items()):
        held = client.retrieve_study(study) if study in found else []
        kinds = Counter(str(each.SOPClassUID) for each in held)
        if kinds != {REPORT: 1, KEY_IMAGE: 1}:
            told = f"{kinds[REPORT]} reports, {kinds[KEY_IMAGE]} key images, {len(held)} objects"
            broken.append(f"study {number + 1}: {told}")
        source = pydicom.dcmread(hospital.folder / f"scan-{number}" / "1.dcm")
        for each in held:
            path = hospital.folder / "held.dcm"
            each.save_as(path, enforce_file_format=True)
            wrong = [*wrong_in(path.read_bytes(), source, list_of(objects), signed=True), *objections(path)]
            broken += [f"study {number + 1}, {each.SOPClassUID.name}: {', '.join(wrong)}"] if wrong else []
    wanted = {uid for objects in day.studies.values() for uid in objects}
    scanner = hospital.scanner
    broken += [f"{len(wanted - scanner.kept)} objects of which the scanner was not told"] * bool(wanted - scanner.kept)
    broken += [f"{len(scanner.failed)} objects were said not to be kept"] * bool(scanner.failed)
    broken += [
        f"{check.name}: {check.wrong}" for check in reconcile(hospital.house.places, deep=True)[0] if not check.holds
    ]
    return broken + [line[:200] for line in hospital.house.log().splitlines() if "Traceback" in line]


def list_of(objects: dict[str, str]) -> list[tuple[str, str]]:
    """(SOP Class UID, SOP Instance UID) of each."""
    return [(kind, uid) for uid, kind in objects.items()]


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--studies", type=int, default=50)
    told.add_argument("--kills", type=int, default=25)
    told.add_argument("--seed", type=int, default=1)
    options = told.parse_args()
    with tempfile.TemporaryDirectory(prefix="hospital-") as folder, Hospital(Path(folder) / "h", options.seed) as town:
        print(f"seed {options.seed}", flush=True)
        day = town.day(options.studies, options.kills)
        print(day.table())
    return 1 if day.broken else 0


if __name__ == "__main__":
    sys.exit(main())
