"""What was reviewed and is kept elsewhere goes, bytes and names; every doubt keeps; whatever dies begins again."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from appliance.cli.reconcile import reconcile
from appliance.core.document import encode
from appliance.core.results.order import Order, Receipt
from appliance.world import archive, desk, ledger, reading_desk, retention_desk, sqlite, wire
from appliance.world.ledger import commitments, forgetting, reports
from tests.simulate.house import Crash, Fuse
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench
from tests.triage.test_broken_beside import clearing
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA
from tests.triage.test_result_orders import PACS

DAY = 86_400.0
OLD = 40 * DAY
TARGETS = {"results": {"targets": [{"name": "pacs", **PACS}], "objects": ["oru"]}}
SOON = {"retention": {"keep_days": 1, "copy_kept_by": "scanner"}}
SCANNER = {"retention": {"keep_days": 30, "copy_kept_by": "scanner"}}
BY_PACS = {**TARGETS, "retention": {"keep_days": 30, "pacs": "pacs"}}
NAMES = (b"PAT-1", UID.encode())


class House(Bench):
    """A bench with a reader's desk and a study that was read."""

    def desk(self) -> Engine:
        self.places.review.mkdir(exist_ok=True)
        engine = sqlite.open_writer(self.places.review_db, desk.METADATA)
        with engine.begin() as c:
            reading_desk.make(c)
            retention_desk.make(c)
        return engine

    def read(self, uid: str = UID, data: bytes | None = None) -> int:
        """A study comes, is decided, signed, and settled in every respect; its number."""
        self.put(tiny(uid, 1, "PAT-1", "CR", 3) if data is None else data)
        self.step("admit", "assemble")
        self.step("assemble", "judge", "seal", passed=9)
        self.sign(uid)
        self.close_cases()
        return int(self.study(uid).number)

    def sign(self, uid: str = UID) -> None:
        study, engine = self.study(uid), self.desk()
        with engine.begin() as c:
            desk.sign(
                c, study_number=study.number, revision=study.revision, seq_seen=study.seq, user="anna",
                decision="agree", correction="", saw_ai=True, nonce=f"n{self.now}", at=self.now,
            )  # fmt: skip
        engine.dispose()
        self.step("obey", "corrections.note")
        if "results.build" in self.steps:
            self.step("results.build")

    def close_cases(self) -> None:
        with self.triage.cases.begin() as c:
            for row in list(wire.open_cases(c)):
                wire.close_case(c, row.case_id, self.now)
        link = self.link()
        link.dispose()
        self.step("free")

    def order(self, number: int, kind: Any) -> None:
        engine = self.desk()
        with engine.begin() as c:
            retention_desk.order(c, number, kind, user="root", because="a letter of the hospital", at=self.now)
        engine.dispose()

    def wait(self, passed: float = OLD) -> None:
        """Days in which the appliance runs, and looks before they are two."""
        end = self.now + passed
        while self.now < end - 1:
            self.step("forget", passed=min(1.9 * DAY, end - self.now))
        self.step("forget", "forget.wipe", "forget.wipe", passed=700)

    def row(self, number: int) -> Any:
        with self.triage.engine.connect() as c:
            return ledger.study_by_number(c, number)

    def all_bytes(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.places.root.rglob("*") if path.is_file())

    def wrong(self) -> list[str]:
        return [f"{check.name}: {check.wrong}" for check in reconcile(self.places, deep=True)[0] if not check.holds]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, SCANNER)
    yield made
    made.triage.close()


def test_what_was_read_goes_after_its_time_with_every_byte_that_names_somebody(house: House) -> None:
    number = house.read()
    house.wait(29 * DAY)
    assert house.row(number).state == "reviewed"
    assert all(name in house.all_bytes() for name in NAMES)
    house.wait(2 * DAY)
    assert house.row(number).state == "forgotten"
    left = house.all_bytes()
    assert [name for name in NAMES if name in left] == []
    assert not list(house.places.instances.rglob("*.dcm"))
    assert not any(house.places.frames.iterdir())
    assert not any(house.places.parts.iterdir())
    with house.triage.engine.connect() as c:
        (record,) = forgetting.records(c, 9)
        assert (record.rule, record.evidence, record.files) == ("retention", "scanner", 1)
        assert [move.event for move in ledger.moves_of(c, number)][-1] == "forgotten"
        assert ledger.result_of(c, number, 1) is not None, "what was decided stays, by number"
    assert house.wrong() == []


def test_nothing_is_forgotten_where_no_retention_is_set(tmp_path: Path) -> None:
    house = House(tmp_path)
    number = house.read()
    house.wait(400 * DAY)
    assert house.row(number).state == "reviewed"
    house.triage.close()


