"""The other half of the desk: an audit is answered once, a certificate withdrawn with a reason, both in order."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from appliance.world import audit_desk, desk, sqlite


@pytest.fixture
def pen(tmp_path: Path) -> Iterator[Engine]:
    engine = sqlite.open_writer(tmp_path / "review.db", desk.METADATA)
    with engine.begin() as c:
        audit_desk.make(c)
    yield engine
    engine.dispose()


def given(pen: Engine, audit_id: int, answer: str = "absent", nonce: str = "") -> bool:
    with pen.begin() as c:
        told = {"nonce": nonce or f"nonce-of-{audit_id}-{answer}", "audit_id": audit_id, "user": "kim", "at": 1.0}
        return audit_desk.answer(c, given=answer, **told)  # type: ignore[arg-type]


def test_an_audit_is_answered_once_by_whomever(pen: Engine) -> None:
    assert given(pen, 7)
    assert not given(pen, 7, "present")
    assert not given(pen, 8, nonce="nonce-of-7-absent")
    assert given(pen, 8, "cannot_tell")
    with pen.begin() as c:
        assert [(row.audit_id, row.answer) for row in audit_desk.answers_after(c, 0, 10)] == [
            (7, "absent"),
            (8, "cannot_tell"),
        ]
        assert [row.audit_id for row in audit_desk.answers_after(c, 1, 10)] == [8]
        assert audit_desk.answered(c, [6, 7, 8]) == {7, 8}
        found = audit_desk.answer_with(c, "nonce-of-7-absent")
        assert found is not None
        assert found == audit_desk.answer_to(c, 7)


def test_an_answer_that_is_none_is_our_own_mistake(pen: Engine) -> None:
    with pytest.raises(AssertionError):
        given(pen, 1, "normal")


def test_a_form_withdraws_once_and_only_with_a_reason(pen: Engine) -> None:
    told = {"nonce": "a-nonce-of-a-form", "certificate": "c" * 64, "user": "kim", "at": 1.0}
    with pen.begin() as c:
        assert audit_desk.withdraw(c, because="odd films", **told)  # type: ignore[arg-type]
        assert not audit_desk.withdraw(c, because="odd films", **told)  # type: ignore[arg-type]
        assert len(audit_desk.withdrawals_after(c, 0, 10)) == 1
    with pytest.raises(AssertionError), pen.begin() as c:
        audit_desk.withdraw(c, because="", **{**told, "nonce": "another-nonce"})  # type: ignore[arg-type]


def test_a_desk_of_before_has_none_of_it(tmp_path: Path) -> None:
    engine = sqlite.open_writer(tmp_path / "old.db", desk.METADATA)
    with engine.begin() as c:
        assert not audit_desk.is_made(c)
        audit_desk.make(c)
        assert audit_desk.is_made(c)
    engine.dispose()


def test_who_opened_a_study_is_known_by_name_and_study(pen: Engine) -> None:
    with pen.begin() as c:
        desk.note(c, at=1.0, user="kim", act="case-opened", subject="study 4")
        desk.note(c, at=1.0, user="lee", act="case-opened", subject="study 5")
        desk.note(c, at=1.0, user="kim", act="receipt-opened", subject="study 6")
        desk.note(c, at=1.0, user="kim", act="audit-opened", subject="study 7")
        assert desk.opened_by(c, "kim", [4, 5, 6, 7]) == {4, 6}, "what left tells the lane as well"
        assert desk.opened_by(c, "lee", [4, 5]) == {5}
        assert desk.opened_by(c, "kim", []) == set()
