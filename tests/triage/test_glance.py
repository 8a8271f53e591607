"""The first glance: told while the study still grows, once a film, and never a decision."""

import dataclasses
from datetime import date
from typing import Any

import numpy as np
import pytest

from appliance.core.admit import admit
from appliance.core.decide import Model
from appliance.core.gates import REPEAT_CODES, Bound
from appliance.core.reasons import in_words
from appliance.core.standing import Standing
from appliance.review.repeats import said
from appliance.triage import glance, looking
from appliance.triage.glance import repeats
from appliance.triage.looking import Court
from appliance.world.ledger import glances
from tests.core.test_decide import GATES, MODEL, REFERENCE
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench
from tests.triage.test_headers import DATA, ELEMENTS, Clearing, file_of

# The drawn film of these tests is turned: its sharpness says so.
TURNED = dataclasses.replace(
    REFERENCE,
    gates=GATES.model_copy(
        update={"bounds": {**GATES.bounds, "sharpness": Bound(low=5.0, high=None, code="gate-turned")}}
    ),
)
FILM_UID = next(each.value.decode().strip("\0") for each in ELEMENTS if each.name == "StudyInstanceUID")


class Counting(Clearing):
    """Counts its runs, and can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: BaseException | None = None

    def run(self, title: str, exit: int, tensor: np.ndarray) -> dict[str, np.ndarray]:
        found = super().run(title, exit, tensor)
        if self.fails is not None:
            raise self.fails
        return found


@pytest.fixture
def turned(bench: Bench) -> tuple[Bench, Counting]:
    inner = Counting()
    model = Model(MODEL.manifest, {"default": TURNED}, MODEL.certificates)
    bench.start(Court((model,), inner, "harbour"))
    return bench, inner


def hints(bench: Bench, uid: str = FILM_UID) -> list[str]:
    study = bench.study(uid)
    with bench.triage.engine.connect() as c:
        assert glances.of_many(c, [study.number]).get(study.number, ()) == tuple(
            each.code for each in glances.of(c, study.number)
        )
        return [each.code for each in glances.of(c, study.number)]


def test_a_turned_film_is_told_before_its_study_is_complete(turned: tuple[Bench, Counting]) -> None:
    bench, inner = turned
    bench.put(DATA)
    bench.step("admit", "assemble", "glance", passed=0.1)
    assert bench.study(FILM_UID).state == "received"
    assert hints(bench) == ["gate-turned"]
    assert len(inner.seen) == 1
    bench.step("glance", passed=1)
    assert len(inner.seen) == 1, "one glance a film"
    bench.step("assemble", "glance", "judge", passed=9)
    assert bench.study(FILM_UID).state == "hard"
    assert bench.result(FILM_UID).reasons[0]["code"] == "gate-turned"
    assert hints(bench) == ["gate-turned"]


def test_only_what_can_be_mended_is_a_hint(turned: tuple[Bench, Counting]) -> None:
    bench, _ = turned
    plain = dataclasses.replace(REFERENCE, gates=GATES.model_copy(update={"bounds": {
        **GATES.bounds, "sharpness": Bound(low=5.0, high=None, code="gate-out-of-distribution")}}))  # fmt: skip
    bench.start(Court((Model(MODEL.manifest, {"default": plain}, ()),), Counting(), "harbour"))
    bench.put(DATA)
    bench.step("admit", "glance", passed=0.1)
    assert hints(bench) == []
    assert "gate-out-of-distribution" not in REPEAT_CODES


@pytest.mark.parametrize("other", ["gate-adult", "gate-not-as-described"])
def test_a_film_that_is_not_ours_is_not_to_be_repeated(other: str) -> None:
    """An adult's or a hand's film is no better the second time: it would be radiation for nothing."""
    reasons = in_words([other, "gate-cropped", "gate-out-of-distribution"])
    assert repeats(reasons) == ()
    assert said(reason.code for reason in reasons) == ""
    assert [each.code for each in repeats(reasons[1:])] == ["gate-cropped"]


def test_what_no_model_for_single_films_covers_is_passed_over_unread(
    turned: tuple[Bench, Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, inner = turned

    def unread(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing of it is to be read")

    monkeypatch.setattr(looking, "decode", unread)
    for number in range(12):
        bench.put(tiny(UID, number, "PAT-1", "CT", number))
    bench.step("admit", "glance", passed=0.1)
    assert inner.seen == []
    with bench.triage.engine.connect() as c:
        assert glances.waiting(c, attempts_max=9, limit=99) == []
    assert hints(bench, UID) == []


def test_a_film_that_kills_the_process_gets_one_glance_and_is_judged_all_the_same(
    turned: tuple[Bench, Counting],
) -> None:
    bench, inner = turned
    bench.put(DATA)
    bench.step("admit")
    inner.fails = SystemExit(9)
    with pytest.raises(SystemExit):
        bench.step("glance")
    inner.fails = None
    model = bench.triage.lineup.court
    bench.start(model)
    bench.step("glance")
    assert hints(bench) == []
    assert len(inner.seen) == 1, "the attempt was counted before it was made"
    bench.step("assemble", "judge", passed=0)
    bench.step("assemble", "judge", passed=9)
    assert bench.study(FILM_UID).state == "hard"


def test_a_film_that_cannot_be_decoded_has_no_hint_and_stops_nothing(turned: tuple[Bench, Counting]) -> None:
    bench, _ = turned
    cut = [each._replace(value=each.value[:100]) if each.name == "PixelData" else each for each in ELEMENTS]
    bench.put(file_of(cut))
    bench.step("admit", "glance", passed=0.1)
    assert hints(bench) == []
    with bench.triage.engine.connect() as c:
        assert glances.waiting(c, attempts_max=9, limit=9) == []


def test_a_stopped_model_gives_no_hint(turned: tuple[Bench, Counting]) -> None:
    _, inner = turned
    court = Court((Model(MODEL.manifest, {"default": TURNED}, ()),), inner, "harbour")

    def told(standing: Standing) -> list[str]:
        found = glance.hints(
            court, admit(DATA), lambda _: DATA, pixels_max=10**7, today=date(2027, 1, 1), standing=standing
        )
        return [each.code for each in found]

    assert told(Standing()) == ["gate-turned"]
    assert told(Standing(stopped=frozenset(("drawn",)))) == []


def test_the_newest_film_is_glanced_at_first(turned: tuple[Bench, Counting]) -> None:
    bench, _ = turned
    digests = [bench.put(tiny(f"{UID}.{number}", 1, "PAT-1", "CR", number)) for number in range(3)]
    for digest in digests:
        bench.step("admit")
        assert digest
    with bench.triage.engine.connect() as c:
        rows = glances.waiting(c, attempts_max=1, limit=9)
    ids = [row.study_number for row in rows]
    assert ids == sorted(ids, reverse=True)


def test_the_step_stands_between_assembly_and_judgement(bench: Bench) -> None:
    names = list(bench.steps)
    assert names.index("admit") < names.index("glance") < names.index("judge")
