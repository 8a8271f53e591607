"""The ledger is gone or damaged: everything is taken in anew, nothing is routine, and no name is given twice."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from appliance.cli import salvage
from appliance.config import Places
from appliance.errors import Fault
from appliance.world import archive, ledger
from appliance.world.ledger import epochs, watch
from tests.core.test_decide import a_certificate
from tests.tiny import tiny
from tests.triage.test_broken_beside import clearing
from tests.triage.test_forgetting import House
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA


def gone(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def torn(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    data = bytearray(path.read_bytes())
    data[4096 : 4096 * 6] = bytes(4096 * 5)
    path.write_bytes(data)


def emptied(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    path.write_bytes(b"no database at all" * 99)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """One film cleared and signed, one study signed after the centre was asked, one that waits for the centre."""
    made = House(tmp_path)
    clearing(made)
    made.read(FILM_UID, DATA)
    made.read()
    made.put(tiny("1.2.826.0.1.8", 1, "PAT-2", "CR", 3))
    made.step("admit", "assemble")
    made.step("assemble", "judge", "seal", passed=9)
    yield made
    made.triage.close()


def after(house: House) -> None:
    clearing(house)
    house.step("admit", "assemble")
    house.step("assemble", "judge", "obey", "seal", "withdraw", passed=9)


@pytest.mark.parametrize("harm", [gone, torn, emptied])
def test_every_study_is_hard_again_and_no_name_of_before_is_given_again(
    house: House, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {row.study_instance_uid: row for row in rows(house, ledger.studies)}
    cases, files = house.cases(), sorted(house.places.instances.rglob("*.dcm"))
    house.triage.close()
    harm(house.places.studies_db)
    assert salvage.run(house.config, house.places, sure=False) == 0
    assert "3 files" in capsys.readouterr().out
    after(house)
    found = {row.study_instance_uid: row for row in rows(house, ledger.studies)}
    assert found.keys() == before.keys()
    assert {row.state for row in found.values()} == {"escalated"}
    assert min(row.number for row in found.values()) > max(row.number for row in before.values())
    assert {row.revision for row in found.values()} == {epochs.STEP + 1}
    film = house.result(FILM_UID)
    assert [reason["code"] for reason in film.reasons] in (["study-salvaged"], ["certificate-revoked"])
    assert {row.outcome for row in rows(house, ledger.signatures)} == {"stale"}, "no signature counts for another study"
    assert {house.cases()[name] for name in cases} <= {"closed", "cancelled"}
    assert len(house.cases()) == len(cases) + 3
    assert sorted(house.places.instances.rglob("*.dcm")) == files, "byte for byte where they lay"
    assert [line for line in house.wrong() if "signature up to the last" not in line] == []


def rows(house: House, table: Any) -> list[Any]:
    with house.triage.engine.connect() as c:
        return list(c.execute(select(table)))


def test_every_certificate_that_lies_anywhere_is_taken_away(house: House) -> None:
    """The ledger that knew of an alarm is lost: one that came with the updates opens no lane again either, nor one
    whose package cannot be read today, nor one that uplink has fetched and triage would take in once more."""
    places = house.places
    folders = {
        "beside": places.certificates / "chest" / "1.1.0",
        "delivered": places.delivered_certificates / "chest" / "1.1.0",
        "in a delivered package": places.delivered_models / "chest" / "1.1.0" / "certificates",
        "in a package of this site": places.models / "chest" / "1.0.0" / "certificates",
        "fetched": places.mirror / "targets" / "certificates",
    }
    digests = set()
    for day, folder in enumerate(folders.values()):
        folder.mkdir(parents=True)
        made = a_certificate(created=date(2026, 11, 1 + day), expires=date(2027, 11, 1))
        (folder / f"{made.digest}.json").write_text(made.model_dump_json())
        (folder / "odd.json").write_text("{}")
        digests.add(made.digest)
    house.triage.close()
    gone(places.studies_db)
    assert salvage.run(house.config, places, sure=False) == 0
    house.start()
    with house.triage.engine.connect() as c:
        assert digests <= {row.certificate for row in watch.revoked(c)}
    assert len(digests) == len(folders)


def test_a_salvage_that_died_is_done_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.triage.close()
    gone(house.places.studies_db)
    real, left = archive.rename, [2]

    def dying(source: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(archive, "rename", dying)
    with pytest.raises(KeyboardInterrupt):
        salvage.run(house.config, house.places, sure=False)
    monkeypatch.setattr(archive, "rename", real)
    assert salvage.run(house.config, house.places, sure=False) == 0
    after(house)
    assert len(rows(house, ledger.studies)) == 3
    assert {row.doubt for row in rows(house, ledger.studies)} == {"study-salvaged"}


def test_a_sound_ledger_is_left_alone(house: House) -> None:
    house.triage.close()
    before = house.places.studies_db.read_bytes()
    assert salvage.run(house.config, house.places, sure=False) == 1
    assert house.places.studies_db.read_bytes() == before
    house.start()


def test_where_nothing_is_kept_it_says_so(tmp_path: Path, house: House) -> None:
    with pytest.raises(Fault, match="state-folder"):
        salvage.run(house.config, Places(tmp_path / "none"), sure=False)
