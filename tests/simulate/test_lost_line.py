"""Uplink's own ledger is gone: what stood in it is sent and asked for again, and nothing is doubled or lost."""

from pathlib import Path

import pytest

from appliance.cli import salvage
from appliance.cli.reconcile import reconcile
from tests.simulate.house import House
from tests.simulate.test_backup import sealed_elsewhere
from tests.triage.test_salvage import emptied, gone


@pytest.mark.parametrize("how", ["gone", "salvaged"])
@pytest.mark.parametrize("seed", [3, 5])
def test_after_the_loss_of_the_line_the_house_comes_to_rest_with_the_centre(
    tmp_path: Path, seed: int, how: str
) -> None:
    house = House(tmp_path, seed)
    house.run(0)
    house.net.stormy = True
    with house.fuse.fitted():
        for _ in range(60):  # cut off in the midst: cases and verdicts are on their way
            house._pass_time(jumps=False)
            if house.dice.random() < 0.15:
                house.scan()
            house._turn(house.dice.choice(("receive", "triage", "triage", "triage", "uplink", "central")))
            house.net.blow()
    for engines in house.engines.values():
        for engine in engines:
            engine.dispose()
    if how == "gone":
        gone(house.places.link_db)
    else:
        emptied(house.places.link_db)
        assert salvage.run(house.config, house.places, sure=False) == 0
    for name in ("triage", "uplink", "central", "review"):
        house.start(name)
    house.run(0)
    assert [check.name for check in reconcile(house.places, deep=True)[0] if not check.holds] == []
    assert house.open_cases() == []
    assert sealed_elsewhere(house) == []
    for engines in house.engines.values():
        for engine in engines:
            engine.dispose()
