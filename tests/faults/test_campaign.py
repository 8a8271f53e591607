"""Some episodes of the campaign (hundreds by `make faults`), and proof that its judges see what they are there for."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.world import sqlite
from central import store
from tests.central.centre_samples import enrol
from tests.faults.capture import listened
from tests.faults.promises import judged, overtaken
from tests.faults.seven_days import week_without_a_line
from tests.faults.town import Town

ROOT = Path(__file__).parents[2]
EPISODES = 7


@pytest.mark.timeout(600)
def test_a_few_episodes_break_no_promise() -> None:
    """In a process of its own, because it moves into a network namespace."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.campaign", "--episodes", str(EPISODES), "--town", "5"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # not under tmp_path: PostgreSQL is another user
        capture_output=True,
        text=True,
        timeout=580,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{EPISODES} episodes" in done.stdout


@pytest.mark.timeout(300)
def test_a_week_without_a_line_comes_home(tmp_path: Path) -> None:
    week = week_without_a_line(tmp_path, days=7, a_day=3, workers=2)
    assert not week.broken, week.table()
    assert week.studies == 21


@pytest.fixture
def judged_town(tmp_path: Path) -> Iterator[Town]:
    """A small town in which two studies were answered and everything holds."""
    with Town(tmp_path, appliances=1, workers=1) as town:
        town.drop(1, 2)

        def answered() -> bool:
            states = town.states(1)
            return len(states) == 2 and set(states.values()) == {"answered"} and town.at_rest(1)

        town.until(answered, "the studies are not answered")
        town.edges[0].fall()
        broken, heard = judged(town)
        assert not broken
        assert heard.opened_cases == 2
        yield town


@pytest.mark.timeout(120)
def test_what_the_judges_are_there_to_see_is_seen(judged_town: Town) -> None:
    edge = judged_town.edges[0]

    def sees(words: str) -> bool:
        return any(words in each for each in judged(judged_town)[0])

    scan = judged_town.book.scans[0]
    line = judged_town.folder / "line-1"
    plain = line / "999999.up"
    plain.write_bytes(publish(f"edge/2/up/00/{edge.name}/roll", b"", b"EDL1" + scan.patient.encode()))
    assert sees("bears an identity in the clear")
    plain.write_bytes(publish("edge/2/up/00/St-Mary/roll", b"", b"EDL1"))
    assert sees("is not in the plan of topics")
    plain.write_bytes(publish(f"edge/2/up/00/{edge.name}/roll", b"", b'{"case_ids": []}'))
    assert sees("neither letter nor part")
    plain.write_bytes(publish(f"edge/2/up/00/{edge.name}/roll", b"\x26\x00\x01a\x00\x01b", b"EDL1"))
    assert sees("which can carry words")
    plain.unlink()

    scans = judged_town.book.scans
    scans[0] = replace(scan, urgency="urgent" if scan.urgency != "urgent" else "routine")
    assert sees("1 cases travelled otherwise than asked for")
    scans[0] = scan

    kept = next(edge.places.instances.glob("*/*.dcm"))
    aside = kept.with_suffix(".aside")
    kept.rename(aside)
    assert sees("1 files lost")
    aside.rename(kept)
    assert not judged(judged_town)[0]

    engine = sqlite.open_writer(judged_town.central / "central.db", store.METADATA)
    with engine.begin() as c:
        c.execute(store.asks.delete())
        c.execute(store.verdicts.delete())
        c.execute(store.cases.delete().where(store.cases.c.id == 1))
    engine.dispose()
    assert sees("closed here, unknown at the centre")
    assert sees("verdicts differ")


def test_a_critical_case_behind_a_later_one_is_seen() -> None:
    sealed = {"early": 1, "critical": 2, "later": 3}
    assert not overtaken([("early", "routine"), ("critical", "critical"), ("later", "urgent")], sealed)
    assert overtaken([("early", "routine"), ("later", "urgent"), ("critical", "critical")], sealed) == {"critical"}
    again = [("critical", "critical"), ("later", "urgent"), ("critical", "critical")]
    assert not overtaken(again, sealed), "only the first time counts"


def publish(topic: str, properties: bytes, payload: bytes) -> bytes:
    """One MQTT 5 PUBLISH of QoS 0."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + bytes([len(properties)]) + properties + payload
    assert len(body) < 128
    return bytes([0x30, len(body)]) + body


def test_a_stream_that_ends_within_a_packet_is_read_to_its_last_whole_one(tmp_path: Path) -> None:
    whole = publish("edge/2/down/site-1/standing", b"", b"EDL1")
    (tmp_path / "000001.down").write_bytes(whole + whole[:9])
    heard = listened([tmp_path], enrol(tmp_path / "keys"), set())
    assert (heard.publishes, heard.wrong) == (1, [])
