"""While the centre is silent a small model may draft words here: guarded, replaced by the verdict, never a move."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.config import Config, Draft
from appliance.core.drafting.guard import WITHHELD
from appliance.loop import Moment
from appliance.triage.drafting import ATTEMPTS_MAX, LOOK_PERIOD_S, WRONG_PERIOD_S
from appliance.world import wire
from appliance.world.drafter import Drafter
from appliance.world.ledger import drafts
from central import weights
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench

LATE_S = 28_801
OTHER = "1.2.826.0.1.8"
CHILD = "tests.triage.scripted_child"


class Silent:
    """An appliance whose centre says nothing, and a model of so scripted a manner."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder

    def of_manner(self, manner: str, answer_s: float = 30.0) -> None:
        told = Draft(weights=f"/nowhere/{manner}.gguf", weights_sha256="0" * 64, answer_s=answer_s)
        self.bench.triage.drafting.drafter = Drafter(told, self.folder, CHILD)
        self.bench.steps = self.bench.triage.steps()

    def escalate(self, uid: str = UID, patient: str = "PAT-1") -> None:
        self.bench.put(tiny(uid, 1, patient, "CR", 3))
        self.bench.step(passed=1)
        self.bench.step(passed=5)

    def look(self, passed: float = LOOK_PERIOD_S) -> None:
        """One question put, and what came of it; the child is a real process and takes the time it takes."""
        self.bench.step("draft", passed=passed)
        drafter = self.bench.triage.drafting.drafter
        assert drafter is not None
        end = time.monotonic() + 30
        while drafter.busy:
            assert time.monotonic() < end
            assert drafter._process is not None
            if self.bench.now < drafter._late:
                drafter._process.wait(30)
            self.bench.step("draft")

    def rows(self) -> list[Any]:
        with self.bench.triage.engine.connect() as c:
            return list(c.execute(drafts.drafts.select().order_by(drafts.drafts.c.study_number)))


@pytest.fixture
def silent(bench: Bench, tmp_path: Path) -> Iterator[Silent]:
    made = Silent(bench, tmp_path / "draft")
    yield made
    bench.triage.drafting.close()


def test_without_weights_nothing_is_asked(bench: Bench) -> None:
    assert "draft" not in bench.steps
    assert Config().draft.weights == ""


def test_weights_without_their_digest_are_no_configuration() -> None:
    with pytest.raises(ValueError, match="weights_sha256"):
        Draft(weights="/somewhere/model.gguf")
    with pytest.raises(ValueError, match="absolute"):
        Draft(weights="model.gguf", weights_sha256="0" * 64)


def test_nothing_is_drafted_before_the_deadline_and_one_draft_after_it(silent: Silent) -> None:
    silent.of_manner("sound")
    silent.escalate()
    silent.look()
    assert silent.rows() == []
    silent.look(passed=LATE_S)
    (row,) = silent.rows()
    assert (row.state, row.code, row.attempts) == ("shown", "", 1)
    assert row.body["impression"] == "This study needs review by a radiologist."
    assert row.body["reader"]["model"] == "sound", "as the site calls it, not as it calls itself"
    assert silent.bench.study().state == "escalated"
    assert not silent.folder.exists(), "nothing of the child is left"
    silent.look(passed=LATE_S)
    assert silent.rows()[0].attempts == 1


def test_what_the_guard_refuses_is_withheld(silent: Silent) -> None:
    silent.of_manner("normal")
    silent.escalate()
    silent.look(passed=LATE_S)
    (row,) = silent.rows()
    assert row.state == "withheld"
    assert row.body["impression"] == WITHHELD
    assert "Normal" not in str(row.body)


@pytest.mark.parametrize(
    ("manner", "code"),
    [
        ("killed", "draft-failed"),
        ("garbage", "llm-answer-invalid"),
        ("long", "draft-failed"),
        ("cut", "llm-answer-invalid"),
    ],
)
def test_a_model_that_fails_is_asked_twice_and_the_case_waits_as_before(silent: Silent, manner: str, code: str) -> None:
    silent.of_manner(manner)
    silent.escalate()
    for _ in range(ATTEMPTS_MAX + 1):
        silent.look(passed=LATE_S)
    (row,) = silent.rows()
    assert (row.state, row.code, row.attempts, row.body) == ("none", code, ATTEMPTS_MAX, None)
    assert silent.bench.study().state == "escalated"


def test_a_model_that_is_late_is_ended(silent: Silent) -> None:
    silent.of_manner("late", answer_s=5.0)
    silent.escalate()
    silent.bench.step("draft", passed=LATE_S)
    drafter = silent.bench.triage.drafting.drafter
    assert drafter is not None
    assert drafter.busy
    child = drafter._process
    assert child is not None
    late = silent.bench.now + 6.0
    assert silent.bench.steps["draft"](Moment(late, late))
    assert child.poll() is not None, "it is ended"
    assert silent.rows()[0].code == "draft-late"


@pytest.mark.parametrize(("manner", "code"), [("runtime", "llm-runtime-missing"), ("digest", "draft-weights")])
def test_a_fault_of_the_site_is_not_tried_on_case_after_case(silent: Silent, manner: str, code: str) -> None:
    silent.of_manner(manner)
    silent.escalate()
    silent.escalate(OTHER, "PAT-2")
    silent.look(passed=LATE_S)
    silent.look()
    assert [row.code for row in silent.rows()] == [code]
    silent.look(passed=WRONG_PERIOD_S)
    assert len(silent.rows()) == 2 or silent.rows()[0].attempts == 2


def test_the_most_urgent_is_drafted_first(silent: Silent) -> None:
    silent.of_manner("sound")
    silent.escalate()
    silent.escalate(OTHER, "PAT-2")
    number = silent.bench.study(OTHER).number
    with silent.bench.triage.cases.begin() as c:
        where = wire.cases.c.case_id == silent.bench.result(OTHER).case_id
        c.execute(wire.cases.update().where(where).values(urgency="critical"))
    silent.bench.step("draft", passed=LATE_S)
    assert [row.study_number for row in silent.rows()][:1] == [number]


def test_a_question_that_was_cut_short_by_an_end_counts_as_an_attempt(silent: Silent) -> None:
    silent.of_manner("late")
    silent.escalate()
    silent.bench.step("draft", passed=LATE_S)
    silent.bench.start()
    (row,) = silent.rows()
    assert (row.state, row.attempts) == ("begun", 1)
    silent.of_manner("sound")
    silent.look()
    assert silent.rows()[0].state == "shown"


def test_a_study_that_is_not_escalated_any_more_gets_none(silent: Silent) -> None:
    silent.of_manner("sound")
    silent.escalate()
    silent.bench.put(tiny(UID, 2, "PAT-1", "CR", 4))
    silent.bench.step("admit", passed=1)
    silent.look(passed=LATE_S)
    assert silent.rows() == []


@pytest.mark.llm
def test_a_real_small_model_drafts_for_a_case_that_waits_too_long(silent: Silent) -> None:
    path = weights.fetch(print)
    told = Draft(weights=str(path), weights_sha256=weights.SHA256)
    silent.bench.triage.drafting.drafter = Drafter(told, silent.folder)
    silent.bench.steps = silent.bench.triage.steps()
    silent.escalate()
    silent.bench.step("draft", passed=LATE_S)
    drafter = silent.bench.triage.drafting.drafter
    assert drafter._process is not None
    drafter._process.wait(300)
    silent.bench.step("draft")
    (row,) = silent.rows()
    assert (row.state, row.code) == ("shown", "")
    assert silent.bench.study().state == "escalated"
