"""Each alarm is raised by what it is for and by nothing else; all of them are in the catalogue."""

from dataclasses import replace

import pytest

from appliance.core.alarms import (
    CENTRE_SILENT_S,
    LINE_GONE_S,
    RESULT_WAITS_S,
    TARGET_AWAY_S,
    UPLINK_SILENT_S,
    Condition,
    Queue,
    TargetAway,
    alarms,
)
from appliance.core.volume import Silence
from appliance.errors import CATALOGUE

WELL = Condition(
    queues={
        "routine": Queue(waiting=3, oldest_s=60.0, unanswered=1),
        "urgent": Queue(),
        "critical": Queue(waiting=1, oldest_s=5.0),
    },
    spool_bytes=10,
    spool_bytes_max=100,
    heard_s=CENTRE_SILENT_S - 1,
    clock_ahead_s=60.0,
    page_days=15.0,
    line_days=15.0,
    results_waiting=3,
    results_oldest_s=RESULT_WAITS_S - 1,
    targets=(TargetAway("pacs", "pacs-away", TARGET_AWAY_S - 1),),
)

PLANTED = [
    ("not-enrolled", "alarm", {"enrolled": False}),
    ("disk-low", "alarm", {"disk_low": True}),
    ("verdict-overdue", "alarm", {"queues": {"critical": Queue(overdue=1)}}),
    ("verdict-overdue", "alarm", {"queues": {"urgent": Queue(overdue=2)}}),
    ("verdict-overdue", "warning", {"queues": {"routine": Queue(overdue=1)}}),
    ("centre-silent", "alarm", {"heard_s": CENTRE_SILENT_S}),
    ("centre-silent", "alarm", {"heard_s": None}),
    ("line-gone", "warning", {"line_gone_s": LINE_GONE_S}),
    ("uplink-silent", "alarm", {"uplink_said_s": UPLINK_SILENT_S, "line_gone_s": LINE_GONE_S}),
    ("spool-full", "alarm", {"spool_bytes": 101}),
    ("spool-filling", "warning", {"spool_bytes": 81}),
    ("spool-shed", "warning", {"shed": 2}),
    ("case-refused", "alarm", {"refused": 1}),
    ("part-damaged", "warning", {"damaged": 1}),
    ("scanner-silent", "warning", {"silent": (Silence("CT", 5400.0, 18.0, 12.0),)}),
    ("target-away", "alarm", {"targets": (TargetAway("pacs", "pacs-away", TARGET_AWAY_S),)}),
    ("target-unknown", "alarm", {"targets": (TargetAway("old-pacs", "target-unknown", None),)}),
    ("result-waiting", "warning", {"results_waiting": 2, "results_oldest_s": RESULT_WAITS_S}),
    ("clock-behind", "alarm", {"clock_ahead_s": 3600.0}),
    ("page-certificate", "warning", {"page_days": 13.0}),
    ("page-certificate", "alarm", {"page_days": -1.0}),
    ("line-certificate", "warning", {"line_days": 13.0}),
    ("line-certificate", "alarm", {"line_days": 2.0}),
    ("release-failed", "warning", {"release_failed": "0.2.0"}),
    ("model-fell-back", "warning", {"models_fallen": ("chest",)}),
    ("model-offered", "notice", {"models_offered": ("chest/1.1.0",)}),
    ("release-waits", "notice", {"release_waits": "0.2.0"}),
    ("model-silent", "notice", {"models": ("Certificate harbour: the model has not flagged a study for 20 days.",)}),
]


def test_all_is_well() -> None:
    assert alarms(WELL) == []
    assert alarms(Condition()) == []


@pytest.mark.parametrize(("code", "severity", "changes"), PLANTED)
def test_what_is_not_well_is_said_and_nothing_else(code: str, severity: str, changes: dict) -> None:
    (found,) = alarms(replace(WELL, **changes))
    assert (found.code, found.severity) == (code, severity)
    assert found.said.endswith(".")
    assert code in CATALOGUE


def test_a_silent_centre_is_none_while_nothing_waits() -> None:
    assert alarms(replace(WELL, queues={}, heard_s=1e6)) == []


def test_an_appliance_without_keys_is_not_told_that_the_centre_is_silent() -> None:
    assert [alarm.code for alarm in alarms(replace(WELL, enrolled=False, heard_s=None))] == ["not-enrolled"]


def test_the_gravest_come_first() -> None:
    all_at_once = replace(WELL, **{name: value for _, _, changes in PLANTED for name, value in changes.items()})
    kinds = [alarm.severity for alarm in alarms(all_at_once)]
    assert kinds == sorted(kinds, key=["alarm", "warning", "notice"].index)
    assert len(kinds) >= 8