def test_what_nobody_reviewed_is_never_forgotten_not_even_by_order(house: House) -> None:
    house.put(tiny(UID, 1, "PAT-1", "CR", 3))
    house.step("admit", "assemble")
    house.step("assemble", "judge", "seal", passed=9)
    house.desk().dispose()
    house.order(house.study().number, "forget")
    house.wait(400 * DAY)
    assert house.study().state == "escalated"


def test_a_hold_keeps_and_lifting_it_lets_go(house: House) -> None:
    number = house.read()
    house.order(number, "hold")
    house.order(number, "forget")
    house.wait()
    assert house.row(number).state == "reviewed"
    house.order(number, "lift")
    house.wait(DAY)
    assert house.row(number).state == "forgotten"


def test_an_order_goes_before_time_and_proof_and_counts_once(tmp_path: Path) -> None:
    house = House(tmp_path)
    number = house.read()
    house.order(number, "forget")
    house.wait(DAY)
    assert house.row(number).state == "forgotten"
    house.put(tiny(UID, 1, "PAT-1", "CR", 3))  # it comes again, and is read again
    house.step("admit", "assemble")
    house.step("assemble", "judge", "seal", passed=9)
    house.sign()
    house.close_cases()
    house.wait(3 * DAY)
    assert house.study().state == "reviewed", "the order was carried out: it is none for what came since"
    house.triage.close()


def test_an_order_is_none_for_an_image_that_came_after_it(tmp_path: Path) -> None:
    """Whoever gave it had not seen that image, and no other system is known to keep it."""
    house = House(tmp_path)
    number = house.read()
    house.order(number, "hold")
    house.order(number, "forget")
    house.wait(DAY)
    house.put(tiny(UID, 2, "PAT-1", "CR", 3))
    house.step("admit", "assemble", passed=1)
    house.step("assemble", "judge", "seal", passed=9)
    house.sign()
    house.close_cases()
    house.order(number, "lift")
    house.wait(3 * DAY)
    assert house.row(number).state == "reviewed"
    house.order(number, "forget")
    house.wait(DAY)
    assert house.row(number).state == "forgotten"
    house.triage.close()


OPEN: dict[str, Any] = {
    "case": lambda house, number: reopen(house),
    "audit": lambda house, number: insert(
        house,
        ledger.watch.audits,
        certificate="c", study_number=number, revision=1, drawn_as="random", counts=True, rate=1.0, drawn_at=0.0,
    ),
    "result": lambda house, number: insert(
        house,
        reports.orders,
        order_id="a", study_number=number, target="pacs", body={"kind": "store"}, state="refused", open=False,
        code="result-refused", status=0, attempts=1, made_at=0.0,
    ),
    "promise": lambda house, number: vouch(house),
    "file": lambda house, number: beside(house),
}  # fmt: skip


def insert(house: House, table: Any, **row: Any) -> None:
    with house.triage.engine.begin() as c:
        c.execute(table.insert().values(**row))


def reopen(house: House) -> None:
    with house.triage.cases.begin() as c:
        c.execute(wire.cases.update().values(state="queued"))


def vouch(house: House) -> None:
    with house.triage.engine.begin() as c:
        commitments.vouch(c, list(c.execute(select(ledger.instances.c.sop_instance_uid)).scalars()))


def beside(house: House) -> None:
    with house.triage.engine.begin() as c:
        ledger.add_stray(c, "ab" * 32, 9, "dicom-malformed", "", 0.0)
        ledger.broken.put(c, "ab" * 32, UID, "", 0.0)


@pytest.mark.parametrize("what", sorted(OPEN))
def test_whatever_is_open_keeps(house: House, what: str) -> None:
    number = house.read()
    OPEN[what](house, number)
    house.wait()
    assert house.row(number).state == "reviewed"
    assert house.places.instances.glob("*/*.dcm")


def test_a_clock_that_jumped_is_not_believed_for_a_day_of_running(house: House) -> None:
    number = house.read()
    house.step("forget", passed=1)
    house.now += 400 * DAY  # the wall clock and the other one alike, as after years switched off
    house.step("forget", "forget.wipe", passed=700)
    assert house.row(number).state == "reviewed"
    house.wait(2 * DAY)
    assert house.row(number).state == "forgotten"


def test_a_service_that_starts_again_under_a_clock_that_jumped_does_not_believe_it_either(house: House) -> None:
    number = house.read()
    house.step("forget", passed=1)
    house.now += 400 * DAY
    house.step("forget", passed=700)
    house.start()
    house.step("forget", "forget.wipe", passed=700)
    assert house.row(number).state == "reviewed"
    house.wait(2 * DAY)
    assert house.row(number).state == "forgotten"


