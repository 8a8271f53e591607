"""SIGKILL on real processes: nothing is lost, nothing counts twice; and the campaign sees a house that loses."""

from pathlib import Path

import pytest

from tests.faults.kills import STAGED_KILLS, STAGED_STUDIES, campaign

KILLS = 10  # the campaign beside it kills on; `make faults` for hours
FREED_TOO_EARLY = Path(__file__).with_name("freed_too_early.py")


@pytest.mark.timeout(400)
def test_sigkill_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    report = campaign(tmp_path, kills=KILLS, studies=12, seed=2)
    assert report.holds, str(report)
    assert report.kills.total() == KILLS
    assert report.at_work >= 5, f"too many kills hit a process that was only starting: {report}"


def test_freeing_a_case_before_its_receipt_is_seen(tmp_path: Path) -> None:
    report = campaign(
        tmp_path,
        kills=STAGED_KILLS,
        studies=STAGED_STUDIES,
        seed=3,
        entries={"triage": FREED_TOO_EARLY},
        patience_s=8.0,
    )
    assert not report.holds
    assert any("has its part here" in each for each in report.broken), str(report)
    assert any("not answered" in each for each in report.broken), str(report)
