"""The lines of a replay as a table for people: what became of each study, and why in words."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from appliance.core.study import LANES

FILES_SHOWN = 2


def table_lines(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One block a study, then the lanes together."""
    for line in lines:
        yield from _block(line)
    counts = Counter(line["lane"] for line in lines)
    told = ", ".join(f"{counts[lane]} {lane}" for lane in LANES if counts[lane])
    decided = counts["cleared"] + counts["flagged"]
    yield f"{len(lines)} in all: {told}; {decided} decided here" if lines else "nothing"


def _block(line: dict[str, Any]) -> Iterator[str]:
    names = [PurePath(path).name for path in line["files"]]
    more = f" and {len(names) - FILES_SHOWN} more" if len(names) > FILES_SHOWN else ""
    yield f"{line['lane']:<12}{', '.join(names[:FILES_SHOWN])}{more}"
    for reason in line["reasons"]:
        yield f"{'':<12}{reason['text']} [{reason['code']}]"
    for hint in line["repeat"]:
        yield f"{'repeat?':<12}{hint['text']}"
    if line["model"]:
        yield f"{'model':<12}{line['model']}{' (random weights: says nothing)' if line['weights'] == 'random' else ''}"
    for score in line["scores"]:
        by = " decided" if score["exit"] == line["exit"] else ""
        yield f"{'exit ' + str(score['exit']):<12}logit {score['logit']:.3f}{by}"
    if line["would_be"] and line["lane"] == "escalated":
        yield f"{'would be':<12}{line['would_be']}"
    if line["certificate"]:
        yield f"{'certificate':<12}{line['certificate']}"
    if line["contract"]:
        yield f"{'contract':<12}{line['contract']}"
    yield ""
