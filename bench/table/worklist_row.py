"""Row: the worklist over ten times as many studies, by bench/worklist.py; as many open ones in both."""

import contextlib
import io
from pathlib import Path
from statistics import median

from bench import worklist
from bench.table.measured import Figure, How, Row

NAME = "worklist"
OPEN = 2000
ROUNDS = 9
ASKED = {"one page by SQL": "page", "the tabs' counts": "counts", "/rows?lane=to-read": "rows", "/rows?lane=all": "all"}


def measure(how: How) -> Row:
    few = how.count(5_000, 100_000)
    with contextlib.ExitStack() as held:
        held.enter_context(contextlib.redirect_stderr(io.StringIO()))  # the seeded house says its one-time code
        houses = [held.enter_context(worklist.house(_made(how.folder, n), n, OPEN)) for n in (few, 10 * few)]
        found = {name: [[worklist.spent(acts[name]) for acts in houses] for _ in range(ROUNDS)] for name in ASKED}
    figures = [
        Figure(
            f"{ASKED[name]}-growth",
            f"{name}: {10 * few} studies / {few}",
            tuple(many / some for some, many in rounds),
            "x",
            {f"{n}": f"{median(each[side] for each in rounds):.1f} ms" for side, n in enumerate((few, 10 * few))},
        )
        for name, rounds in found.items()
    ]
    return Row(NAME, tuple(figures))


def _made(root: Path, studies: int) -> Path:
    folder = root / f"worklist-{studies}"
    folder.mkdir()
    return folder
