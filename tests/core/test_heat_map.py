"""A map over a picture: well-formed or an odd answer, kept where the signed manifest lets it be, shown by policy."""

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from appliance.core.manifest import Manifest
from appliance.core.outputs import Answer, answer, heat_map
from appliance.core.overlay import may_be_shown, stops
from tests.core.test_decide import FEATURES, MANIFEST_JSON

HEAT = {"output": "heat", "frames": 1, "rows": 2, "columns": 3}
FRAMES = [("a" * 64, 0)]
VALUES = np.array([[[[0.0, 0.25, 0.5], [0.75, 1.0, 0.1]]]], np.float32)


def manifest(overlay: str = "on_request", heat: Any = HEAT, **more: Any) -> Manifest:
    plain: dict[str, Any] = {**MANIFEST_JSON, "overlay": overlay, **more}
    plain["exits"] = [{**plain["exits"][0], "heat": heat}]
    return Manifest.model_validate_json(json.dumps(plain))


def outputs(heat: Any = VALUES) -> dict[str, Any]:
    plain = {"logit": np.zeros(1, np.float32), "features": np.zeros((1, FEATURES), np.float32)}
    return plain if heat is None else {**plain, "heat": heat}


def test_a_map_is_kept_with_whose_it_is_and_of_which_frame() -> None:
    found = heat_map(manifest(), 1, outputs(), FRAMES)
    assert found is not None
    assert (found.model, found.policy, found.exit, found.frames) == ("drawn/1.2.3", "on_request", 1, tuple(FRAMES))
    assert (found.rows, found.columns, list(found.levels)) == (2, 3, [0, 64, 128, 191, 255, 26])


@pytest.mark.parametrize(
    "heat",
    [
        np.full_like(VALUES, 1.01),
        np.full_like(VALUES, -0.01),
        np.full_like(VALUES, np.nan),
        np.full_like(VALUES, np.inf),
        VALUES[0],
        VALUES[..., :2],
        VALUES.astype(np.int32),
        None,
    ],
    ids=["above", "below", "nan", "inf", "rank", "narrow", "whole numbers", "none"],
)
def test_an_odd_map_is_an_odd_answer_and_is_never_kept(heat: Any) -> None:
    """Whoever localises wrongly may have scored wrongly: the study is escalated, as for any odd output."""
    told = manifest()
    assert isinstance(answer(told.exits[0], outputs(heat)), str)
    if heat is None or heat.dtype.kind == "f":
        assert heat_map(told, 1, outputs(heat), FRAMES) is None


def test_a_sound_map_is_a_sound_answer() -> None:
    assert isinstance(answer(manifest().exits[0], outputs()), Answer)


def test_nothing_is_kept_of_random_weights_or_of_other_frames() -> None:
    assert heat_map(manifest(weights="random"), 1, outputs(), FRAMES) is None
    assert heat_map(manifest(), 1, outputs(), [*FRAMES, *FRAMES]) is None


@pytest.mark.parametrize(
    ("overlay", "heat"),
    [("none", HEAT), ("on_request", None), ("after_first_read", None), ("on_request", {**HEAT, "frames": 2})],
)
def test_a_policy_without_a_map_and_a_map_without_a_policy_are_no_package(overlay: str, heat: Any) -> None:
    with pytest.raises(ValidationError, match="heat"):
        manifest(overlay, heat)


def test_a_map_is_small_and_an_output_of_its_own() -> None:
    for wrong in ({**HEAT, "rows": 65}, {**HEAT, "output": "logit"}, {**HEAT, "more": 1}):
        with pytest.raises(ValidationError):
            manifest(heat=wrong)


@pytest.mark.parametrize(
    ("policy", "allowed_here", "first_read", "stands", "shown"),
    [
        ("on_request", True, False, True, True),
        ("on_request", True, True, True, True),
        ("after_first_read", True, False, True, False),
        ("after_first_read", True, True, True, True),
        ("none", True, True, True, False),
        ("always", True, True, True, False),  # no policy of ours
        ("on_request", False, True, True, False),
        ("on_request", True, True, False, False),
        ("after_first_read", True, True, False, False),
    ],
)
def test_who_may_be_shown(policy: str, *, allowed_here: bool, first_read: bool, stands: bool, shown: bool) -> None:
    assert may_be_shown(policy, allowed_here=allowed_here, first_read=first_read, stands=stands) is shown


def test_the_strongest_images_come_first_and_weak_ones_are_no_place_to_go_to() -> None:
    levels = bytes((130, 0, 0, 0, 0, 0, 0, 127, 0, 0, 0, 0, 0, 250, 0, 0))
    assert stops(levels, 4) == [3, 0]
