"""The self-test: each line green on a sound house and red on one planted fault, on the page and on the command line."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from seeding import NOW, PASSWORD, USER, Seeded, filled, seed
from speaking import Hands
from test_audit import NEW, TITLE, Rows

from appliance.cli import main
from appliance.config import Config, Places
from appliance.core.selftest import Line, all_well
from appliance.review import members
from appliance.review.selftest import self_test
from appliance.world import desk, ledger, sqlite, wire
from appliance.world.ledger import watch
from tests.world.test_wire import way


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Seeded]:
    """A house in which all is well: enrolled, a model under a certificate, every ledger there."""
    made = seed(tmp_path / "state")
    filled(made)
    rows = Rows(made)
    rows.model()
    rows.certificate(NEW, "harbour@2")
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    link = sqlite.open_writer(made.places.link_db, wire.LINK)
    with link.begin() as far:
        wire.record_receipt(far, f"{7:032x}", NOW - 2000)
    link.dispose()
    hands = Hands(made.places)
    for name, role in ((USER, "reader"), ("ada.admin", "administrator")):
        members.add_user(hands.ledgers, name, PASSWORD, at=NOW - 10, role=role)
    hands.close()
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "centre.json").write_text("{}")
    yield made
    made.engine.dispose()


def configured(made: Seeded) -> Config:
    root = made.places.root.parent
    told = {"keys": {"folder": root / "keys"}, "state": {"folder": made.places.root}, "review": {"tls": "off"}}
    return Config.model_validate({**told, "receive": {"disk_reserve_bytes": 0}})


def looked(made: Seeded, now: float = NOW + 60) -> dict[str, Line]:
    return {each.name: each for each in self_test(configured(made), made.places, now)}


def red(made: Seeded, now: float = NOW + 60) -> list[str]:
    found = looked(made, now)
    assert all(each.todo for each in found.values() if not each.ok), "a red line says what to do"
    return [name for name, each in found.items() if not each.ok]


def test_all_is_well_in_a_sound_house(house: Seeded) -> None:
    found = looked(house)
    assert red(house) == []
    assert {"ledger: clinical ledger", "disk of the state", "clock", f"model {TITLE}", "centre", "audit trail"} <= set(
        found
    )
    assert "in force until 2999-01-01" in found[f"model {TITLE}"].found


def spoiled(path: Path) -> None:
    """Overwrites the second page of a database with noise."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(range(256)) * 16)


def damaged_ledger(made: Seeded) -> None:
    made.engine.dispose()  # whoever closes last empties the log into the file
    spoiled(made.places.studies_db)


def missing_ledger(made: Seeded) -> None:
    for path in made.places.wire.glob("link.db*"):
        path.unlink()


def broken_trail(made: Seeded) -> None:
    engine = sqlite.open_writer(made.places.review_db, desk.METADATA)
    with engine.begin() as c:
        c.exec_driver_sql("DROP TRIGGER audit_no_update")
        c.exec_driver_sql("UPDATE audit SET user = 'nobody' WHERE id = 1")
    engine.dispose()


def warned_certificate(made: Seeded) -> None:
    with made.engine.begin() as c:
        watch.set_monitor(c, NEW, stage="warn")


def forgotten_centre(made: Seeded) -> None:
    (made.places.root.parent / "keys" / "centre.json").unlink()


def silent_centre(made: Seeded) -> None:
    cases = sqlite.open_writer(made.places.cases_db, wire.CASES)
    with cases.begin() as c:
        wire.put_case(c, "a" * 32, [way("a" * 32)], revision=1, urgency="routine", at=NOW - 3600)
    cases.dispose()


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (damaged_ledger, "ledger: clinical ledger"),
        (missing_ledger, "ledger: line, centre"),
        (broken_trail, "audit trail"),
        (warned_certificate, f"model {TITLE}"),
        (forgotten_centre, "centre"),
        (silent_centre, "centre"),
    ],
)
def test_one_fault_makes_one_line_red(house: Seeded, plant: Callable[[Seeded], None], name: str) -> None:
    plant(house)
    assert ", ".join(red(house)) == name


