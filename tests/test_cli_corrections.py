"""Corrections on the command line: exported as they were made, counted, reconciled, and refused by `certify`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.cli.reconcile import reconcile
from appliance.core.correction import decode_correction
from appliance.core.document import encode
from appliance.world import desk, wire
from appliance.world.ledger import corrections as book
from appliance.world.wire import corrections as mail
from tests.simulate.house import SITE_KEY
from tests.triage.test_corrections import House, answered

MODELS = Path(__file__).parents[1] / "models"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def command(house: House, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status and output of one verb on this state folder."""
    root = house.places.root.parent
    (root / "site.key").write_bytes(SITE_KEY)
    (root / "appliance.toml").write_text(
        f'[state]\nfolder = "{house.places.root}"\n[triage]\nsite_key_file = "{root}/site.key"\n'
        f'model_folder = "{MODELS}"\ntrusted_keys = "{MODELS}/trusted"\n'
    )
    capsys.readouterr()
    status = main(["--config", str(root / "appliance.toml"), *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_what_was_signed_is_printed_as_it_was_made_and_the_trail_says_so(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.hard()
    house.sign("correct", "missed-finding")
    house.go()
    house.add()
    house.go()
    first, last = house.made()
    status, out, _ = command(house, capsys, "corrections", "export")
    assert (status, out) == (0, encode(last).decode() + "\n")
    assert command(house, capsys, "corrections", "export")[1] == out, "the same again"
    every = command(house, capsys, "corrections", "export", "--every")[1]
    assert [decode_correction(line.encode()) for line in every.splitlines()] == [first, last]
    assert not [word for word in ("PAT-1", "anna", "fell", "20260301", "1.2.826") if word in every]
    with house.pen.connect() as c:
        assert [row.act for row in desk.trail(c)] == ["corrections-exported"] * 3


def test_nothing_to_print_is_no_fault(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(house, capsys, "corrections", "export")[:2] == (0, "")


def test_certify_refuses_what_was_exported(house: House, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """However good such labels are: the studies were chosen with the machine's word in sight."""
    house.hard()
    house.sign()
    house.go()
    exported = tmp_path / "corrections.jsonl"
    exported.write_text(command(house, capsys, "corrections", "export")[1])
    as_table = tmp_path / "corrections.csv"
    said = json.loads(exported.read_text())
    as_table.write_text(f"accession_number,finding,selection\n{said['case_id']},1,{said['selection']}\n")
    for labels in (exported, as_table):
        asked = ["--labels", str(labels), "--model", "cxr-paediatric-pneumonia/2.0.0"]
        status, out, err = command(house, capsys, "certify", *asked)
        assert (status, out) == (1, ""), "no plan is fixed and no attempt counted"
        assert err.startswith("labels-selected")


def test_status_counts_them_and_names_what_the_centre_would_not_take(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.hard()
    house.sign()
    house.go()
    told = json.loads(command(house, capsys, "status", "--json")[1])
    assert told["corrections"] == {"kept": 1, "held back": 0, "waiting": 1}
    (made,) = house.made()
    answered(house, ((made.key, made.rev), "correction-case-unknown"))
    house.start()
    house.go()
    told = json.loads(command(house, capsys, "status", "--json")[1])
    assert told["corrections"]["refused"] == 1
    assert {"correction-case-unknown"} <= {each["code"] for each in told["look"]}


def test_status_names_what_the_centre_cannot_read_yet_and_keeps_it(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.hard()
    house.sign()
    house.go()
    (made,) = house.made()
    name, link = (made.key, made.rev), house.link()
    with link.begin() as c:
        mail.record_sent(c, name, 1.0)
        mail.hold(c, name, "message-newer", 2.0)
    house.start()
    house.go()
    told = json.loads(command(house, capsys, "status", "--json")[1])
    assert told["corrections"]["waiting"] == 1
    (look,) = [each for each in told["look"] if each["code"] == "message-newer"]
    assert look["what"] == f"correction of case {made.case_id[:8]}"
    with house.triage.cases.connect() as c:
        assert mail.letter_of(c, name), "its letter is there for the centre's next version"
    assert not [check.name for check in reconcile(house.places)[0] if not check.holds]
    with link.begin() as c:
        mail.record_answer(c, name, "", 3.0)
    link.dispose()
    house.start()
    house.go()
    told = json.loads(command(house, capsys, "status", "--json")[1])
    assert (told["corrections"]["filed"], "message-newer" in {each["code"] for each in told["look"]}) == (1, False)


def test_the_books_say_what_is_missing(house: House) -> None:
    house.hard()
    house.sign()
    house.go()
    house.hard(2)
    house.sign()
    house.go()
    first, last = house.made()
    answered(house, ((first.key, first.rev), ""), ((last.key, last.rev), ""))

    def wrong() -> set[str]:
        return {check.name for check in reconcile(house.places)[0] if not check.holds}

    assert wrong() == set()
    with house.triage.engine.begin() as c:
        c.execute(book.makings.delete().where(book.makings.c.signature_id == 1))
    assert wrong() == {"every signature up to the last one made a correction of has one, or the reason why not"}
    house.start()
    house.go()
    assert wrong() == set(), "made again, it is the same one"
    with house.triage.cases.begin() as c:
        mail.put(c, "f" * 32, 1, "e" * 32, b"letter", 1.0)
    link = house.link()
    with link.begin() as c:
        mail.record_answer(c, ("d" * 32, 1), "", 1.0)
    link.dispose()
    assert wrong() == {
        "every correction handed over was made here, and its case was sealed here",
        "the centre files only corrections that were handed over",
    }
    assert wire.tables.corrections.name == book.corrections.name
