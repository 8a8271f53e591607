"""`make deid-report`: several seeds, every choice of options, one page of figures.

python -m tests.deid.report --seeds 3 --first 9000 --pictures 40 --headers 0 --choices all

It builds the corpora in a temporary folder, calls the product's command line, scores, and writes docs/deid-report.md.
The page is honest: what fails is listed with file and place, never with a value.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.deid import corpus, report_page, score
from tests.deid.corpus import Size
from tests.deid.product import OPTIONS, Choice

PAGE = Path(__file__).parents[2] / "docs" / "deid-report.md"
COMPATIBLE = tuple(option for option in OPTIONS if option != "retain-longitudinal-full-dates")
NEEDS_A_HEAD = "clean-recognizable-visual-features"
BASIC, CENTRE = Choice("basic"), Choice("centre", "centre")


def choices(which: str) -> list[Choice]:
    """basic and centre on the whole corpus; each option alone and all together on one without pictures."""
    if which == "basic":
        return [BASIC]
    single = [Choice(option, added=(option,)) for option in OPTIONS if option != NEEDS_A_HEAD]
    together = Choice("all-compatible", added=tuple(one for one in COMPATIBLE if one != NEEDS_A_HEAD))
    return [BASIC, CENTRE, *single, together]


def main() -> int:
    told = argparse.ArgumentParser(description="Measure the de-identifier on unseen seeds; writes docs/deid-report.md.")
    told.add_argument("--seeds", type=int, default=3, help="how many")
    told.add_argument(
        "--first", type=int, default=int(time.time()) % 100_000, help="the first seed; default: the clock"
    )
    told.add_argument("--files", type=int, default=0, help="real files with planted headers; 0: all")
    told.add_argument("--pictures", type=int, default=40, help="pictures with texts burned in")
    told.add_argument("--choices", choices=("basic", "all"), default="all")
    told.add_argument("--output", type=Path, default=PAGE)
    asked = told.parse_args()
    wanted = choices(asked.choices)
    seeds = list(range(asked.first, asked.first + asked.seeds))
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    results: dict[str, list[score.Result]] = {choice.name: [] for choice in wanted}
    began = time.monotonic()
    with Progress(*bars) as progress:
        task = progress.add_task("", total=len(seeds) * (len(wanted) + 1))
        for seed in seeds:
            with tempfile.TemporaryDirectory(prefix="deid-report-") as folder:
                _one(Path(folder), seed, asked, wanted, results, lambda words: _step(progress, task, words))
    spent = time.monotonic() - began
    asked.output.write_text(report_page.page(results, seeds, sys.argv[1:], spent), "utf-8")
    print(f"{asked.output}: {len(seeds)} seeds in {spent:.0f} s")
    return 0


def _step(progress: Progress, task: object, words: str) -> None:
    progress.update(task, description=f"{words:<44}", advance=1)
    if not progress.console.is_terminal:
        print(words, flush=True)


def _one(folder: Path, seed: int, asked: argparse.Namespace, wanted: list[Choice], results: dict, step) -> None:
    step(f"seed {seed}: planting")
    whole = corpus.build(seed, folder / "whole", Size(headers=asked.files or None, pictures=asked.pictures))
    few = corpus.build(seed, folder / "few", Size(headers=16, tables=2, pictures=0)) if len(wanted) > 1 else whole
    for choice in wanted:
        step(f"seed {seed}: {choice.name}")
        main_choice = choice in (BASIC, CENTRE)
        key, where = (whole, folder / "whole") if main_choice else (few, folder / "few")
        result = score.run(key, where, choice, validate=int(main_choice))
        if main_choice:
            score.again(where, choice, result)
        results[choice.name].append(result)


if __name__ == "__main__":
    sys.exit(main())
