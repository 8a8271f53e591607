"""What the page says of the watch: nothing taken away is hidden, and a blinded film does not say which row it is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.core.worklist_order import Waits
from appliance.review import words, worklist
from appliance.review.alarms import alarms
from appliance.world import ledger, sqlite
from appliance.world.ledger import watch
from tests.triage.test_watch import an_instance

GROUP = {"manufacturer": "Harbour Imaging", "manufacturer_model_name": "PX-224", "modality": "CR"}
GONE = {"name": "pier", "site": "pier", "exit": 2, "group": GROUP, "created": "2026-11-02"}
PAGE: Any = SimpleNamespace(config=SimpleNamespace(audit=SimpleNamespace(answer_days=14)))
QUIET = {"state": {}, "stage": "quiet", "stage_since": 1.0, "e_value": 1.0, "answers": 0, "misses": 0, "drift": {}}


@pytest.mark.parametrize(
    ("changed", "hidden"),
    [
        ({}, True),  # renewed on the same day
        ({"created": "2026-11-03"}, True),
        ({"created": "2026-11-01"}, False),
        ({"exit": 1}, False),
        ({"group": {**GROUP, "manufacturer_model_name": "PX-225"}}, False),
        ({"site": "quay"}, False),
    ],
)
def test_only_a_newer_certificate_for_the_same_films_takes_the_alarm_away(
    tmp_path: Path, changed: dict[str, Any], hidden: bool
):
    engine = sqlite.open_writer(tmp_path / "studies.db", ledger.METADATA)
    with engine.begin() as c:
        watch.put_monitor(c, "a" * 64, "chest/1.0.0", GONE, QUIET)
        watch.put_monitor(c, "b" * 64, "chest/1.0.0", {**GONE, "name": "other", **changed}, QUIET)
        watch.revoke(c, "a" * 64, at=1.0, cause="audits", who="triage", because="e-value 100")
        said = [each.text for each in alarms(c, PAGE, 2.0) if each.kind == "alarm"]
    engine.dispose()
    assert bool(said) != hidden
    assert all(text.startswith("Certificate pier was taken away") for text in said)


def test_what_was_cleared_under_a_certificate_taken_away_no_longer_comes_last(tmp_path: Path):
    engine = sqlite.open_writer(tmp_path / "studies.db", ledger.METADATA)
    result = {"lane": "cleared", "priority": "routine", "reasons": [], "scores": [], "timings_ms": {}, "decided_at": 1}
    with engine.begin() as c:
        for n, certificate in ((1, "b" * 64), (2, "a" * 64)):
            number, _ = ledger.add_instance(c, an_instance(n), float(n))
            for state in ("complete", "routine"):
                study = ledger.study_by_number(c, number)
                assert study is not None
                ledger.move(c, study, state, who="t", at=1.0)  # type: ignore[arg-type]
            ledger.put_result(c, number, 1, result)
            watch.see(c, certificate, number, "cleared", 1.0)
        assert [row.number for row in worklist.rows(c, "to-read", 1, 2.0, Waits(10.0, 20.0, 30.0))] == [1, 2]
        watch.revoke(c, "a" * 64, at=1.0, cause="audits", who="triage", because="e-value 100")
        assert [row.number for row in worklist.rows(c, "to-read", 1, 2.0, Waits(10.0, 20.0, 30.0))] == [2, 1]
    engine.dispose()


def test_a_blinded_film_waits_in_days_where_the_worklist_tells_minutes():
    told = {words.days(seconds) for seconds in range(0, 86_400, 600)}
    assert told == {"under a day"}
    assert [words.days(day * 86_400.0) for day in (1, 2)] == ["1 day", "2 days"]
