"""The demonstration, whole and as its own process: its table is what the ledgers say, and nothing is left running."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from appliance.config import Places
from appliance.world import ledger, sqlite
from sample_dicom.account import Account, Line, summary
from sample_dicom.display import COLUMNS
from sample_dicom.scanner import Story, stories

ROOT = Path(__file__).parents[2]
FILMS, SEED = 1, 5
WAIT_S = 150.0


def command(state: Path, *more: str) -> list[str]:
    """The demonstration without the labelled films: there is no data folder inside the state folder."""
    fixed = ["--state", str(state), "--data", str(state / "none"), "--films", str(FILMS), "--seed", str(SEED)]
    return [sys.executable, "-m", "sample_dicom.demo", *fixed, *more]


def play(state: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(state, *more), cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False)


def left_running(state: Path) -> list[str]:
    """Commands of processes that name the state folder, whoever their parent is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if os.fsencode(state) in words:
            found.append(words.replace(b"\0", b" ").decode())
    return found


def rows(out: str) -> list[list[str]]:
    lines = out.splitlines()
    start = lines.index(" | ".join(COLUMNS)) + 1
    return [line.split(" | ") for line in lines[start:] if line.count(" | ") == len(COLUMNS) - 1]


def test_it_ends_well_and_its_table_is_what_the_ledger_says(tmp_path: Path) -> None:
    done = play(tmp_path, "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert left_running(tmp_path) == []
    assert "review page http://127.0.0.1:" in done.stdout
    told, shown = stories(SEED, None, FILMS), rows(done.stdout)
    assert [row[0] for row in shown] == [story.what for story in told]
    engine = sqlite.open_reader(Places(tmp_path / "state").studies_db)
    with engine.connect() as c:
        for story, row in zip(told, shown, strict=True):
            is_what_the_ledger_says(c, story, row)
        assert ledger.counts(c)["answered"] == len([story for story in told if story.study_instance_uid])
    engine.dispose()
    lanes = [row[2] for row in shown]
    escalated = lanes.count("escalated")
    assert (
        f"{escalated} studies: 0 cleared, 0 flagged, {escalated} escalated and answered, 0 quarantined; "
        f"{len(lanes) - escalated} files refused with a code" in done.stdout
    )


def is_what_the_ledger_says(c: Connection, story: Story, row: list[str]) -> None:
    _, label, lane, because, centre = row
    assert label == (story.truth or "-")
    if not story.study_instance_uid:
        assert (lane, centre) == (story.expect, "not asked")
        return
    study = ledger.study_by_uid(c, story.study_instance_uid)
    assert study is not None
    result = ledger.result_of(c, study.number, study.revision)
    assert result is not None
    assert lane == result.lane == "escalated"  # nothing drawn is decided here, and no model knows the real ones
    assert because == " ".join(reason["text"] for reason in result.reasons)
    (verdict,) = ledger.verdicts_of(c, study.number)
    assert centre == f"needs human: {verdict.body['impression']}"
    assert not verdict.body["reader"]["connected"]
    assert "no language model is connected" in centre.lower()


def test_no_time_is_status_1_with_what_is_missing(tmp_path: Path) -> None:
    done = play(tmp_path, "--once", "--deadline-s", "0.1")
    assert done.returncode == 1
    count = len(stories(SEED, None, FILMS))
    assert f"out of time: {count} of {count} did not reach their end" in done.stdout
    assert f"state folder kept: {tmp_path}" in done.stdout
    assert left_running(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_every_child(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("all services are up"):
                break
        assert len(left_running(tmp_path)) > 5
        process.send_signal(number)
        out = process.stdout.read()
        assert process.wait(WAIT_S) == 1
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "stopped: " in out
    assert left_running(tmp_path) == []


STORY = Story("1.2.3", (), "an adult", "pneumonia", "escalated")
LINE = Line(STORY, 1, "answered", "escalated", "", "needs human: …", True)
ODD = Line(replace(STORY, study_instance_uid="", truth=None, expect="file-empty"), None, "refused", "x", "", "", True)


@pytest.mark.parametrize(
    ("line", "surprising"),
    [
        (LINE, False),
        (replace(LINE, lane="cleared"), True),
        (replace(LINE, lane="flagged"), True),
        (replace(LINE, lane="quarantined"), True),
        (replace(LINE, lane="cleared", story=replace(STORY, expect="decided")), False),
        (replace(LINE, lane="quarantined", story=replace(STORY, expect="decided")), True),
        (replace(LINE, state="received", lane="", ended=False), False),
        (ODD, True),
        (replace(ODD, lane="file-empty"), False),
    ],
)
def test_an_end_that_the_story_does_not_allow_is_seen(line: Line, surprising: bool) -> None:
    assert line.surprising == surprising


@pytest.mark.parametrize(
    ("lines", "states", "ended"),
    [
        ((LINE,), {"answered": 1, "received": 0}, True),
        ((LINE,), {"answered": 1, "escalated": 1}, False),
        ((LINE, replace(LINE, ended=False)), {"answered": 1}, False),
    ],
)
def test_one_study_on_its_way_is_no_end(lines: tuple[Line, ...], states: dict[str, int], ended: bool) -> None:
    assert Account(lines, states, {}).ended == ended


def test_a_missed_finding_is_told() -> None:
    missed = replace(LINE, lane="cleared", centre="")
    alarm = replace(LINE, lane="flagged", centre="", story=replace(STORY, truth="normal"))
    told = summary(Account((missed, alarm, ODD), {}, {}), site_films=True)
    assert told[0].startswith("2 studies: 1 cleared, 1 flagged, 0 escalated and answered, 0 quarantined; 1 files")
    assert told[1] == "of 1 cleared with a known label, 1 had the finding"
    assert told[2] == "of 1 flagged with a known label, 1 did not have the finding"
    assert "prove nothing" in told[3]
    assert len(summary(Account((LINE,), {}, {}), site_films=True)) == 1