def test_a_model_without_a_certificate_escalates_everything_and_that_is_said(house: Seeded) -> None:
    with house.engine.begin() as c:
        c.execute(watch.monitors.update().values(present=False))
    assert "escalates everything" in looked(house)[f"model {TITLE}"].found
    assert red(house) == []
    with house.engine.begin() as c:
        c.execute(watch.installed.update().values(present=False))
    assert red(house) == ["models"]


def test_a_clock_that_was_set_back_is_seen(house: Seeded) -> None:
    assert red(house, NOW - 3600) == ["clock"]


def test_a_certificate_that_ends_soon_or_has_ended_is_red(house: Seeded) -> None:
    for days, words in ((-1, "expired on"), (3, "in force until")):
        day = time.strftime("%Y-%m-%d", time.gmtime(NOW + days * 86_400))
        with house.engine.begin() as c:
            row = c.execute(watch.monitors.select()).one()
            c.execute(watch.monitors.update().values(facts={**row.facts, "expires": day}))
        found = looked(house)[f"model {TITLE}"]
        assert (found.ok, f"{words} {day}" in found.found) == (False, True)


def test_a_page_certificate_that_cannot_be_read_is_red(house: Seeded, tmp_path: Path) -> None:
    told = configured(house).model_dump()
    told["review"] |= {"tls": "files", "tls_certificate_file": tmp_path / "none.pem"}
    found = {each.name: each for each in self_test(Config.model_validate(told), house.places, NOW + 60)}
    assert not found["page certificate"].ok


def test_a_disk_below_its_reserve_is_red(house: Seeded) -> None:
    told = configured(house).model_dump()
    told["receive"]["disk_reserve_bytes"] = 2**40
    found = {each.name: each for each in self_test(Config.model_validate(told), house.places, NOW + 60)}
    assert [found["disk of the state"].ok] == [False]


def test_a_look_ends_in_time(house: Seeded) -> None:
    with house.engine.begin() as c:
        many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i FROM n"
        c.exec_driver_sql(f"CREATE TABLE much AS {many}")
    assert sqlite.is_sound(house.places.studies_db, lambda: True) is None
    assert sqlite.is_sound(house.places.studies_db, lambda: False) is True


def test_before_the_first_start_nothing_is_red_for_want_of_a_ledger(tmp_path: Path) -> None:
    config = Config.model_validate({"keys": {"folder": tmp_path}, "receive": {"disk_reserve_bytes": 0}})
    assert all_well(self_test(config, Places(tmp_path / "none"), NOW))


def test_the_page_shows_the_same_lines_and_names_no_patient(house: Seeded) -> None:
    warned_certificate(house)
    hands = Hands(house.places)
    hands.now = NOW + 60
    hands.sign_in(user="ada.admin")
    text = hands.get("/administration/self-test").text
    hands.close()
    assert text.count("✕ RED") == text.count('data-ok="no"') == 2  # this page's configuration knows no centre
    assert "Answer the blinded reads" in text
    assert "DOE" not in text
    with house.engine.connect() as c:
        uids = c.execute(ledger.studies.select()).all()
    assert not [row for row in uids if row.study_instance_uid in text]


def test_check_on_the_command_line_has_them_too(
    house: Seeded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken_trail(house)
    config = tmp_path / "appliance.toml"
    config.write_text(f'[state]\nfolder = "{house.places.root}"\n[keys]\nfolder = "{tmp_path}/keys"\n')
    assert main(["--config", str(config), "check", "--json"]) == 1
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["audit trail"]["ok"] is False
    assert found["ledger: clinical ledger"]["ok"] is True
    assert main(["--config", str(config), "check"]) == 1
    assert "RED  audit trail: broken at row 1" in capsys.readouterr().out
