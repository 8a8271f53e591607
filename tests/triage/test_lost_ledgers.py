"""A ledger that is gone, empty or made anew beside what a former one left: nobody makes a new one, and salvage does."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event

from appliance import uplink
from appliance.cli import backup, salvage
from appliance.condition import books
from appliance.config import Places
from appliance.errors import Misconfigured, Unavailable
from appliance.loop import Moment
from appliance.review.ledgers import Ledgers
from appliance.triage import integrity
from appliance.world import age, archive, desk, ledger, looked, sqlite, targets, wire
from appliance.world.ledger import epochs, watch
from tests.core.test_decide import a_certificate
from tests.tiny import tiny
from tests.triage.conftest import UID
from tests.triage.test_forgetting import House
from tests.triage.test_salvage import emptied, gone, torn

OTHER = "1.2.826.0.1.8"
METADATA = {"studies.db": ledger.METADATA, "cases.db": wire.CASES, "review.db": desk.METADATA, "link.db": wire.LINK}


def empty(path: Path) -> None:
    gone(path)
    path.touch()


def made_anew(path: Path) -> None:
    gone(path)
    sqlite.open_writer(path, METADATA[path.name]).dispose()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """One study that was read, one that waits for the centre; nothing runs."""
    made = House(tmp_path)
    made.read()
    waits(made)
    made.triage.close()
    yield made
    made.triage.close()


def waits(house: House) -> None:
    house.put(tiny(OTHER, 1, "PAT-2", "CR", 3))
    house.step("admit", "assemble")
    house.step("assemble", "judge", "seal", passed=9)


def wrong(house: House) -> list[str]:
    """Without what the bench itself leaves: it closes cases of which no verdict came."""
    bench = ("signature up to the last", "a closed case has its verdict")
    return [line for line in house.wrong() if not line.startswith(bench) and bench[0] not in line]


@pytest.mark.parametrize("harm", [gone, empty, made_anew])
def test_a_lost_clinical_ledger_is_not_made_anew_and_salvage_without_flags_rebuilds_it(
    house: House, harm: Callable[[Path], None]
) -> None:
    """Numbers would be given again beside the signatures of before, and a lane that the watch closed would open."""
    place, numbers = house.places.delivered_certificates / "chest" / "1.1.0", [1, 2]
    place.mkdir(parents=True)
    certificate = a_certificate()
    (place / f"{certificate.digest}.json").write_text(certificate.model_dump_json())
    harm(house.places.studies_db)
    before = house.places.studies_db.exists() and house.places.studies_db.stat().st_size
    with pytest.raises(Misconfigured, match=r"ledger-damaged.*studies\.db"):
        integrity.look(house.places)
    assert (house.places.studies_db.exists() and house.places.studies_db.stat().st_size) == before
    assert looked.read(house.places.looked).damaged == ("studies.db",), "the page, which sees no image, is told"
    assert salvage.run(house.config, house.places, sure=False) == 0
    integrity.look(house.places)
    assert looked.read(house.places.looked).damaged == ()
    house.start()
    house.step("admit", "assemble")
    house.step("assemble", "judge", "obey", "seal", "withdraw", passed=9)
    for uid in (UID, OTHER):
        assert house.study(uid).number not in numbers
        assert (house.study(uid).state, house.study(uid).doubt) == ("escalated", "study-salvaged")
    with house.triage.engine.connect() as c:
        assert certificate.digest in {row.certificate for row in watch.revoked(c)}
    assert wrong(house) == []


def leave(places: Places, what: str) -> None:
    """One trace of work on a disk without a clinical ledger."""
    if what == "instance":
        archive.put(archive.instance_path(places.instances, "ab" * 32), b"x")
    elif what == "cases":
        places.wire.mkdir(parents=True)
        engine = sqlite.open_writer(places.cases_db, wire.CASES)
        with engine.begin() as c:
            wire.put_case(c, "0" * 32, [], revision=1, urgency="routine", at=1.0)
        engine.dispose()
    elif what in ("signature", "opened"):
        places.review.mkdir(parents=True)
        engine = sqlite.open_writer(places.review_db, desk.METADATA)
        with engine.begin() as c:
            if what == "opened":
                desk.note(c, at=1.0, user="anna", act="case-opened", subject="study 7")
            else:
                desk.sign(
                    c, study_number=7, revision=1, seq_seen=3, user="anna",
                    decision="agree", correction="", saw_ai=True, nonce="n", at=1.0,
                )  # fmt: skip
        engine.dispose()
    else:
        path = {
            "order": places.outbox / "a.json",
            "receipt": places.receipts / "a.json",
            "frame": places.frames / "0" / "0.bin",
            "part": places.parts / "00",
            "salvage that died": places.phi / "studies.db.new",
            "set aside": places.phi / "lost-1-studies.db",
        }[what]
        archive.put(path, b"x")


@pytest.mark.parametrize(
    "what",
    ["instance", "cases", "signature", "opened", "order", "receipt", "frame", "part", "salvage that died", "set aside"],
)
def test_any_one_trace_of_work_is_enough(tmp_path: Path, what: str) -> None:
    places = Places(tmp_path / "state")
    leave(places, what)
    with pytest.raises(Misconfigured, match=r"studies\.db"):
        integrity.look(places)
    assert not places.studies_db.exists()


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_a_new_appliance_starts_whatever_the_others_made_first(tmp_path: Path, left: str) -> None:
    """Files wait, users signed in, a target is away, a start was cut off: nothing was ever taken in."""
    places = Places(tmp_path / "state")
    for folder in (
        places.incoming,
        places.instances / "ab",
        places.frames,
        places.receipts,
        places.review,
        places.wire,
    ):
        folder.mkdir(parents=True)
    (places.incoming / "a.dcm").write_bytes(b"x")
    (places.instances / "ab" / f"c.dcm{archive.PARTIAL}").write_bytes(b"x")
    (places.receipts / targets.FILE).write_bytes(targets.said({"pacs": ("target-away", None)}))
    page = Ledgers(places)
    with page.pen().begin() as c:
        desk.note(c, at=1.0, user="anna", act="signed-in", subject="")
        desk.note(c, at=1.0, user="anna", act="case-list", subject="all")
    page.close()
    for metadata, path in ((wire.CASES, places.cases_db), (wire.LINK, places.link_db)):
        sqlite.open_writer(path, metadata).dispose()
    if left == "an empty file":
        places.studies_db.touch()
    integrity.look(places)
    assert books.lost(places) == ()
    assert not places.looked.exists()


def test_a_ledger_just_salvaged_or_restored_is_no_lost_one_though_nothing_is_taken_in_yet(
    house: House, tmp_path: Path
) -> None:
    gone(house.places.studies_db)
    assert salvage.run(house.config, house.places, sure=False) == 0
    assert books.lost(house.places) == ()
    private, public = age.new_key()
    (tmp_path / "key").write_text(private)
    assert backup.backup(house.config, house.places, None, tmp_path / "a.age", public, secrets=False) == 0
    assert backup.restore(Places(tmp_path / "b"), tmp_path / "a.age", tmp_path / "key", None) == 0
    assert books.lost(Places(tmp_path / "b")) == ()
    integrity.look(Places(tmp_path / "b"))


def test_a_backup_without_the_lost_ledger_is_none(house: House, tmp_path: Path) -> None:
    """In time it would take the place of the last one that has it."""
    gone(house.places.studies_db)
    with pytest.raises(Misconfigured, match=r"ledger-damaged.*studies\.db"):
        backup.backup(house.config, house.places, None, tmp_path / "a.age", age.new_key()[1], secrets=False)
    assert not (tmp_path / "a.age").exists()


@pytest.mark.parametrize("harm", [gone, empty, made_anew, torn, emptied])
def test_without_the_cases_who_waits_for_the_centre_is_sealed_anew_and_who_was_read_stays_read(
    house: House, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A new cases.db would leave it waiting for ever: its case is not there to be sent, and no answer is believed."""
    old, before = house_cases(house), house.places.instances
    files = sorted(before.rglob("*.dcm"))
    harm(house.places.cases_db)
    with pytest.raises(Misconfigured, match=r"cases\.db"):
        integrity.look(house.places)
    assert salvage.run(house.config, house.places, sure=False) == 0
    assert "1 studies are decided and sealed anew" in capsys.readouterr().out
    integrity.look(house.places)
    house.start()
    house.step("assemble")
    house.step("assemble", "judge", "seal", "withdraw", passed=9)
    assert house.study(UID).state == "reviewed"
    assert (house.study(OTHER).state, house.study(OTHER).revision) == ("escalated", epochs.STEP + 1)
    assert not old & set(house.cases()), "the centre may hold other bytes under an id of before"
    assert sorted(before.rglob("*.dcm")) == files
    assert wrong(house) == []


