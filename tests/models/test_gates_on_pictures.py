"""Each gate of the shipped package is needed: a picture under a right header that it alone stops.

Films of the synthetic scanner without its mark pass every gate of the site `harbour`; what befell them is one mishap
each. Where no picture was found that one gate stops alone, a real one is shown that it stops among others, and that it
would still stop were the others not there.
"""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from appliance.cli.prove import synthetic
from appliance.core.admit import admit
from appliance.core.drawn_objects import person, radiograph
from appliance.core.gates import GATE_REASONS, Measure
from appliance.core.study import Instance
from tests.models.lightbox import ROOT, Film, Lightbox

SITE, REFERENCE = "harbour", "default"
# What the rule may say of a film that no gate stops.
BY_THE_SCORE = {"cleared-under-certificate", "flagged-under-certificate", "score-between"}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on its own files


@pytest.fixture(scope="module")
def box() -> Iterator[Lightbox]:
    found = Lightbox()
    yield found
    found.close()


def grey(picture: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@cache
def bare(seed: int) -> Film:
    """A film of the synthetic scanner before SYNTHETIC is written into it, float32 0..255."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "marked", lambda values: values)
        return synthetic.draw(seed).values.astype(np.float32)


def shipped(name: str, *, inverted: bool = False) -> Film:
    """The middle frame of a real object that pydicom or pydicom-data ships, in grey, 0..255 from lowest to highest."""
    path = get_testdata_file(name, download=False)
    array = np.asarray(pydicom.dcmread(Path(str(path))).pixel_array, np.float32)
    while array.ndim > 2:
        array = array.mean(-1) if array.shape[-1] == 3 else array[len(array) // 2]
    film = (array - array.min()) / (array.max() - array.min()) * 255
    return 255 - film if inverted else film


def tilted(film: Film, degrees: float) -> Film:
    rows, columns = film.shape
    warp = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(film, warp, (columns, rows)), np.float32)


def shaded(film: Film) -> Film:
    """A bright shadow of soft edge over one side, as of a fold of cloth or a heat pack."""
    row, column = np.mgrid[0 : film.shape[0], 0 : film.shape[1]]
    shadow = np.exp(-(((column - 80.17) / 17.58) ** 2) - ((row - 138.54) / 51.5) ** 2)
    return np.asarray((film + 104.8 * shadow).clip(0, 255), np.float32)


def dithered(film: Film, levels: int) -> Film:
    """Four times as large, of a few greys strewn so that their mean is the film's, as an old digitiser would."""
    large = cv2.resize(film, (4 * film.shape[1], 4 * film.shape[0]), interpolation=cv2.INTER_LINEAR) / 255 * levels
    return np.floor(large + np.random.default_rng(0).random(large.shape)).astype(np.float32)


def header(picture: NDArray[np.uint8], name: str) -> Instance:
    """The picture as a valid film of a child of three on the scanner that the certificate is for."""
    return admit(radiograph(picture, person(f"gate {name}", 3), f"gate {name}", view="AP"))


class Case(NamedTuple):
    """A film that passes, what befalls it, the one measure that tells, and its code."""

    seed: int
    mishap: Callable[[Film], NDArray[np.generic]]
    measure: Measure
    code: str


ALONE: dict[str, Case] = {
    "words burned in": Case(
        1_100_000_000,
        lambda film: synthetic.marked(grey(film)),
        "distance",
        "gate-out-of-distribution",
    ),
    "apex cut off": Case(1_200_000_310, lambda film: film[68:-5], "as_described", "gate-cropped"),
    "strip of a film": Case(
        1_100_000_000,
        lambda film: cv2.resize(film, (480, 224), interpolation=cv2.INTER_LINEAR),
        "aspect",
        "gate-cropped",
    ),
    "moved": Case(1_200_000_106, lambda film: cv2.GaussianBlur(film, (0, 0), 0.9), "sharpness", "gate-blur"),
    "over-exposed": Case(
        1_200_000_283,
        lambda film: (film.clip(14, 223) - 14) / 209 * 255,
        "clipped_bright",
        "gate-exposure",
    ),
    "few greys": Case(1_100_000_002, lambda film: dithered(film, 29), "grey_levels", "gate-image-quality"),
    "shadow over one side": Case(1_200_000_071, lambda film: tilted(shaded(film), 3.476), "gap", "gate-flip"),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_film_that_only_one_gate_stops(box: Lightbox, name: str):
    case = ALONE[name]
    before = bare(case.seed)
    assert box.failed(box.seen(before), REFERENCE) == (), "it was a good film"
    picture = grey(case.mishap(before))
    seen, instances = box.seen(picture.astype(np.float32)), [header(picture, name)]
    decision = box.decided(instances, seen, SITE)
    assert decision.lane == "escalated"
    assert [reason.code for reason in decision.reasons] == [case.code]
    assert decision.scores[-1].failed == (case.code,), "at the exit that had the last word"
    assert decision.reasons[0].text == GATE_REASONS[case.code]
    without = box.decided(instances, seen, SITE, opened=[case.measure])
    assert {reason.code for reason in without.reasons} <= BY_THE_SCORE, "nothing else would have stopped it"
    assert all(scores.failed == () for scores in without.scores)


def enlarged(film: Film) -> Film:
    """Large enough for the header's gates."""
    return np.asarray(cv2.resize(film, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.float32)


# What no mishap of a good film brought about alone: the picture, the gate, and the others that stop it too.
TOGETHER: dict[str, tuple[Callable[[], Film], Measure, str]] = {
    "adult, a real film": (lambda: shipped("RG1_UNCR.dcm", inverted=True), "as_described", "gate-adult"),
    "bright and dark exchanged, a real film": (lambda: shipped("RG1_UNCR.dcm"), "as_described", "gate-inverted"),
    "bright and dark exchanged": (lambda: 255 - bare(1_100_000_000), "as_described", "gate-inverted"),
    "limb, a real film": (lambda: shipped("RG3_UNCR.dcm"), "as_described", "gate-not-as-described"),
    "slice of a CT": (lambda: shipped("CT_small.dcm"), "as_described", "gate-not-as-described"),
    "slice of an MR": (lambda: enlarged(shipped("MR_small.dcm")), "as_described", "gate-not-as-described"),
    "ultrasound": (lambda: shipped("US1_UNCR.dcm"), "as_described", "gate-not-as-described"),
    "turned by a quarter": (lambda: np.rot90(bare(1_100_000_000)), "as_described", "gate-turned"),
    "upside down": (lambda: np.rot90(bare(1_100_000_000), 2), "as_described", "gate-turned"),
    "left half": (lambda: enlarged(bare(1_100_000_000)[:, :112]), "as_described", "gate-cropped"),
    "black": (lambda: bare(1_100_000_000) * 0, "entropy_bits", "gate-exposure"),
    "nothing but noise": (
        lambda: np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.float32),
        "sharpness",
        "gate-image-quality",
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_a_picture_that_a_gate_stops_among_others_and_would_stop_without_them(box: Lightbox, name: str):
    draw, measure, code = TOGETHER[name]
    picture = grey(draw())
    seen, instances = box.seen(picture.astype(np.float32)), [header(picture, name)]
    decision = box.decided(instances, seen, SITE)
    assert decision.lane == "escalated"
    if measure == "as_described":
        assert decision.reasons[0].code == code, "what the picture is, is said first"
    assert code in {reason.code for reason in decision.reasons}
    others = [each for each in box.model.references[REFERENCE].gates.bounds if each != measure]
    alone = box.decided(instances, seen, SITE, opened=others)
    assert alone.lane == "escalated"
    assert [reason.code for reason in alone.reasons] == [code]
    none = box.decided(instances, seen, SITE, opened=[*others, measure])
    assert {reason.code for reason in none.reasons} <= BY_THE_SCORE, "nothing but gates stops them"


STRANGERS = ("page", "screen", "phantom", "noise", "limb", "breast", "head")


@pytest.mark.parametrize("kind", STRANGERS)
def test_pictures_that_are_no_chest_film_are_escalated_with_words(
    box: Lightbox, kind: str, monkeypatch: pytest.MonkeyPatch
):
    """Pages of text, screens, phantoms, noise and simple shapes, of a seed that no training saw."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "models"), *sys.path])
    from drawn_strangers import DRAWN, drawn

    assert set(STRANGERS) == set(DRAWN)
    for number, picture in enumerate(drawn([kind], 12, 20_261_126)):
        told = grey(picture * 255)
        decision = box.decided([header(told, f"{kind} {number}")], box.seen(told.astype(np.float32)), SITE)
        assert decision.lane == "escalated", number
        assert decision.reasons[0].code in GATE_REASONS, number
        assert decision.reasons[0].text == GATE_REASONS[decision.reasons[0].code]


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_film_of_one_grey_is_escalated_with_words(box: Lightbox, value: int):
    picture = np.full((224, 224), value, np.uint8)
    decision = box.decided([header(picture, f"grey {value}")], box.seen(picture.astype(np.float32)), SITE)
    assert decision.lane == "escalated"
    assert {"gate-image-quality", "gate-exposure"} <= {reason.code for reason in decision.reasons}
    assert all(reason.text for reason in decision.reasons)


def test_a_screenshot_of_this_appliance_s_page_is_escalated(box: Lightbox):
    """A film within a window with words and buttons around it: most of the picture is a good film."""
    window = np.full((320, 420), 235, np.uint8)
    window[60:284, 20:244] = grey(bare(1_100_000_000))
    for row, words in enumerate(("Studies", "cleared", "flagged", "escalated", "Open", "Sign off"), 2):
        cv2.rectangle(window, (260, 32 * row), (405, 32 * row + 24), 205, -1)
        cv2.putText(window, words, (268, 32 * row + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 30, 1)
    cv2.putText(window, "Triage  http://appliance", (20, 35), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 20, 1)
    decision = box.decided([header(window, "screenshot")], box.seen(window.astype(np.float32)), SITE)
    assert decision.lane == "escalated"
    assert decision.reasons[0].code in GATE_REASONS


def test_every_code_that_the_package_can_give_is_shown_by_a_picture(box: Lightbox):
    gates = box.model.references[REFERENCE].gates
    assert gates.wanted is not None
    codes = {bound.code for bound in gates.bounds.values()} | set(gates.wanted.codes.values())
    codes |= {bound.code_low for bound in gates.bounds.values() if bound.code_low is not None}
    shown = {case.code for case in ALONE.values()} | {code for _, _, code in TOGETHER.values()}
    assert codes <= shown
