"""Row: the worklist over ten times as many studies, by bench/worklist.py; as many open ones in both."""

import contextlib
import io

from bench import worklist
from bench.table.measured import Figure, How, Row

NAME = "worklist"
OPEN = 2000
ASKED = {"one page by SQL": "page", "the tabs' counts": "counts", "/rows?lane=to-read": "rows", "/rows?lane=all": "all"}


def measure(how: How) -> Row:
    few = how.count(5_000, 100_000)
    found = []
    for studies in (few, 10 * few):
        folder = how.folder / f"worklist-{studies}"
        folder.mkdir()
        with contextlib.redirect_stderr(io.StringIO()):  # the seeded house says its one-time code
            found.append(worklist.spent_of(folder, studies, OPEN))
    figures = [
        Figure(
            f"{key}-growth",
            f"{name}: {10 * few} studies / {few}",
            (found[1][name] / found[0][name],),
            "x",
            {f"{few}": f"{found[0][name]:.1f} ms", f"{10 * few}": f"{found[1][name]:.1f} ms"},
        )
        for name, key in ASKED.items()
    ]
    return Row(NAME, tuple(figures))