def house_cases(house: House) -> set[str]:
    house.start()
    found = set(house.cases())
    house.triage.close()
    return found


@pytest.mark.parametrize("harm", [gone, empty, made_anew, emptied])
def test_a_new_book_of_the_page_gives_no_number_again_that_triage_has_taken_over(
    house: House, harm: Callable[[Path], None]
) -> None:
    """Triage reads on behind the last signature it knows: the first ones of a new book would never count."""
    harm(house.places.review_db)
    with pytest.raises(Misconfigured, match=r"review\.db"):
        integrity.look(house.places)
    assert salvage.run(house.config, house.places, sure=False) == 0
    integrity.look(house.places)
    house.start()
    assert (house.study(UID).state, house.study(OTHER).state) == ("reviewed", "escalated")
    house.sign(OTHER)
    assert house.study(OTHER).state == "reviewed"
    assert list(house.places.review.glob("lost-*-review.db")) or harm is gone


@pytest.mark.parametrize("harm", [torn, emptied])
def test_a_damaged_line_is_set_aside_and_a_missing_one_is_no_fault(house: House, harm: Callable[[Path], None]) -> None:
    house.link().dispose()
    harm(house.places.link_db)
    with pytest.raises(Misconfigured, match=r"link\.db"):
        integrity.look(house.places)
    assert salvage.run(house.config, house.places, sure=False) == 0
    assert not house.places.link_db.exists()
    integrity.look(house.places)
    house.start()
    assert house.study(OTHER).state == "escalated"
    assert wrong(house) == []


