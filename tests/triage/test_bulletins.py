"""What triage hands uplink to say of the whole appliance: codes and counts, and nothing of the studies they are of."""

from typing import Any

from appliance.core.alarms import Alarm
from appliance.core.bulletin import ALARMS_MAX, Bulletin, codes
from appliance.core.document import encode
from appliance.loop import Moment
from appliance.triage.bulletins import DAY_S, PERIOD_S
from appliance.world import ledger, sqlite, wire
from appliance.world.wire import bulletins
from tests.tiny import tiny
from tests.triage.conftest import Bench


def told(bench: Bench) -> Bulletin:
    bench.step("bulletin", passed=PERIOD_S)
    with bench.triage.cases.connect() as c:
        found = bulletins.newest(c)
    assert found is not None
    return found


def test_studies_of_the_last_day_by_lane_and_none_of_their_words(bench: Bench) -> None:
    assert told(bench).day.model_dump() == dict.fromkeys(
        ("cleared", "flagged", "escalated", "quarantined", "undecided"), 0
    )
    bench.put(tiny("1.2.826.0.1.71", 1, "ROE-JANE-19471", "CR", 3))
    bench.step("admit")
    assert told(bench).day.undecided == 1
    bench.step(passed=5.0)
    bench.step(passed=5.0)
    found = told(bench)
    assert (found.day.escalated, found.day.undecided) == (1, 0), "without a certificate all is escalated"
    assert bench.study("1.2.826.0.1.71").patient_id == "ROE-JANE-19471"
    with bench.triage.engine.begin() as c:
        c.execute(ledger.studies.update().values(state="quarantined"))
    assert told(bench).day.quarantined == 1
    said = encode(told(bench))
    assert b"ROE" not in said
    assert b"1.2.826" not in said
    bench.now += DAY_S
    assert told(bench).day.quarantined == 0


def test_alarms_are_the_one_list_without_its_sentences(bench: Bench) -> None:
    assert told(bench).alarms["not-enrolled"] == "alarm"
    link: Any = bench.link()
    with link.begin() as c:
        c.execute(wire.LINK.tables["line"].insert().values(id=1, connected=False, since=0.0, said_at=bench.now))
    found = told(bench)
    assert "line-gone" not in found.alarms, "whoever hears this hears it over the line"
    assert (found.policy, found.updates) == (0, None)
    link.dispose()


def test_the_gravest_of_a_code_counts_and_there_is_a_limit() -> None:
    doubled = [Alarm("verdict-overdue", "warning", ""), Alarm("verdict-overdue", "alarm", "words")]
    assert codes([*doubled, Alarm("line-gone", "warning", "")]) == {"verdict-overdue": "alarm"}
    assert len(codes([Alarm(f"c{number}", "notice", "") for number in range(ALARMS_MAX + 9)])) == ALARMS_MAX


def test_it_is_written_once_a_period_and_read_by_an_uplink_that_may_only_read(bench: Bench) -> None:
    first = told(bench)
    bench.triage.bulletins.tell(Moment(bench.now + 1, bench.now + 1))
    reader = sqlite.open_reader(bench.places.cases_db)
    with reader.connect() as c:
        assert bulletins.newest(c) == first
    reader.dispose()


def test_the_document_has_no_field_for_words() -> None:
    """Every text in it has a pattern or is one of a few words: a sentence or a name with a blank fits nowhere."""
    found = []

    def look(schema: Any) -> None:
        if isinstance(schema, dict):
            if schema.get("type") == "string":
                found.append(schema)
            for each in schema.values():
                look(each)
        elif isinstance(schema, list):
            for each in schema:
                look(each)

    look(Bulletin.model_json_schema())
    assert len(found) >= 5
    assert [each for each in found if not {"pattern", "enum", "const"} & set(each)] == []
