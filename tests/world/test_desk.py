"""The desk: signatures and commands once each, the audit trail unchangeable unseen."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from appliance.world import desk, sqlite


@pytest.fixture
def pen(tmp_path: Path) -> Iterator[Engine]:
    engine = sqlite.open_writer(tmp_path / "review.db", desk.METADATA)
    yield engine
    engine.dispose()


@pytest.fixture
def eyes(pen: Engine, tmp_path: Path) -> Iterator[Engine]:
    engine = sqlite.open_reader(tmp_path / "review.db")
    yield engine
    engine.dispose()


def signed(pen: Engine, **said: object) -> bool:
    usual: dict[str, object] = {"nonce": "n" * 16, "study_number": 4, "revision": 1, "seq_seen": 2, "user": "kim"}
    usual |= {"decision": "agree", "correction": "", "at": 10.0, "saw_ai": True}
    with pen.begin() as c:
        return desk.sign(c, **{**usual, **said})  # type: ignore[arg-type]


def test_a_signature_is_read_as_it_was_given(pen: Engine, eyes: Engine) -> None:
    assert signed(pen, decision="correct", correction="left, not right", saw_ai=False)
    with eyes.begin() as c:
        (row,) = desk.signatures_after(c, 0)
    assert (row.study_number, row.revision, row.seq_seen, row.user) == (4, 1, 2, "kim")
    assert (row.decision, row.correction, row.signed_at, row.saw_ai) == ("correct", "left, not right", 10.0, False)


def test_a_form_posted_twice_signs_once(pen: Engine, eyes: Engine) -> None:
    assert signed(pen)
    assert not signed(pen)
    with eyes.begin() as c:
        assert len(desk.signatures_after(c, 0)) == 1


def test_one_state_of_a_study_is_signed_once(pen: Engine) -> None:
    assert signed(pen)
    assert not signed(pen, nonce="m" * 16, user="lee")
    assert signed(pen, nonce="o" * 16, user="lee", seq_seen=3)


def test_one_nonce_never_signs_two_studies(pen: Engine, eyes: Engine) -> None:
    assert signed(pen)
    assert not signed(pen, study_number=5)
    with eyes.begin() as c:
        assert desk.signatures_of(c, 5) == []


@pytest.mark.parametrize(
    "said",
    [{"decision": "perhaps"}, {"correction": "x" * (desk.CORRECTION_CHARACTERS_MAX + 1)}],
)
def test_a_signature_that_says_nothing_clear_is_our_own_mistake(pen: Engine, said: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        signed(pen, **said)


@given(st.integers(0, 12), st.integers(1, 5))
def test_whoever_takes_over_sees_each_signature_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, count: int, batch: int
) -> None:
    engine = sqlite.open_writer(tmp_path_factory.mktemp("desk") / "review.db", desk.METADATA)
    for n in range(count):
        assert signed(engine, nonce=f"nonce-{n:012d}", study_number=n)
    seen, last = [], 0
    with engine.begin() as c:
        while rows := desk.signatures_after(c, last, batch):
            assert len(rows) <= batch
            seen += [row.study_number for row in rows]
            last = rows[-1].id
    engine.dispose()
    assert seen == list(range(count))


def test_an_id_is_never_given_twice(pen: Engine) -> None:
    """Triage remembers the last id: if rows vanished and an id came again, a signature would be passed over."""
    signed(pen)
    with pen.begin() as c:
        (first,) = desk.signatures_after(c, 0)
        c.execute(delete(desk.signatures))
    signed(pen, nonce="later-nonce-0000")
    with pen.begin() as c:
        (second,) = desk.signatures_after(c, first.id)
    assert second.id > first.id


def test_a_command_stands_once_on_one_state(pen: Engine, eyes: Engine) -> None:
    usual = {"study_number": 9, "seq_seen": 3, "user": "kim", "at": 5.0}
    with pen.begin() as c:
        assert desk.command(c, nonce="a" * 16, kind="release", **usual)  # type: ignore[arg-type]
        assert not desk.command(c, nonce="a" * 16, kind="release", **usual)  # type: ignore[arg-type]
        assert not desk.command(c, nonce="b" * 16, kind="reject", **usual)  # type: ignore[arg-type]
    with eyes.begin() as c:
        (row,) = desk.commands_after(c, 0)
        assert (row.kind, row.study_number, row.seq_seen, row.user) == ("release", 9, 3, "kim")
        assert desk.commands_after(c, row.id) == []


def trail(pen: Engine) -> None:
    with pen.begin() as c:
        for n in range(5):
            desk.note(c, at=n + 0.25, user="kim", act="case-opened", subject=f"study {n}")
        assert desk.first_broken_audit_row(c) is None


@pytest.mark.parametrize("column", ["at", "user", "act", "subject", "origin", "previous_hash", "hash"])
def test_a_changed_audit_row_is_named(pen: Engine, column: str) -> None:
    trail(pen)
    with pen.begin() as c:
        c.execute(update(desk.audit).where(desk.audit.c.id == 3).values({column: 7.0 if column == "at" else "x"}))
        assert desk.first_broken_audit_row(c) == 3


def test_a_missing_audit_row_is_noticed(pen: Engine) -> None:
    trail(pen)
    with pen.begin() as c:
        c.execute(delete(desk.audit).where(desk.audit.c.id == 2))
        assert desk.first_broken_audit_row(c) == 3


def test_rows_cut_off_the_end_are_missed(pen: Engine) -> None:
    trail(pen)
    with pen.begin() as c:
        c.execute(delete(desk.audit).where(desk.audit.c.id >= 4))
        assert desk.first_broken_audit_row(c) == 4


def test_the_database_itself_refuses_to_change_the_trail(pen: Engine) -> None:
    trail(pen)
    with pen.begin() as c:
        desk.guard_trail(c)
        desk.guard_trail(c)  # at every start
    for act in (update(desk.audit).values(user="x"), delete(desk.audit)):
        with pytest.raises(DatabaseError, match="append-only"), pen.begin() as c:
            c.execute(act)
    with pen.begin() as c:
        desk.note(c, at=9.0, user="kim", act="sign-in", subject="")
        assert desk.first_broken_audit_row(c) is None


def test_a_trail_of_before_the_origin_was_kept_still_holds(pen: Engine, tmp_path: Path) -> None:
    """A database of the former version: its rows hash as they did, the column comes when a writer opens it."""
    old = tmp_path / "old.db"
    bare = sqlite.open_writer(old, type(desk.METADATA)())
    with bare.begin() as c:
        c.exec_driver_sql(
            "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at FLOAT NOT NULL, user VARCHAR NOT NULL, "
            "act VARCHAR NOT NULL, subject VARCHAR NOT NULL, previous_hash VARCHAR NOT NULL, hash VARCHAR NOT NULL)"
        )
        previous = desk.AUDIT_START
        for n in range(3):
            said = [previous, float(n), "kim", "case-opened", f"study {n}"]
            made = hashlib.sha256(json.dumps(said).encode()).hexdigest()
            c.exec_driver_sql(
                "INSERT INTO audit (at, user, act, subject, previous_hash, hash) VALUES (?, ?, ?, ?, ?, ?)",
                (*said[1:], previous, made),
            )
            previous = made
        assert desk.first_broken_audit_row(c) is None  # a reader that comes before the writer
    bare.dispose()
    engine = sqlite.open_writer(old, desk.METADATA)
    with engine.begin() as c:
        desk.note(c, at=9.0, user="kim", act="sign-in", subject="")
        assert [row.origin for row in desk.trail(c)] == ["", "", "", "console"]
        assert desk.first_broken_audit_row(c) is None
    engine.dispose()


def test_the_reader_cannot_write(pen: Engine, eyes: Engine) -> None:
    with eyes.begin() as c, pytest.raises(DatabaseError, match="readonly"):
        desk.note(c, at=1.0, user="", act="", subject="")


def test_tables_are_there_or_not(pen: Engine, tmp_path: Path) -> None:
    bare = sqlite.open_writer(tmp_path / "bare.db", type(desk.METADATA)())
    with pen.begin() as c:
        assert desk.is_made(c)
    with bare.begin() as c:
        assert not desk.is_made(c)
    bare.dispose()


def test_the_table_itself_refuses_a_second_use_of_a_nonce(pen: Engine) -> None:
    signed(pen)
    with pen.begin() as c:
        (row,) = desk.signatures_after(c, 0)
        again = {key: value for key, value in row._mapping.items() if key != "id"}
    with pytest.raises(IntegrityError), pen.begin() as c:
        c.execute(desk.signatures.insert().values(again))
