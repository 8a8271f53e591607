"""The centre's sample units: as systemd reads them, and that what they run does what it must with what they hand it."""

import json
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from central import publish
from central.cli import main
from tests.publisher import DAY_S, Publisher

UNITS = Path(publish.__file__).parents[1] / "systemd"
SERVICE, TIMER = "central-timestamp.service", "central-timestamp.timer"
EXPOSURE_MAX = 1.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with the units in it, and something where they look for the program."""
    made = tmp_path / "root"
    shutil.copytree(UNITS, made / "etc/systemd/system")
    for name in ("sysinit", "basic", "timers", "shutdown", "time-set", "time-sync"):
        (made / f"etc/systemd/system/{name}.target").write_text("[Unit]\nDescription=of the system\n")
    program = made / "opt/central/bin/central"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return made


def verified(root: Path) -> list[str]:
    """What systemd says of our units."""
    command = ["systemd-analyze", "verify", "--man=no", f"--root={root}", SERVICE, TIMER]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line for line in (said.stdout + said.stderr).splitlines() if "central" in line]


def test_systemd_finds_no_fault(root: Path) -> None:
    assert verified(root) == []


@pytest.mark.parametrize(
    ("file", "word", "wrong"),
    [(SERVICE, "ProtectClock=yes", "ProtectClocks=yes"), (TIMER, "OnCalendar=*-*-*", "OnCalendar=daily-ish")],
)
def test_verify_would_see_a_fault(root: Path, file: str, word: str, wrong: str) -> None:
    unit = root / "etc/systemd/system" / file
    assert word in unit.read_text()
    unit.write_text(unit.read_text().replace(word, wrong))
    assert verified(root)


def test_exposure_as_systemd_judges_it(root: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--root={root}", SERVICE]
    around = {"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=around)
    match = re.search(r"exposure level for \S+: ([0-9.]+)", said.stdout)
    assert match, said.stderr
    assert float(match[1]) <= EXPOSURE_MAX


def test_it_runs_daily_and_makes_up_for_what_was_missed() -> None:
    timer = (UNITS / TIMER).read_text()
    often = re.search(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    assert often
    said = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=3", "--base-time=2026-01-01", often[1]],
        capture_output=True,
        text=True,
        check=True,
    )
    days = re.findall(r"2026-01-(\d\d)", said.stdout)
    assert days == ["01", "02", "03"]
    assert "Persistent=true\n" in timer


def commands(repository: Path, credentials: Path) -> list[list[str]]:
    """What the unit runs, with folders of a test in place of its own."""
    lines = re.findall(r"^ExecStart=/opt/central/bin/central (.*)$", (UNITS / SERVICE).read_text(), re.MULTILINE)
    places = {"/srv/updates": str(repository), "%d": str(credentials)}
    return [[places.get(word, word) for word in shlex.split(line)] for line in lines]


def handed(publisher: Publisher, into: Path) -> Path:
    """The credentials that the unit names, and no other key."""
    into.mkdir()
    told = re.findall(r"^LoadCredential=(\S+):\S*/(\S+)$", (UNITS / SERVICE).read_text(), re.MULTILINE)
    for name, file in told:
        shutil.copy(publisher.keys / file, into / name)
    return into


def days_left(publisher: Publisher, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    capsys.readouterr()
    main(["publish", "status", "--json", "--repository", str(publisher.folder)])
    return {each["role"]: each["days_left"] for each in json.loads(capsys.readouterr().out)["roles"]}


def test_what_it_runs_renews_with_the_two_keys_it_is_handed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publisher = Publisher(tmp_path / "centre", fresh=False)
    publisher.renew(ago_s=13 * DAY_S)
    assert min(days_left(publisher, capsys)[role] for role in publish.ONLINE) <= 1
    renew, look = commands(publisher.folder, handed(publisher, tmp_path / "credentials"))
    assert main(renew) == 0
    left = days_left(publisher, capsys)
    assert min(left[role] for role in publish.ONLINE) >= publish.DAYS["timestamp"] - 1
    assert main(look) == 0


def test_it_fails_where_another_role_ends_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daily run keeps two roles alive; that the others end after a year must not be found out on that day."""
    publisher = Publisher(tmp_path / "centre", fresh=False)
    renew, look = commands(publisher.folder, handed(publisher, tmp_path / "credentials"))
    later = time.time() + (publish.ROLE_DAYS - 53) * DAY_S
    monkeypatch.setattr(time, "time", lambda: later)
    assert main(renew) == 0
    assert main(look) == 1
