"""`appliance forget` and `appliance hold`, as an administrator types them."""

import json
from collections.abc import Iterator

import pytest

from appliance.cli import main
from tests.triage.conftest import UID
from tests.triage.test_forgetting import DAY, SCANNER, House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("forget"), SCANNER)
    made.read()
    yield made
    made.triage.close()


def configured(house: House) -> str:
    path = house.places.root.parent / "appliance.toml"
    retention = '[retention]\nkeep_days = 36500\ncopy_kept_by = "scanner"\n'
    path.write_text(f'[state]\nfolder = "{house.places.root}"\n{retention}')
    return str(path)


def test_list_hold_lift_and_order_as_typed(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    told = ["--config", configured(house)]
    assert main([*told, "forget", "--list"]) == 0
    assert "its time is not over" in capsys.readouterr().out
    assert main([*told, "hold", UID, "--because", "a court asks"]) == 0
    assert main([*told, "forget", "--study", UID, "--because", "its patient asks"]) == 0
    capsys.readouterr()
    assert main([*told, "forget", "--list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["reviewed"]
    assert (list(row["kept_because"]), row["ordered"]) == (["held"], True)
    house.wait(DAY)
    assert main([*told, "hold", UID, "--lift", "--because", "the court has ended"]) == 0
    house.wait(DAY)
    capsys.readouterr()
    assert main([*told, "forget", "--list"]) == 0
    said = capsys.readouterr().out
    assert "forgotten" in said
    assert "order 2" in said
    assert main([*told, "hold", UID, "--because", "too late"]) == 1
    assert main([*told, "audit", "check"]) == 0


def test_a_reason_must_be_given(house: House) -> None:
    assert main(["--config", configured(house), "forget", "--study", UID]) == 2
