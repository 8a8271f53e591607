"""Figures can only hold a model up, and the version before returns only where it would itself be calm."""

import dataclasses
import random
from datetime import date
from pathlib import Path

import pytest

from appliance.core.promotion import (
    SEEN_MIN,
    WAITS,
    Beside,
    Figures,
    Ran,
    calm,
    certificates_in_force,
    figures,
    is_forward,
    waits,
)
from appliance.core.updates import Terms
from appliance.errors import Misconfigured
from tests.core.test_decide import MODEL, TODAY, a_certificate
from tests.publisher import Publisher

GOOD = Figures(seen=400, silent=1, decided=300, present_decided=310, flagged=100, crossed=8, read=10, misses=2)
GOOD = dataclasses.replace(GOOD, present_misses=2)
CERTIFIED = frozenset({"score-between"})


@pytest.mark.parametrize(
    ("changed", "certified", "code"),
    [
        ({}, True, ""),
        ({}, False, "uncertified"),
        ({"seen": SEEN_MIN - 1}, True, "few"),
        ({"silent": 5}, True, "silent"),
        ({"misses": 3}, True, "misses"),
        ({"crossed": 11}, True, "crossed"),
        ({"decided": 289}, True, "less"),
    ],
)
def test_each_figure_alone_holds_a_model_up(changed: dict[str, int], certified: bool, code: str):
    found = dataclasses.replace(GOOD, **changed)
    assert waits(found, certified=certified, false_discovery_max=0.1)[:1] == ((code,) if code else ())
    assert code in ("", *WAITS)


def test_all_that_holds_it_up_is_said_in_the_order_in_which_it_can_be_mended():
    none = Figures(seen=10, silent=3, decided=1, present_decided=9, flagged=4, crossed=2, read=2, misses=1)
    assert waits(none, certified=False, false_discovery_max=0.1) == tuple(WAITS)


def test_where_the_present_one_decides_nothing_nothing_can_cross_it():
    found = dataclasses.replace(GOOD, present_decided=0, flagged=0, crossed=0)
    assert waits(found, certified=True, false_discovery_max=None) == ()
    assert waits(dataclasses.replace(found, crossed=1), certified=True, false_discovery_max=None) == ("crossed",)


def test_what_was_said_without_a_certificate_shows_no_lane():
    rows = [
        Beside(frozenset({"no-certificate"}), "escalated", "cleared"),
        Beside(frozenset({"certificate-expired", "gate-image-quality"}), "escalated", "cleared"),
        Beside(frozenset({"model-output-missing"}), "escalated", "flagged"),
        Beside(frozenset({"cleared-under-certificate"}), "cleared", "flagged", "present"),
        Beside(CERTIFIED, "escalated", "cleared", "cannot_tell"),
        Beside(frozenset({"flagged-under-certificate"}), "flagged", "flagged", "absent"),
    ]
    assert figures(rows) == Figures(
        seen=4, silent=1, decided=2, present_decided=4, flagged=3, crossed=1, read=2, misses=1, present_misses=1
    )


@pytest.mark.parametrize(
    ("changed", "today", "site", "revoked", "count"),
    [
        ({}, TODAY, "harbour", False, 1),
        ({}, date(2027, 3, 2), "harbour", False, 0),
        ({}, TODAY, "quay", False, 0),
        ({}, TODAY, "harbour", True, 0),
        (
            {"clear_at_or_below": None, "flag_at_or_above": None, "cleared": None, "flagged": None},
            TODAY,
            "harbour",
            0,
            0,
        ),
    ],
)
def test_a_certificate_is_in_force_here_and_today_or_not(
    changed: dict[str, object], today: date, site: str, revoked: bool, count: int
):
    made = a_certificate(**changed)
    model = dataclasses.replace(MODEL, certificates=(made,))
    gone = {made.digest} if revoked else set()
    assert len(certificates_in_force(model, site=site, today=today, revoked=gone)) == count


def test_random_weights_hold_no_certificate():
    manifest = MODEL.manifest.model_copy(update={"weights": "random"})
    model = dataclasses.replace(MODEL, manifest=manifest)
    assert certificates_in_force(model, site="harbour", today=TODAY, revoked=()) == ()


def ran(count: int, shift: float = 0.0, answer: str | None = None, lane: str = "cleared") -> list[Ran]:
    dice = random.Random(3)
    return [Ran(f"1.2.{n}", {"logit": dice.gauss(shift, 1)}, lane, answer) for n in range(count)]


DRAWN = random.Random(5)
SAMPLE = tuple(sorted(DRAWN.gauss(0, 1) for _ in range(200)))
HELD = a_certificate(reference={"logit": SAMPLE})


def dice(measure: str, uid: str) -> float:
    return random.Random(measure + uid).random()


def test_the_version_before_is_calm_only_on_films_that_it_has_seen():
    assert calm(HELD, ran(150), dice, of=150)
    assert calm(HELD, ran(150), dice, of=300)
    assert not calm(HELD, ran(149), dice, of=300)
    assert not calm(HELD, [], dice, of=0)


def test_films_that_moved_for_it_too_are_no_calm():
    assert not calm(HELD, ran(150, shift=2.0), dice, of=150)


def test_misses_that_are_its_own_too_are_no_calm():
    assert not calm(HELD, ran(40, answer="present"), dice, of=40)
    assert calm(HELD, ran(40, answer="present", lane="flagged"), dice, of=40)


def test_only_a_step_forward_is_undone():
    assert is_forward("chest/1.9.0", "chest/1.10.0")
    assert not is_forward("chest/1.10.0", "chest/1.9.0")


def test_terms_that_activate_nothing_are_written_as_before():
    """An appliance of before leaves terms with a word that it does not know: it must not meet one without need."""
    told = {"kind": "model", "title": "chest/1.1.0", "ring": "all"}
    assert "activate" not in Terms(**told).model_dump(mode="json")  # type: ignore[arg-type]
    assert Terms(**told, activate="site").model_dump(mode="json")["activate"] == "site"  # type: ignore[arg-type]


def test_a_centre_names_rings_for_models_only(tmp_path: Path):
    publisher = Publisher(tmp_path / "centre")
    publisher.policy(1)
    with pytest.raises(Misconfigured, match="publish-source"):
        publisher.change("policy-1", activate="all")
