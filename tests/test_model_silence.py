"""A model that has not flagged anything for long: when that is said, and when it is not."""

import pytest
from sqlalchemy import create_engine, insert

from appliance.silence import DAY_S, SILENT_DAYS, SILENT_STUDIES_MIN, silence
from appliance.world.ledger import watch

NOW = 1_800_000_000.0
ENOUGH = SILENT_STUDIES_MIN


@pytest.mark.parametrize(
    ("cleared", "flagged_days_ago", "said"),
    [
        (ENOUGH - 1, None, ""),
        (ENOUGH, None, f"the model has not flagged one of {ENOUGH} studies"),
        (ENOUGH, 1.0, ""),
        (ENOUGH, SILENT_DAYS - 0.1, ""),
        (ENOUGH, SILENT_DAYS + 6, "the model has not flagged a study for 20 days"),
        (3, SILENT_DAYS + 6, ""),
    ],
)
def test_a_model_is_silent_when_it_has_seen_enough_and_flagged_nothing(
    cleared: int, flagged_days_ago: float | None, said: str
) -> None:
    engine = create_engine("sqlite://")
    watch.METADATA.create_all(engine)
    rows = [("cleared", NOW - 30.0)] * cleared
    rows += [] if flagged_days_ago is None else [("flagged", NOW - flagged_days_ago * DAY_S)]
    with engine.begin() as c:
        for number, (lane, at) in enumerate(rows, 1):
            row = {"certificate": "a", "study_number": number, "lane": lane, "decided_at": at}
            c.execute(insert(watch.watched).values(**row))
        assert silence(c, "a", NOW) == said
        assert silence(c, "another", NOW) == ""
    engine.dispose()