def answer(house: House, outcome: str) -> Order:
    """What deliver says of the one question in the outbox."""
    house.step("results.post", passed=60)
    (path,) = house.places.outbox.glob("*.json")
    asked = Order.model_validate_json(path.read_bytes())
    told = {"id": asked.id, "target": "pacs", "outcome": outcome, "at_s": house.now, "attempts": 1}
    told |= {"code": "commit-refused"} if outcome == "refused" else {}
    archive.put(house.places.receipts / path.name, encode(Receipt.model_validate(told)))
    house.step("results.absorb")
    assert not list(house.places.outbox.glob("*.json"))
    return asked


def test_the_pacs_is_asked_and_only_its_yes_lets_go(tmp_path: Path) -> None:
    house = House(tmp_path, BY_PACS)
    number = house.read()
    house.wait()
    asked = answer(house, "refused")
    assert (asked.kind, asked.payloads, len(asked.committed)) == ("commit-ask", [], 1)
    house.wait(DAY)
    assert house.row(number).state == "reviewed", "it said no"
    assert not list(house.places.outbox.glob("*.json")), "and is not asked again the same week"
    house.wait(8 * DAY)
    assert answer(house, "committed").id != asked.id
    house.wait(DAY)
    assert house.row(number).state == "forgotten"
    with house.triage.engine.connect() as c:
        assert forgetting.records(c, 1)[0].evidence == "committed"
    assert house.wrong() == []
    house.triage.close()


def test_a_yes_is_for_the_very_files_it_was_asked_for(tmp_path: Path) -> None:
    house = House(tmp_path, BY_PACS)
    number = house.read()
    house.wait()
    house.read(data=tiny(UID, 2, "PAT-1", "CR", 3))  # a late image, read as well
    answer(house, "committed")
    house.wait(2 * DAY)
    assert house.row(number).state == "reviewed"
    house.triage.close()


def test_the_same_bytes_again_are_the_same_study_and_never_routine(tmp_path: Path) -> None:
    """No case id of before, no second count of the watch, no silent routine."""
    house = House(tmp_path, SCANNER)
    clearing(house)
    house.read(FILM_UID, DATA)
    number, before = house.study(FILM_UID).number, house.study(FILM_UID).seq
    assert house.result(FILM_UID).lane == "cleared"
    with house.triage.engine.begin() as c:
        c.execute(ledger.watch.audits.update().values(answer="absent", user="anna", answered_at=1.0))
        watched = len(c.execute(select(ledger.watch.watched)).all())
    house.wait()
    assert house.row(number).state == "forgotten"
    house.put(DATA)
    house.step("admit", "assemble")
    house.step("assemble", "judge", passed=9)
    again = house.study(FILM_UID)
    assert (again.number, again.state, again.revision) == (number, "hard", 2)
    assert again.seq > before
    assert [reason["code"] for reason in house.result(FILM_UID).reasons] == ["study-came-again"]
    with house.triage.engine.connect() as c:
        assert len(c.execute(select(ledger.watch.watched)).all()) == watched
        assert [move.event for move in ledger.moves_of(c, number)][-3:] == ["came again", "quieted", "abstained"]
    house.step("forget.wipe")
    assert archive.instance_path(house.places.instances, hashlib.sha256(DATA).hexdigest()).exists()
    house.step("seal")
    assert house.wrong() == []
    house.triage.close()


def test_killed_before_any_effect_it_comes_to_the_same_end(tmp_path: Path) -> None:
    made = House(tmp_path / "before", SOON)
    number = made.read()
    made.triage.close()
    point = 0
    while True:
        shutil.copytree(tmp_path / "before", tmp_path / str(point))
        house, fuse = House(tmp_path / str(point), SOON), Fuse()
        house.now = made.now
        with fuse.fitted():
            fuse.left = point
            try:
                house.wait(2 * DAY)
            except Crash:
                house.start()
            fuse.left = None
            house.wait(2 * DAY)
        assert house.row(number).state == "forgotten", point
        left = house.all_bytes()
        assert [name for name in NAMES if name in left] == [], point
        assert house.wrong() == [], point
        with house.triage.engine.connect() as c:
            assert len(forgetting.records(c, 9)) == 1
        house.triage.close()
        point += 1
        if not fuse.crashes:
            break
    assert point > 5


def test_a_record_that_was_changed_or_taken_out_is_seen(house: House) -> None:
    house.read()
    house.wait()
    with house.triage.engine.begin() as c, pytest.raises(Exception, match="only ever added to"):
        c.execute(forgetting.forgotten.update().values(files=0))
    with house.triage.engine.begin() as c:
        c.exec_driver_sql("DROP TRIGGER forgotten_no_update")
        c.execute(forgetting.forgotten.update().values(files=0))
    assert any("records" in line for line in house.wrong())


def test_a_name_that_stayed_behind_is_seen(house: House) -> None:
    number = house.read()
    house.wait()
    with house.triage.engine.begin() as c:
        c.execute(ledger.studies.update().where(ledger.studies.c.number == number).values(patient_name="DOE"))
    assert any("names nobody" in line for line in house.wrong())
