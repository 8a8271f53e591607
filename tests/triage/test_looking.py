"""From images to a decision: which exits are run, what each is given, and what happens when a graph does not answer."""

import dataclasses
from datetime import date
from typing import Any

import numpy as np
import pytest
from pydicom.tag import Tag

from appliance.core.admit import admit
from appliance.core.decide import Decision
from appliance.core.standing import Standing
from appliance.triage.looking import Court, Judgement, judge
from tests.core.test_decide import FEATURES, MODEL, codes
from tests.core.test_rule import CHECKED, CHECKED_REFERENCES, FIRST, PAIR, SECOND
from tests.triage.test_headers import DATA, ELEMENTS, TENSOR, Clearing, Element, file_of

TODAY = date(2027, 1, 1)
TRUNK = np.full((1, 3, 4, 4), 0.5, np.float32)


class Exits:
    """A bench of two exits: what each gives, and what each was given."""

    def __init__(self, first: Any, second: Any = None, check: Any = None) -> None:
        self.gives = {1: first, 2: second}
        self.given: list[tuple[int, np.ndarray]] = []
        self.pictures: list[np.ndarray] = []
        self.kinds = check

    def run(self, title: str, exit: int, tensor: np.ndarray) -> dict[str, np.ndarray]:
        self.given.append((exit, tensor))
        return self.gives[exit]  # type: ignore[no-any-return]

    def check(self, title: str, picture: np.ndarray) -> dict[str, np.ndarray]:
        self.pictures.append(picture)
        return self.kinds  # type: ignore[no-any-return]

    def close(self) -> None:
        pass


def says(logit: float, **more: np.ndarray) -> dict[str, np.ndarray]:
    return {"logit": np.array([logit], np.float32), "features": np.zeros((1, FEATURES), np.float32), **more}


def looked(bench: Any, model: Any = PAIR, data: bytes = DATA, standing: Standing | None = None) -> Judgement:
    instance = admit(data)
    return judge(
        Court((model,), bench, "harbour"),
        [instance],
        lambda _: data,
        pixels_max=10**7,
        today=TODAY,
        standing=standing or Standing(),
    )


def decision(*given: Any, **named: Any) -> Decision:
    return looked(*given, **named).decision


def test_the_second_exit_is_not_run_when_the_first_decides() -> None:
    bench = Exits(says(-9.0, trunk=TRUNK), says(9.0))
    found = decision(bench)
    assert (found.lane, found.exit) == ("cleared", 1)
    assert [number for number, _ in bench.given] == [1]


def test_the_second_exit_is_given_the_trunk_of_the_first() -> None:
    bench = Exits(says(0.0, trunk=TRUNK), says(9.0))
    found = looked(bench)
    assert (found.decision.lane, found.decision.exit) == ("flagged", 2)
    assert [number for number, _ in bench.given] == [1, 2]
    assert bench.given[0][1].shape == (1, 1, 128, 128)
    assert (bench.given[1][1] == TRUNK).all()
    assert set(found.timings_ms) == {"decode", "prepare", "infer", "decide"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, says(-9.0)),
        (says(0.0), says(-9.0)),  # no trunk to go on from
        (says(0.0, trunk=TRUNK), {}),
        (says(0.0, trunk=TRUNK), {"logit": np.array([-9.0], np.float32)}),
    ],
)
def test_a_graph_that_gives_nothing_escalates(first: Any, second: Any) -> None:
    found = decision(Exits(first, second))
    assert (found.lane, found.exit) == ("escalated", None)
    assert "model-output-missing" in codes(found)


def test_without_certificates_both_exits_are_asked_what_they_would_say() -> None:
    bench = Exits(says(-9.0, trunk=TRUNK), says(-9.0))
    found = decision(bench, model=dataclasses.replace(PAIR, certificates=()))
    assert (found.lane, found.would_be, codes(found)) == ("escalated", "cleared", ["no-certificate"])
    assert [each.exit for each in found.scores] == [1, 2]


def test_a_stopped_model_is_not_even_run() -> None:
    bench = Exits(says(-9.0))
    found = decision(bench, standing=Standing(stopped=frozenset(("drawn",))))
    assert (found.lane, codes(found), bench.given) == ("escalated", ["model-stopped"], [])


def test_a_revoked_first_exit_closes_the_second() -> None:
    found = decision(Exits(says(0.0, trunk=TRUNK), says(-9.0)), standing=Standing(revoked=frozenset((FIRST.digest,))))
    assert found.lane == "escalated"
    found = decision(Exits(says(0.0, trunk=TRUNK), says(-9.0)), standing=Standing(revoked=frozenset((SECOND.digest,))))
    assert found.lane == "escalated"


def test_the_check_network_sees_the_picture_at_its_own_size() -> None:
    bench = Exits(says(0.0), check={"kinds": np.array([[0.9, 0.1]], np.float32)})
    decision(bench, model=dataclasses.replace(MODEL, manifest=CHECKED, references=CHECKED_REFERENCES))
    (picture,) = bench.pictures
    assert (picture.shape, picture.dtype) == ((1, 1, 64, 64), np.float32)
    assert 0 <= picture.min() < picture.max() <= 1


# The grey scale


def negative(*more: tuple[str, bytes, bytes]) -> bytes:
    """The valid film as MONOCHROME1: its values turned round, and said so."""
    told = []
    for each in ELEMENTS:
        if each.name == "PhotometricInterpretation":
            told.append(each._replace(value=b"MONOCHROME1 "))
        elif each.name == "PixelData":
            told.append(each._replace(value=(255 - np.frombuffer(each.value, np.uint8)).tobytes()))
        else:
            told.append(each)
    for keyword, vr, value in more:
        tag = Tag(keyword)
        told.append(Element((tag.group, tag.element), vr, value))
    return file_of(sorted(told, key=lambda each: each.tag))


@pytest.mark.parametrize(
    "more",
    [
        (),
        (("PresentationLUTShape", b"CS", b"INVERSE"),),
        (("PixelIntensityRelationshipSign", b"SS", b"\1\0"),),
    ],
)
def test_a_film_told_in_monochrome1_is_turned_round_once(more: tuple[tuple[str, bytes, bytes], ...]) -> None:
    bench = Clearing()
    assert decision(bench, model=MODEL, data=negative(*more)).lane == "cleared"
    assert np.abs(bench.seen[0] - TENSOR).max() < 1e-5


@pytest.mark.parametrize(
    "more",
    [
        ("PresentationLUTShape", b"CS", b"IDENTITY"),
        ("PixelIntensityRelationshipSign", b"SS", b"\xff\xff"),
        ("RescaleSlope", b"DS", b"-1"),
    ],
)
def test_a_grey_scale_told_in_two_ways_is_escalated(more: tuple[str, bytes, bytes]) -> None:
    bench = Clearing()
    found = decision(bench, model=MODEL, data=negative(more))
    assert (found.lane, codes(found)) == ("escalated", ["no-model-applies", "grey-scale-contradicted"])
    assert bench.seen == []
