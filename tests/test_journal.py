"""The journal: every log call has a code, libsystemd sends its fields, journalctl knows what they mean."""

import ast
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.core.journal import EVENTS, MEANS, OTHER, catalogue, code_of, fields, message_id
from appliance.errors import CATALOGUE, Unavailable
from appliance.world import journal

ROOT = Path(__file__).parents[1]
CATALOG = ROOT / "systemd" / "appliance.catalog"
CODED = {"fault", "code", "ended.code", "error_code"}  # what a call hands over that is a code whenever it is reached


def calls() -> list[tuple[str, ast.expr, list[str]]]:
    """Every log call of the product: (place, template, arguments)."""
    found = []
    for path in sorted(ROOT.glob("appliance/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                said_by = ast.unparse(node.func.value)
                if node.func.attr in ("info", "warning", "error", "critical", "exception") and (
                    said_by == "LOG" or "getLogger" in said_by
                ):
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    found.append((place, node.args[0], [ast.unparse(each) for each in node.args[1:]]))
    return found


def is_coded(template: str, arguments: list[str]) -> bool:
    named = any(each.strip("'") in CATALOGUE for each in arguments) or any(
        each.rsplit(".", 1)[-1] in CODED or each.startswith("Unavailable(") for each in arguments
    )
    return named or code_of(template, ()) != OTHER


def test_every_log_call_has_a_code() -> None:
    assert len(calls()) > 40
    for place, template, arguments in calls():
        ways = [template.body, template.orelse] if isinstance(template, ast.IfExp) else [template]
        for way in ways:
            assert isinstance(way, ast.Constant), f"{place}: a template that is no literal"
            assert is_coded(str(way.value), arguments), f"{place}: no code and not among EVENTS"
    assert not is_coded("something new happened to %s", ["name"])


def test_no_event_is_left_over() -> None:
    said = set()
    for _, template, _ in calls():
        ways = [template.body, template.orelse] if isinstance(template, ast.IfExp) else [template]
        said |= {str(way.value) for way in ways if isinstance(way, ast.Constant)}
    assert set(EVENTS) <= said
    assert not {code for code, _ in EVENTS.values()} & set(CATALOGUE)


def test_ids_are_stable_and_each_code_has_its_own() -> None:
    assert message_id("disk-low") == "845c9641410e521fab3423fd9959c083"
    codes = [*CATALOGUE, *MEANS]
    assert len({message_id(code) for code in codes}) == len(codes)


def test_a_fault_leads_with_its_code_and_who_must_act() -> None:
    found = fields("uplink", code_of("%s: %s", ("uplink.send", Unavailable("broker-away"))), 4, "said")
    assert (found["APPLIANCE_CODE"], found["APPLIANCE_ACTOR"]) == ("broker-away", "time")
    assert code_of("%s: unexpected %s at %s", ("triage", "ValueError", "x:1")) == "unexpected"
    assert code_of("study %d: %s", (4, "cleared")) == "event-study"
    assert code_of("something of a library", ()) == OTHER


def test_the_catalogue_is_fresh() -> None:
    assert CATALOG.read_text() == catalogue(), "make docs"


def test_journalctl_takes_the_catalogue_and_explains_a_code(tmp_path: Path) -> None:
    assert shutil.which("journalctl"), "systemd is among tests/system_packages.sh"
    folder = tmp_path / "usr" / "lib" / "systemd" / "catalog"
    folder.mkdir(parents=True)
    shutil.copy(CATALOG, folder)
    (tmp_path / "var" / "lib" / "systemd" / "catalog").mkdir(parents=True)
    made = subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    database = tmp_path / "var" / "lib" / "systemd" / "catalog" / "database"
    assert CATALOGUE["disk-low"].hint.encode() in database.read_bytes()
    assert made.stderr.strip() == ""


SAYS = """
import logging, os, socket, sys
sys.path.insert(0, sys.argv[2])
inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
inbox.bind("/run/systemd/journal/socket")
inbox.settimeout(5)
from appliance.errors import Unavailable
from appliance.world import journal
out = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.dup2(out, 2)
seen = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{seen.st_dev}:{seen.st_ino}"
made = journal.handler("triage")
assert isinstance(made, journal.Journal), type(made)
logging.basicConfig(level=logging.INFO, handlers=[made])
logging.getLogger("appliance").warning("%s: %s", "triage.seal", Unavailable("disk-low"))
sys.stdout.buffer.write(inbox.recv(65536))
"""


@pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="a folder of its own under /run needs root")
def test_libsystemd_sends_the_fields(tmp_path: Path) -> None:
    """The real library to a socket where the journal's would be, in a mount namespace of its own."""
    script = tmp_path / "says.py"
    script.write_text(SAYS)
    inside = 'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && exec "$@"'
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        inside,
        "sh",
        sys.executable,
        str(script),
        str(tmp_path / "err"),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr + (tmp_path / "err").read_bytes()
    told = dict(line.split("=", 1) for line in done.stdout.decode().splitlines() if "=" in line)
    assert told["MESSAGE"] == "triage.seal: disk-low"
    assert told["MESSAGE_ID"] == message_id("disk-low")
    assert (told["PRIORITY"], told["APPLIANCE_CODE"], told["SYSLOG_IDENTIFIER"]) == (
        "4",
        "disk-low",
        "appliance-triage",
    )


def test_without_a_journal_it_is_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert not isinstance(journal.handler("receive"), journal.Journal)
    record = logging.LogRecord("appliance", logging.ERROR, "", 1, "model %s", ("x",), None)
    assert journal.Prefixed("receive: %(message)s").format(record) == "<3>receive: model x"
