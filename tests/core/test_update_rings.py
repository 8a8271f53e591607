"""Rings of a rollout: whom each reaches, and that the tenth is a tenth, and always the same one."""

import os
import subprocess
import sys

import pytest

from appliance.core.updates import RINGS, OwnRing, Ring, in_ring, in_tenth

# Written down: another draw would roll a version out to other hospitals than those that were asked.
INSIDE = ("edge-4", "edge-5", "edge-15", "edge-17", "edge-25", "edge-26")
OUTSIDE = ("edge-1", "edge-2", "edge-3", "edge-6", "edge-a")
DEVICES = 10_000


def test_the_tenth_is_the_same_from_release_to_release_and_from_run_to_run():
    assert [name for name in (*INSIDE, *OUTSIDE) if in_tenth(name)] == list(INSIDE)
    asked = f"from appliance.core.updates import in_tenth; print(*[n for n in {INSIDE + OUTSIDE} if in_tenth(n)])"
    told = subprocess.run(
        [sys.executable, "-P", "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert tuple(told.stdout.split()) == INSIDE


@pytest.mark.parametrize("names", ["edge-{}", "ward-{:05d}.harbour", "{}"])
def test_the_tenth_is_a_tenth(names: str):
    share = sum(in_tenth(names.format(number)) for number in range(DEVICES)) / DEVICES
    assert 0.08 < share < 0.12


REACHES: dict[tuple[OwnRing, str], str] = {
    ("lab", OUTSIDE[0]): "lab site tenth all",
    ("site", OUTSIDE[0]): "site tenth all",
    ("all", INSIDE[0]): "tenth all",
    ("all", OUTSIDE[0]): "all",
}


@pytest.mark.parametrize(("own", "device"), REACHES)
def test_each_ring_reaches_those_before_it_and_its_own(own: OwnRing, device: str):
    reached: list[Ring] = [ring for ring in RINGS if in_ring(ring, own=own, device=device)]
    assert " ".join(reached) == REACHES[own, device]
