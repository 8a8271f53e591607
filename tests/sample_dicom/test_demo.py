"""The demonstration, whole and as its own process: its table is what the ledgers say, and nothing is left running."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from appliance.config import Places, load
from appliance.world import ledger, sqlite
from sample_dicom.account import Account, Line, summary
from sample_dicom.display import COLUMNS
from sample_dicom.promise import certificates_of
from sample_dicom.scanner import Story, stories

ROOT = Path(__file__).parents[2]
FILMS, SEED = 3, 5
WAIT_S = 150.0


def command(state: Path, *more: str) -> list[str]:
    """The demonstration as it is without any data folder."""
    fixed = ["--state", str(state), "--films", str(FILMS), "--seed", str(SEED), "--no-llm"]
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
    told, shown = stories(SEED, None, FILMS, "synthetic"), rows(done.stdout)
    assert [row[0] for row in shown] == [story.what for story in told]
    config, places = load(tmp_path / "appliance.toml"), Places(tmp_path / "state")
    own = certificates_of(config, places, datetime.now(UTC).date())
    names = {each.name for each in own}
    engine = sqlite.open_reader(places.studies_db)
    with engine.connect() as c:
        for story, row in zip(told, shown, strict=True):
            is_what_the_ledger_says(c, story, row, names)
        lanes = [row[2] for row in shown]
        assert ledger.counts(c)["answered"] == lanes.count("escalated")
    engine.dispose()
    studies = sum(bool(story.study_instance_uid) for story in told)
    assert (
        f"{studies} studies: {lanes.count('cleared')} cleared, {lanes.count('flagged')} flagged, "
        f"{lanes.count('escalated')} escalated and answered, 0 quarantined; "
        f"{len(lanes) - studies} files refused with a code" in done.stdout
    )
    if not own:
        assert "no certificate speaks for the site synthetic: everything of it is escalated" in done.stdout
    else:
        assert f"certificate {own[-1].name} of the site synthetic promises" in done.stdout
    decided = lanes.count("cleared") + lanes.count("flagged")
    assert f"decided here, among all of them: promised -; counted {decided} of {FILMS}: " in done.stdout


def is_what_the_ledger_says(c: Connection, story: Story, row: list[str], certificates: set[str]) -> None:
    _, label, lane, because, centre = row
    assert label == (story.truth or "-")
    if not story.study_instance_uid:
        assert (lane, centre) == (story.expect, "not asked")
        return
    study = ledger.study_by_uid(c, story.study_instance_uid)
    assert study is not None
    result = ledger.result_of(c, study.number, study.revision)
    assert result is not None
    assert lane == result.lane
    assert because == " ".join(reason["text"] for reason in result.reasons)
    if lane != "escalated":  # only a film of the site's own, and only under the site's certificate
        assert story.expect == "decided"
        assert result.certificate in certificates
        assert centre == "not asked"
        return
    (verdict,) = ledger.verdicts_of(c, study.number)
    assert centre == f"needs human: {verdict.body['impression']}"
    assert not verdict.body["reader"]["connected"]
    assert "no language model is connected" in centre.lower()


def test_no_time_is_status_1_with_what_is_missing(tmp_path: Path) -> None:
    """Harbour, without its films: phantoms take their place."""
    done = play(tmp_path, "--once", "--deadline-s", "0.1", "--site", "harbour", "--data", str(tmp_path / "none"))
    assert done.returncode == 1
    count = len(stories(SEED, None, FILMS, "harbour"))
    assert f"out of time: {count} of {count} did not reach their end" in done.stdout
    assert f"state folder kept: {tmp_path}" in done.stdout
    assert left_running(tmp_path) == []


def test_ctrl_c_ends_it_and_every_child(tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("all services are up"):
                break
        assert len(left_running(tmp_path)) > 5
        process.send_signal(signal.SIGINT)
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


def test_what_the_counts_do_not_mean_is_told_where_something_was_decided() -> None:
    missed = replace(LINE, lane="cleared", centre="")
    alarm = replace(LINE, lane="flagged", centre="", story=replace(STORY, truth="normal"))
    told = summary(Account((missed, alarm, ODD), {}, {}), "these counts prove nothing")
    assert told[0].startswith("2 studies: 1 cleared, 1 flagged, 0 escalated and answered, 0 quarantined; 1 files")
    assert told[1] == "these counts prove nothing"
    assert len(summary(Account((LINE,), {}, {}), "these counts prove nothing")) == 1
    assert len(summary(Account((missed,), {}, {}), "")) == 1
