"""The table of `make bench`: its judge, its budget, its corpus and its paper."""

import dataclasses
import hashlib
import tomllib
from pathlib import Path

import pydicom
import pytest

from appliance.core.pixels import decode
from bench.table import corpus, judge, paper, plot
from bench.table.__main__ import ROWS
from bench.table.judge import Budget, Promise
from bench.table.measured import Figure, Row

HELD = Budget(
    0.2, {"road": {"ratio": Promise(0.5, "higher", 0.75), "spent": Promise(10.0, "lower")}, "wire": {}, "cold": {}}
)


# The rows that speed was promised for, by their names here.
PROMISED = [
    *("road", "two cores", "decode", "sub-resolution decode", "de-identification", "C-STORE in"),
    *("close of a file to lane", "watching", "worklist", "memory", "cold start", "wire"),
]


def row(ratio: float = 0.5, spent: float = 10.0) -> Row:
    return Row("road", (Figure("ratio", "a ratio", (ratio,)), Figure("spent", "a time", (spent,), "ms")))


@pytest.mark.parametrize(
    ("ratio", "spent", "named"),
    [
        (0.5, 10.0, []),
        (0.42, 11.9, []),  # within a fifth
        (0.41, 10.0, ["ratio"]),
        (0.5, 12.1, ["spent"]),
        (0.1, 99.0, ["ratio", "spent"]),
        (9.0, 0.1, []),  # better is no break
    ],
)
def test_a_planted_break_is_named_and_a_good_figure_is_not(ratio: float, spent: float, named: list[str]) -> None:
    found = judge.broken(HELD, [row(ratio, spent)])
    assert [each.split(", ")[1].split(":")[0] for each in found] == named


def test_a_promise_cannot_be_kept_by_not_measuring() -> None:
    bare = Row("road", row().figures[:1])
    assert judge.broken(HELD, [bare]) == ["road, spent: promised, and not measured"]
    told = dataclasses.replace(bare, missing={"spent": "no clock here"})
    assert judge.broken(HELD, [told]) == []


def test_what_is_measured_needs_a_promise() -> None:
    assert judge.broken(HELD, [Row("wire", (Figure("new", "a new one", (1.0,)),))]) == [
        "wire, new: measured, and nothing is promised of it"
    ]


def test_every_row_has_promises_and_every_goal_is_one_of_the_issue() -> None:
    held = judge.budget()
    assert held.rows.keys() == ROWS.keys() == set(PROMISED)
    assert all(held.rows.values())
    assert held.slack == 0.2
    for name, promises in held.rows.items():
        goals = [each for each in promises.values() if each.goal is not None]
        assert goals or name == "sub-resolution decode", f"{name} has no goal"


@pytest.mark.parametrize("said", ['{ promise = 1.0, better = "more" }', '{ promise = -1.0, better = "lower" }'])
def test_a_budget_that_says_nonsense_is_refused(said: str, tmp_path: Path) -> None:
    path = tmp_path / "budget.toml"
    path.write_text(f"broken_beyond = 0.2\n[road]\nratio = {said}\n")
    with pytest.raises(ValueError, match=r"road\.ratio"):
        judge.budget(path)
    assert tomllib.loads(path.read_text())


@pytest.mark.parametrize(
    "kind", ["CT raw", "CT rle", "CT jpeg-ls", "CT htj2k", "CT deflated", "CT big-endian", "film raw"]
)
def test_the_corpus_is_the_same_for_the_same_seed(kind: str) -> None:
    once, again, other = (list(corpus.files(kind, 2, seed)) for seed in (1, 1, 2))
    assert once == again
    assert once[0] != once[1]
    assert once[0] != other[0]


def test_one_picture_in_every_syntax() -> None:
    kinds = [kind for kind, (source, _) in corpus.KINDS.items() if source == "CT"]
    assert len(kinds) == len(corpus.SYNTAXES)
    found = {kind: decode(next(corpus.files(kind, 1, 1)), pixels_max=2**24).stored.tobytes() for kind in kinds}
    assert {hashlib.sha256(each).hexdigest() for each in found.values()} == {
        hashlib.sha256(found["CT raw"]).hexdigest()
    }


def test_a_series_is_one_study_of_one_patient() -> None:
    import io

    heads = [pydicom.dcmread(io.BytesIO(each)) for each in corpus.files("CT raw", 3, 1, one_study=True)]
    assert len({str(each.StudyInstanceUID) for each in heads}) == len({str(each.PatientID) for each in heads}) == 1
    assert [each.InstanceNumber for each in heads] == [1, 2, 3]
    assert len({str(each.SOPInstanceUID) for each in heads}) == 3


def test_the_table_goes_to_its_place_and_keeps_what_stands_below(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("# What was measured\n\nNewest last.\n\n## make load\n\nold figures\n")
    found = judge.broken(HELD, [row(0.1)])
    text = paper.table([row(0.1)], HELD, "make bench ARGS='--quick'", "a machine", found)
    for _ in range(2):  # the second run replaces the first
        paper.put(text, path)
        whole = path.read_text()
        assert whole.count("a machine") == whole.count(paper.BEGIN) == whole.count("old figures") == 1
        assert whole.index("a machine") < whole.index("## make load")
    assert "more than 20% below the promise of 0.5" in whole
    assert "| road | a ratio | 1 | 0.1 x (0.1 to 0.1) | >= 0.75 | >= 0.5 |" in whole


def test_the_plot_shows_what_has_a_goal_and_which_side_of_it() -> None:
    rows = [row(0.1), Row("road", (Figure("ratio", "a ratio", (1.5,)),))]
    assert plot.shares(rows, HELD) == [("road: ratio", pytest.approx(0.1 / 0.75)), ("road: ratio", 2.0)]
    drawn = plot.svg(rows, HELD)
    assert drawn.count(f'fill="{plot.SHORT}"') == drawn.count(f'fill="{plot.REACHED}"') == 1


def test_promises_as_measured_are_a_budget(tmp_path: Path) -> None:
    path = tmp_path / "budget.toml"
    path.write_text("broken_beyond = 0.2\n" + judge.as_measured(HELD, [row(0.625, 11.0)]))
    assert judge.budget(path).rows["road"] == {
        "ratio": Promise(0.62, "higher", 0.75),
        "spent": Promise(11.0, "lower"),
    }