def test_all_lost_at_once_every_image_comes_in_anew(house: House) -> None:
    for path in books.paths(house.places):
        if path.exists():
            emptied(path)
    assert salvage.run(house.config, house.places, sure=False) == 0
    integrity.look(house.places)
    house.start()
    house.step("admit", "assemble")
    house.step("assemble", "judge", "obey", "seal", passed=9)
    assert {house.study(uid).state for uid in (UID, OTHER)} == {"escalated"}
    assert wrong(house) == []


# The whole reading: how long ago it was is kept, and what it found.


def reading(places: Places, wall: float, mono: float = 0.0) -> integrity.Integrity:
    """A service that starts at a moment; its whole reading, if it is due within an hour, is waited for."""
    made = integrity.Integrity(places)
    made.tend(Moment(wall, mono))
    made.tend(Moment(wall + integrity.QUIET_S, mono + integrity.QUIET_S))
    if made.reading is not None:
        made.reading.join()
    return made


DAY = 86_400.0


def test_a_machine_that_is_started_every_week_is_read_whole_every_week(house: House) -> None:
    places = house.places
    assert reading(places, 1e9).reading is not None, "it never was"
    at = looked.read(places.looked).whole_at
    assert at is not None
    assert at == pytest.approx(1e9 + integrity.QUIET_S, abs=60)
    for day in range(1, 7):
        assert reading(places, 1e9 + day * DAY, 5.0).reading is None
    assert reading(places, 1e9 + 8 * DAY, 5.0).reading is not None
    sixth = integrity.Integrity(places)  # started a day before it is due, and left on
    sixth.tend(Moment(1e9 + 14 * DAY, 0))
    sixth.tend(Moment(1e9 + 14 * DAY, 1.5 * DAY))
    assert sixth.reading is not None
    sixth.reading.join()


