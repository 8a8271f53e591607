"""Every setting, error code, state and verb is documented, and what the documents point to exists."""

import argparse
import re
from pathlib import Path

import pytest

from appliance.cli import parser
from docs.make import PAGES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES_BY_HAND = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *DOCS.glob("*.md"), *DOCS.glob("decisions/*.md")]
)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_pages_are_fresh(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == PAGES[name](), "make docs"


def test_every_verb_is_in_operating() -> None:
    text = (DOCS / "operating.md").read_text("utf-8")
    actions = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for verb, made in actions[0].choices.items():
        assert f"`appliance {verb}" in text, verb
        assert made.description, verb


def test_the_issue_s_verbs_are_there_and_help_works(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (
        ("up",), ("run",), ("check",), ("status",), ("studies",), ("reconcile",), ("deidentify",), ("replay",),
        ("models",), ("config",),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            parser().parse_args([*verb, "--help"])
        assert ended.value.code == 0
        assert "usage: appliance" in capsys.readouterr().out


@pytest.mark.parametrize("path", PAGES_BY_HAND, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text("utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def proofs_of(row: str) -> list[str]:
    """The tests that the last column of a table's row names."""
    return re.findall(r"`(tests/[^`]+)`", row.split("|")[-2])


def is_there(proof: str) -> bool:
    file, _, name = proof.partition("::")
    if not (ROOT / file).exists():
        return False
    return not name or bool(re.search(rf"^\s*def {re.escape(name)}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize(
    ("page", "mark", "least"),
    [("risk", "R", 16), ("ihe", "I", 4), ("mds2", "M", 22), ("security-requirements", "[SF]", 38)],
)
def test_every_claim_has_a_proof_that_exists(page: str, mark: str, least: int) -> None:
    """A row of the security table that says no, or that it is the site's, has nothing to prove."""
    rows = [line for line in (DOCS / f"{page}.md").read_text("utf-8").splitlines() if re.match(rf"\| {mark}\d", line)]
    assert len(rows) >= least
    for row in rows:
        assert proofs_of(row) or (
            page in ("mds2", "security-requirements") and re.search(r"\| (no|not|the site's|the disk's)\b", row)
        ), row[:60]
        assert [proof for proof in proofs_of(row) if not is_there(proof)] == []


def test_a_proof_that_is_not_there_is_noticed() -> None:
    row = "| R1 | wrong | `tests/test_docs.py::test_a_proof_that_is_not_there_is_noticed` `tests/gone.py` |"
    assert [is_there(proof) for proof in proofs_of(row)] == [True, False]
    assert not is_there("tests/test_docs.py::test_that_nobody_wrote")


def test_named_hazards_are_all_there() -> None:
    text = (DOCS / "risk.md").read_text("utf-8")
    for hazard in ("wrong patient", "missed finding", "lost study", "identity leak", "alarm flood"):
        assert hazard in text
    for hazard in ("forgotten only copy", "wrong spectrum"):
        assert hazard in text


def test_readme_holds_the_three_sentences() -> None:
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    for sentence in (
        "The program that parses hostile bytes has no network.",
        "The program that dials out to the centre cannot open a patient's file.",
        "The program the scanner talks to can only add.",
    ):
        assert sentence in text
    assert "make demo" in text
    assert "make test" in text
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_make_lists_the_verbs() -> None:
    text = (ROOT / "Makefile").read_text()
    for verb in ("demo", "test", "check", "faults", "bench", "docs", "evaluate"):
        assert re.search(rf"^{verb}:.*## ", text, re.MULTILINE), verb


def test_every_dependency_is_pinned_and_justified() -> None:
    lines = [
        line for line in (ROOT / "pyproject.toml").read_text().splitlines() if re.match(r'\s+"[a-z0-9-]+.*==', line)
    ]
    assert len(lines) >= 20
    for line in lines:
        assert re.search(r'==[0-9.]+",\s+# \w', line), line
