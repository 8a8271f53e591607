"""Garbage and cut-off files in the place of review.db and link.db: the page comes up and says so, uplink ends once."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance import review, uplink
from appliance.cli import main
from appliance.config import Config
from appliance.errors import CATALOGUE, Misconfigured
from appliance.review import trouble
from appliance.review.selftest import self_test
from appliance.world import archive, looked
from tests.test_safe_mode import Machine
from tests.triage.test_salvage import emptied, gone


def cut(path: Path) -> None:
    """As a copy that was broken off: the head promises pages that are not there."""
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    path.write_bytes(path.read_bytes()[: 4096 + 1000])


def empty(path: Path) -> None:
    gone(path)
    path.touch()


HARMS = [emptied, cut]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    made.config.write_text(made.good + made.key())
    yield made
    made.stop()


def answer(machine: Machine, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{machine.port}{path}", timeout=10) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as refused:
        walled = refused.headers["X-Content-Type-Options"] == "nosniff"
        return (refused.code if walled else 0), refused.read().decode()


@pytest.mark.parametrize("harm", [*HARMS, gone, empty])
def test_without_its_own_book_the_page_comes_up_and_says_who_must_do_what(
    machine: Machine, harm: Callable[[Path], None]
) -> None:
    harm(machine.places.review_db)
    before = machine.places.review_db.read_bytes() if machine.places.review_db.exists() else None
    page = machine.run("review")
    machine.until(lambda: machine.page("/"), "review")
    for path in ("/", "/sign-in", "/static/style.css", "/nothing"):
        status, said = answer(machine, path)
        assert status == 503
        for told in ("ledger-damaged", "review.db", "operator", "appliance salvage", "docs/backup.md"):
            assert told in said, told
        assert "PAT-1" not in said
    assert page.poll() is None, "it does not start again and again"
    assert machine.ends("triage") == 78, "orders and signatures cannot be read: nothing is decided"
    assert "review.db" in (machine.root / "triage.log").read_text()
    found = machine.places.review_db.read_bytes() if machine.places.review_db.exists() else None
    assert found == before, "nothing is made in its place, and nothing is written over it"
    assert main(["--config", str(machine.config), "users", "list"]) == 78
    machine.stop()
    assert main(["--config", str(machine.config), "salvage"]) == 0
    machine.run("review")
    machine.until(lambda: "sign" in machine.page("/sign-in"), "review")
    assert answer(machine, "/sign-in")[0] == 200
    assert "ledger-damaged" not in machine.page("/sign-in")


@pytest.mark.parametrize("harm", HARMS)
def test_uplink_ends_once_with_a_ledger_that_cannot_be_read_and_the_page_names_it(
    machine: Machine, harm: Callable[[Path], None]
) -> None:
    harm(machine.places.link_db)
    assert machine.ends("uplink") == 78, "systemd starts that one not again"
    assert "ledger-damaged at link.db" in (machine.root / "uplink.log").read_text()
    machine.run("review")
    machine.until(lambda: "ledger-damaged" in machine.page("/sign-in"), "review")
    assert "link.db" in machine.page("/sign-in")


@pytest.mark.parametrize("name", ["cases_db", "link_db"])
@pytest.mark.parametrize("harm", HARMS)
def test_uplink_looks_at_both_sides_of_the_wire(machine: Machine, name: str, harm: Callable[[Path], None]) -> None:
    uplink.look(machine.places)
    path: Path = getattr(machine.places, name)
    harm(path)
    with pytest.raises(Misconfigured, match=path.name):
        uplink.look(machine.places)
    empty(path)
    uplink.look(machine.places)  # being made, or made anew


@pytest.mark.parametrize("name", ["studies_db", "cases_db", "link_db"])
@pytest.mark.parametrize("harm", HARMS)
def test_the_page_sees_every_damaged_ledger(machine: Machine, name: str, harm: Callable[[Path], None]) -> None:
    """What lies behind its walls triage has noted for it."""
    seen = trouble.Trouble(Config(), machine.places)
    seen._look()
    assert seen.damaged == ()
    path: Path = getattr(machine.places, name)
    harm(path)
    seen._look()
    assert seen.damaged == (path.name,)
    assert [line.ok for line in self_test(Config(), machine.places, 1e9)[:4]].count(False) == 1
    archive.put(machine.places.looked, looked.said(None, ["review.db"]))
    seen._look()
    assert set(seen.damaged) == {path.name, "review.db"}


@pytest.mark.parametrize("harm", HARMS)
def test_status_says_what_to_do(
    machine: Machine, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    harm(machine.places.link_db)
    assert main(["--config", str(machine.config), "status"]) == 78
    assert CATALOGUE["ledger-damaged"].hint in capsys.readouterr().err


def test_the_self_test_is_red_for_a_ledger_that_is_gone(machine: Machine) -> None:
    gone(machine.places.studies_db)
    (line,) = [line for line in self_test(Config(), machine.places, 1e9)[:4] if not line.ok]
    assert line.todo == CATALOGUE["ledger-damaged"].hint


def test_a_verb_that_needs_the_book_does_not_make_one_in_its_place(machine: Machine) -> None:
    gone(machine.places.review_db)
    with pytest.raises(Misconfigured, match="ledger-damaged"):
        review.add_user(machine.places, "anna", "blue whale counting 7 stars")
    assert not machine.places.review_db.exists()
