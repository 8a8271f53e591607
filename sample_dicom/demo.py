"""`make demo`: the whole road on one machine, from a file in the scanner's folder to a verdict on the page.

One parent runs the five services, a broker, the centre and its stand-in for a language model, all on loopback and in
one state folder; a scanner that does not exist drops its stories; the last tables set what went in beside what came
out, read from the ledgers, and that beside what the certificate promises. Nothing here decides, mends or hides
anything: what did not reach its end is named, and the status is not 0.
"""

import argparse
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from appliance import review
from appliance.cli.prove.synthetic import PREVALENCE
from appliance.cli.reconcile import reconcile
from appliance.cli.up import Child, Parent, lay_out, parent
from appliance.config import Config, Places, load
from appliance.errors import Misconfigured
from appliance.world import broker
from central import weights
from central.embedded import MODEL_ID
from sample_dicom.account import Account, Reader, summary
from sample_dicom.display import Display
from sample_dicom.enrolment import enrol_locally
from sample_dicom.promise import certificates_of, rates, sentences
from sample_dicom.scanner import DATA, SITE_ZIP, SITES, Site, Story, drop, share, stories

Words = Literal["model", "stand-in", "nobody"]

SETTINGS: dict[str, dict[str, object]] = {
    "receive": {"settle_s": 0.3, "rescan_period_s": 0.5, "unlike_dicom_s": 3.0},
    "triage": {"quiet_period_s": 1.5, "quiet_period_with_evidence_s": 0.8, "hard_cap_s": 60.0},
    "network": {"resend_after_s": 5.0},
}
NOTES: dict[Site, str] = {  # what the counts do not mean
    "synthetic": "a network drew these films: the counts show how a certificate works and say nothing about patients",
    "harbour": "the site's films also served to certify the model, so these counts prove nothing",
}
USER = "reader"
FILMS = 20
DEADLINE_S, DEADLINE_PER_FILM_S = 110.0, 3.0
ANSWER_S = 45.0  # of the small model on a busy machine, and not every film is asked about
BETWEEN_STORIES_S = 0.25
LOOK_S = 0.25
PIECES, PIECE_PAUSE_S = 3, 0.1  # every fourth story comes slowly, under its own name
LOG_LINES = 12
EX_CONFIG = 78
CENTRE = "import sys; from central.cli import main; sys.exit(main())"


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs, and where."""

    supervisor: Parent
    config: Config
    places: Places
    broker_kind: str

    @property
    def up(self) -> bool:
        return all(child.ready for child in self.supervisor.children if child.watched)

    @property
    def page(self) -> str:
        return next(child.address for child in self.supervisor.children if child.name == "review")


def main(argv: Sequence[str] | None = None) -> int:
    """Plays the demonstration. Status 0 only if every study reached its end and the books agree."""
    options = _parser().parse_args(argv)
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: ended.append(got))
    folder = options.state or Path(tempfile.mkdtemp(prefix="appliance-demo-"))
    print(f"state folder {folder}", flush=True)
    try:
        status = _play(options, folder, ended)
    except Misconfigured as fault:
        print(f"{fault}: {fault.text}. {fault.hint}", file=sys.stderr)
        status = EX_CONFIG
    if status == 0 and options.once and options.state is None:
        shutil.rmtree(folder)
    else:
        print(f"state folder kept: {folder}", flush=True)
    return status


def _words(options: argparse.Namespace) -> Words:
    """Who answers at the centre: a real language model where its weights are or can be had, and who it is is said."""
    if options.no_llm:
        print("no language model is asked for: the centre's stand-in says so on every answer", flush=True)
        return "stand-in"
    try:
        weights.fetch(lambda line: print(line, flush=True))
    except Misconfigured as fault:
        print(f"{fault.text}: hard cases wait for the centre, and say so. {fault.hint}", flush=True)
        return "nobody"
    print(
        f"the centre asks {MODEL_ID}, a small model that writes programs: it shows the road, what it says means nothing"
    )
    return "model"


def _play(options: argparse.Namespace, folder: Path, ended: list[int]) -> int:
    told = stories(options.seed, options.data, options.films, options.site, options.prevalence)
    words = _words(options)
    per_film_s = DEADLINE_PER_FILM_S + (ANSWER_S if words == "model" else 0.0)
    deadline = time.monotonic() + (options.deadline_s or DEADLINE_S + per_film_s * options.films)
    with _stage(folder, options.site, words) as stage, Reader(stage.places, awaiting=words == "nobody") as reader:
        password = secrets.token_urlsafe(12)
        review.add_user(stage.places, USER, password, replace=True)
        with Display() as display:
            account = _watch(stage, reader, told, display, deadline, ended, password)
        display.table(account)
        own = certificates_of(stage.config, stage.places, datetime.now(UTC).date())
        certificate = own[-1] if own else None
        found = rates(account, certificate)
        for sentence in sentences(options.site, certificate, found):
            print(sentence)
        display.promise(found)
        phantoms = options.site == "harbour" and not (options.data / SITE_ZIP).exists()
        for sentence in summary(account, "" if phantoms else NOTES[options.site]):
            print(sentence)
        status = 0 if _well(stage, account, ended) else 1
        if not options.once and status == 0:
            print(f"the review page stays at {stage.page} (user {USER}) until Ctrl-C", flush=True)
            while not ended and not stage.supervisor.fatal:
                stage.supervisor.tick()
    return status


@contextmanager
def _stage(folder: Path, site: Site, words: Words) -> Iterator[Stage]:
    """Everything that must run; it ends with us, whatever happens."""
    path = folder / "appliance.toml"
    pipe = broker.start(folder / "broker", load(path).network.broker_port if path.exists() else 0)
    supervisor: Parent | None = None
    try:
        network = {**SETTINGS["network"], "broker_port": pipe.port}
        page: dict[str, object] = {"port": _free_port()}  # chosen here, so that the address outlives the service
        sections = {**SETTINGS, "network": network, "site": dict[str, object](name=site), "review": page}
        config = load(lay_out(folder, **sections))
        enrol_locally(config.keys.folder, folder / "central-keys", config.site.device_id)
        supervisor = parent(config, path, _centre(folder / "central", pipe.port, words))
        yield Stage(supervisor, config, Places(config.state.folder), pipe.kind)
    finally:
        if supervisor is not None:
            supervisor.stop()
        pipe.stop()


def _centre(folder: Path, broker_port: int, words: Words) -> list[Child]:
    """The centre's worker and the endpoint it asks; nothing where nobody could answer."""
    if words == "nobody":
        return []
    port = _free_port()
    command = [sys.executable, "-c", CENTRE]
    keys = folder.with_name("central-keys")
    worker = ["run", "--state", str(folder), "--keys", str(keys), "--broker", f"127.0.0.1:{broker_port}"]
    endpoint = f"http://127.0.0.1:{port}/v1"
    server = ["serve-model"] if words == "model" else ["no-model"]
    named = ["--model", MODEL_ID, "--asks-in-flight", "1"] if words == "model" else []
    return [
        Child("endpoint", [*command, *server, "--port", str(port)], watched=False),
        Child("central", [*command, *worker, "--endpoint", endpoint, *named], watched=False),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _watch(
    stage: Stage,
    reader: Reader,
    told: list[Story],
    display: Display,
    deadline: float,
    ended: list[int],
    password: str,
) -> Account:
    """Lets the scanner drop its stories once all services are up, and looks until all is at its end or time is."""
    began, next_drop, sent, announced = time.monotonic(), 0.0, 0, False
    watched = stage.config.receive.watched_folder
    while True:
        stage.supervisor.tick(LOOK_S)
        now = time.monotonic()
        if stage.up and not announced:
            announced = True
            display.say(f"all services are up ({stage.broker_kind} as broker); log {stage.supervisor.log}")
            display.say(f"review page {stage.page} user {USER} password {password}")
        if announced and sent < len(told) and now >= next_drop:
            pieces = PIECES if sent % 4 == 3 else 0
            drop(told[sent], watched, pieces=pieces, pause_s=PIECE_PAUSE_S)
            sent, next_drop = sent + 1, now + BETWEEN_STORIES_S
        account = reader.account(told)
        display.show(account, sent, now - began)
        all_taken = sent == len(told) and not any(
            (watched / file.name).exists() for story in told for file in story.files
        )
        if (all_taken and account.ended) or ended or stage.supervisor.fatal or now > deadline:
            return account


def _well(stage: Stage, account: Account, ended: list[int]) -> bool:
    """Says what is missing, what no one expected and whether the books agree; True when there is nothing to say."""
    missing = [line for line in account.lines if not line.ended]
    others = {state: n for state, n in account.states.items() if n}
    if missing or not account.ended:
        why = "stopped" if ended else stage.supervisor.fatal or "out of time"
        print(f"{why}: {len(missing)} of {len(account.lines)} did not reach their end; in the ledger: {others}")
        for line in missing:
            print(f"  study {line.number or '-'}: {line.state}: {line.story.what}")
        print(f"log {stage.supervisor.log}, its last lines:")
        text = stage.supervisor.log.read_text("utf-8", "replace") if stage.supervisor.log.exists() else ""
        print("\n".join(f"  {line}" for line in text.splitlines()[-LOG_LINES:]))
    odd = [line for line in account.lines if line.surprising]
    for line in odd:
        print(f"NOT EXPECTED: {line.lane} for {line.story.what}, which should be {line.story.expect}")
    if not stage.places.studies_db.exists():
        return False
    checks, _ = reconcile(stage.places, deep=True)
    wrong = [check for check in checks if not check.holds]
    for check in wrong:
        print(f"WRONG  {check.name}: {' '.join(check.wrong)}")
    print(f"the books of both sides: {len(checks) - len(wrong)} of {len(checks)} checks hold", flush=True)
    return not (missing or odd or wrong) and account.ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sample_dicom.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end by itself; status 0 only if all went well")
    parser.add_argument("--state", type=Path, help="state folder (default: a new one in the temporary folder)")
    parser.add_argument("--site", choices=SITES, default=SITES[0], help="whose films (default %(default)s)")
    parser.add_argument("--films", type=int, default=FILMS, help="films from the site's scanner (default %(default)s)")
    parser.add_argument("--prevalence", type=share, default=PREVALENCE, help="of synthetic films (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same films (default %(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of harbour's films; phantoms without it")
    parser.add_argument("--no-llm", action="store_true", help="no language model: the centre's stand-in answers")
    parser.add_argument("--deadline-s", type=float, help="give up after (default: by the number of films)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
