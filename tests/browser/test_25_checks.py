"""The list of 25 browser checks names tests that are there; what is open is said here and in docs/browser-checks.md."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.review.doors import PERMITS
from tests.browser_checks import CHECKS, missing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """What pytest itself finds in the files that the list names, without parameters."""
    files = sorted({f"tests/{test.partition('::')[0]}" for check in CHECKS.values() for test in check.tests})
    told = [sys.executable, "-m", "pytest", "--collect-only", "-o", "addopts=-q", "-p", "no:cacheprovider", *files]
    found = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.partition("[")[0] for line in found.stdout.splitlines() if "::" in line}


def test_every_test_on_the_list_is_collected(collected: set[str]) -> None:
    assert missing(collected) == []


def test_one_that_is_gone_is_noticed(collected: set[str]) -> None:
    gone = "tests/browser/test_lock.py::test_a_page_whose_appliance_is_silent_empties_itself"
    assert gone in collected
    assert missing(collected - {gone}) == [gone.removeprefix("tests/")]


def test_the_list_is_whole() -> None:
    assert list(CHECKS) == list(range(1, 26))


@pytest.mark.parametrize("number", CHECKS)
def test_what_is_open_is_said(number: int) -> None:
    """An open check is an expected failure, so that every run names it; one with nothing open has a proof."""
    check = CHECKS[number]
    if check.open:
        pytest.xfail(f"check {number} is open: {check.open}")
    assert check.tests


def test_one_door_only_leads_to_a_picture_made_by_a_machine() -> None:
    """No other page and no other script asks for a heat map, box or mask: that door asks the manifest's policy."""
    words = ("heat", "overlay", "saliency", "mask", "boxes")
    assert [path for _, path in PERMITS if any(word in path for word in words)] == ["/studies/{number:int}/overlay"]
    scripts = [*ROOT.glob("appliance/review/static/**/*.js"), *ROOT.glob("appliance/review/templates/*.html")]
    assert scripts
    asking = [path.name for path in scripts if any(f'/{word}"' in path.read_text() for word in words)]
    assert asking == []
    assert [path.name for path in scripts if '/images$/, "overlay"' in path.read_text()] == ["overlay.js"]


def test_no_shipped_model_says_where() -> None:
    """What this product says today: the door is there and answers 404 for every model that comes with it."""
    manifests = sorted((ROOT / "models").glob("*/*/manifest.json"))
    assert manifests
    assert {json.loads(path.read_text())["overlay"] for path in manifests} == {"none"}