@pytest.mark.parametrize("jump", [-400 * DAY, 400 * DAY])
def test_a_clock_that_jumps_makes_it_come_early_and_never_late(house: House, jump: float) -> None:
    assert reading(house.places, 1e9).reading is not None
    assert reading(house.places, 1e9 + jump).reading is not None
    assert reading(house.places, 1e9 + jump + DAY).reading is None


@pytest.mark.parametrize(
    "said", [b"", b"[]", b'{"whole_at": "soon", "damaged": 3}', b'{"whole_at": 1e999, "damaged": []}']
)
def test_what_is_not_understood_is_read_anew(house: House, said: bytes) -> None:
    house.places.looked.write_bytes(said)
    assert reading(house.places, 1e9).reading is not None


@pytest.mark.parametrize("name", ["studies.db", "cases.db", "link.db", "review.db"])
def test_every_ledger_is_read_whole(house: House, name: str) -> None:
    """A row that refers to none: its pages are sound, which is all that a start has time to look at."""
    house.link().dispose()
    (path,) = [each for each in books.paths(house.places) if each.name == name]
    written(path, "CREATE TABLE up (a INTEGER PRIMARY KEY); CREATE TABLE down (a INTEGER REFERENCES up (a));")
    written(path, "INSERT INTO down VALUES (7);")
    integrity.look(house.places)
    made = reading(house.places, 1e9)
    with pytest.raises(Misconfigured, match=name.replace(".", r"\.")):
        made.tend(Moment(1e9, 1e6))
    with pytest.raises(Misconfigured, match=name.replace(".", r"\.")):
        integrity.look(house.places)  # started again, it is as damaged as before
    assert json.loads(house.places.looked.read_bytes())["damaged"] == [name]
    written(path, "DELETE FROM down;")
    integrity.look(house.places)
    assert looked.read(house.places.looked).damaged == ()


def written(path: Path, script: str) -> None:
    raw = sqlite._raw(path)
    raw.executescript(script)
    raw.close()


def test_what_another_program_holds_is_not_called_damaged(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 1)
    holder = sqlite._raw(house.places.studies_db)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("SELECT count(*) FROM sqlite_master").fetchall()
    try:
        assert sqlite.is_sound(house.places.studies_db, lambda: False) is None
        assert books.lost(house.places) == ()
    finally:
        holder.close()
    assert sqlite.is_sound(house.places.studies_db, lambda: False) is True


def test_a_full_disk_is_not_called_damage(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the index of a log cannot grow, and no ledger opens: who starts then gives its ballast up first."""

    def full(*_: object) -> None:
        raise Unavailable("disk-low")

    def opened(path: Path) -> Engine:
        engine = create_engine("sqlite+pysqlite://", module=sqlite.dbapi)
        event.listen(engine, "do_connect", full)
        return engine

    monkeypatch.setattr(sqlite, "open_reader", opened)
    assert sqlite.is_sound(house.places.studies_db, lambda: False) is None
    integrity.look(house.places)
    uplink.look(house.places)


def test_a_wall_before_the_images_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page may not look into phi/instances."""
    places, real = Places(tmp_path / "state"), Path.glob
    leave(places, "instance")
    assert books.lost(places) == ("studies.db",)

    def walled(self: Path, pattern: str) -> Iterator[Path]:
        if self == places.instances:
            raise PermissionError
        return real(self, pattern)

    monkeypatch.setattr(Path, "glob", walled)
    assert books.lost(places) == ()
