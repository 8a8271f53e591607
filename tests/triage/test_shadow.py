"""Models that run beside the deciding one: what they say is kept, and changes nothing of a decision."""

import dataclasses
import json
from datetime import date
from typing import Any

import numpy as np
import pytest

from appliance.core.decide import Model
from appliance.core.manifest import Manifest
from appliance.core.standing import Standing
from appliance.triage.judge import Judging
from appliance.triage.looking import Court
from appliance.world.ledger import shadows
from tests.core.test_decide import MANIFEST_JSON, MODEL, REFERENCES, a_certificate
from tests.triage.conftest import Bench
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA, Clearing

OTHER = Manifest.model_validate_json(json.dumps({**MANIFEST_JSON, "version": "2.0.0"}))
RANDOM = Manifest.model_validate_json(json.dumps({**MANIFEST_JSON, "name": "dice", "weights": "random"}))
HANDS = Manifest.model_validate_json(
    json.dumps(
        {
            **MANIFEST_JSON,
            "name": "hands",
            "applies_to": {**MANIFEST_JSON["applies_to"], "body_part_examined": ["HAND"]},
        }  # type: ignore[dict-item]
    )
)


class Voices(Clearing):
    """Each model with a logit of its own, or something to raise."""

    def __init__(self, **says: Any) -> None:
        super().__init__()
        self.says = says

    def run(self, title: str, exit: int, tensor: np.ndarray) -> dict[str, np.ndarray]:
        found, said = super().run(title, exit, tensor), self.says[title.replace("/", "_").replace(".", "_")]
        if isinstance(said, BaseException):
            raise said
        return {**found, "logit": np.array([said], np.float32)}


def decided(bench: Bench, voices: Voices, *beside: Model) -> tuple[Any, list[Any]]:
    """The result of the film, and what the shadows said; TODAY of these certificates is the bench's own."""
    certificate = a_certificate(created=date(1970, 1, 1), expires=date(1971, 1, 1))
    model = dataclasses.replace(MODEL, certificates=(certificate,))
    bench.start(Court((model,), voices, "harbour", beside))
    bench.put(DATA)
    bench.step("admit", "assemble")
    bench.step("assemble", "judge", passed=9)
    with bench.triage.engine.connect() as c:
        return bench.result(FILM_UID), shadows.of(c, bench.study(FILM_UID).number)


def comparable(result: Any) -> dict[str, Any]:
    return {name: value for name, value in result._mapping.items() if name != "timings_ms"}


@pytest.mark.parametrize("said", [-9.0, 0.0, 9.0, np.nan, RuntimeError("a shadow that crashes"), MemoryError()])
def test_a_shadow_changes_nothing_of_the_decision(bench: Bench, tmp_path: Any, said: Any) -> None:
    alone, none = decided(Bench(tmp_path / "alone"), Voices(drawn_1_2_3=-9.0))
    assert (alone.lane, none) == ("cleared", [])
    other = Model(OTHER, REFERENCES, (a_certificate(created=date(1970, 1, 1), expires=date(1971, 1, 1)),))
    beside, told = decided(bench, Voices(drawn_1_2_3=-9.0, drawn_2_0_0=said), other)
    assert comparable(beside) == comparable(alone)
    assert bench.study(FILM_UID).state == "routine"
    assert len(told) == (0 if isinstance(said, BaseException) else 1)


def test_what_a_shadow_would_have_decided_is_kept_beside_the_decision(bench: Bench) -> None:
    other = Model(OTHER, REFERENCES, (a_certificate(created=date(1970, 1, 1), expires=date(1971, 1, 1)),))
    dice, hands = Model(RANDOM, REFERENCES, ()), Model(HANDS, REFERENCES, ())
    voices = Voices(drawn_1_2_3=-9.0, drawn_2_0_0=9.0, dice_1_2_3=-9.0)
    result, told = decided(bench, voices, other, dice, hands)
    assert result.lane == "cleared"
    assert [(row.model, row.lane, row.agrees, row.decided_by) for row in told] == [
        ("dice/1.2.3", "escalated", False, "drawn/1.2.3"),
        ("drawn/2.0.0", "flagged", False, "drawn/1.2.3"),
    ]
    with bench.triage.engine.connect() as c:
        assert shadows.agreement(c, "drawn/2.0.0") == {True: 0, False: 1}


def test_a_shadow_that_ends_the_process_comes_after_the_move(bench: Bench) -> None:
    other = Model(OTHER, REFERENCES, ())
    with pytest.raises(SystemExit):
        decided(bench, Voices(drawn_1_2_3=-9.0, drawn_2_0_0=SystemExit(9)), other)
    assert (bench.study(FILM_UID).state, bench.result(FILM_UID).lane) == ("routine", "cleared")
    assert bench.study(FILM_UID).attempts == 0


def test_a_kill_switch_that_falls_while_the_network_runs_still_counts(bench: Bench) -> None:
    """Between the attempt and the move a stop may come: what was decided without it is thrown away."""
    fallen: list[frozenset[str]] = [frozenset()]

    class Falling(Voices):
        def run(self, title: str, exit: int, tensor: np.ndarray) -> dict[str, np.ndarray]:
            fallen[0] = frozenset(("drawn",))
            return super().run(title, exit, tensor)

    certificate = a_certificate(created=date(1970, 1, 1), expires=date(1971, 1, 1))
    model = dataclasses.replace(MODEL, certificates=(certificate,))
    bench.start(Court((model,), Falling(drawn_1_2_3=-9.0), "harbour"))
    judging = next(part for part in bench.triage.parts if isinstance(part, Judging))
    judging.stands = lambda *_: Standing(stopped=fallen[0])
    bench.put(DATA)
    bench.step("admit", "assemble")
    bench.step("assemble", "judge", passed=9)
    assert [each["code"] for each in bench.result(FILM_UID).reasons] == ["model-stopped"]
    assert bench.study(FILM_UID).state == "hard"


def test_a_stopped_shadow_is_not_run(bench: Bench) -> None:
    voices = Voices(drawn_1_2_3=-9.0, drawn_2_0_0=9.0)
    other = Model(OTHER, REFERENCES, ())
    certificate = a_certificate(created=date(1970, 1, 1), expires=date(1971, 1, 1))
    bench.start(Court((dataclasses.replace(MODEL, certificates=(certificate,)),), voices, "harbour", (other,)))
    judging = next(part for part in bench.triage.parts if isinstance(part, Judging))
    judging.stands = lambda *_: Standing(stopped=frozenset(("drawn/2.0.0",)))
    bench.put(DATA)
    bench.step("admit", "assemble")
    bench.step("assemble", "judge", passed=9)
    assert bench.result(FILM_UID).lane == "cleared"
    with bench.triage.engine.connect() as c:
        assert shadows.of(c, bench.study(FILM_UID).number) == []
