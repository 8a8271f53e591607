"""The list of 25 browser checks names tests that are there; what is open is said here and in docs/browser-checks.md."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.review.doors import PERMITS
from tests.browser_checks import CHECKS, missing, pictures

ROOT = Path(__file__).parents[2]


LOOK = """
import json, sys, pytest
class Look:
    def pytest_collection_finish(self, session):
        found = {item.nodeid.partition("[")[0]: "browser" in item.fixturenames for item in session.items}
        print("\\n" + json.dumps(found), flush=True)
told = ["--collect-only", "-o", "addopts=-qq", "-p", "no:cacheprovider", *sys.argv[1:]]
sys.exit(pytest.main(told, [Look()]))
"""


@pytest.fixture(scope="module")
def looked() -> dict[str, bool]:
    """What pytest itself finds in the files that the list names, without parameters; true where a browser is driven."""
    files = sorted({f"tests/{test.partition('::')[0]}" for check in CHECKS.values() for test in check.tests})
    told = [sys.executable, "-c", LOOK, *files]
    said = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: dict[str, bool] = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    return found


@pytest.fixture(scope="module")
def collected(looked: dict[str, bool]) -> set[str]:
    return set(looked)


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


def test_of_every_check_a_picture_is_kept_or_it_is_said_why_not(looked: dict[str, bool]) -> None:
    seen = {number: [looked[f"tests/{test}"] for test in check.tests] for number, check in CHECKS.items()}
    assert {number for number, browsers in seen.items() if not any(browsers)} == {
        number for number, check in CHECKS.items() if check.unseen
    }


def test_a_picture_bears_the_number_of_each_check() -> None:
    axe = "tests/browser/test_access.py::test_axe_finds_nothing_and_nothing_runs_wide[/-dark]"
    assert pictures(axe) == [f"check-{n}-axe_finds_nothing_and_nothing_runs_wide" for n in ("01", "02", "03", "25")]
    assert pictures("tests/browser/test_access.py::test_of_something_else") == []


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
