"""Two tables a person hands over for a certificate: which studies have the finding, and, if need be, their scores.

They are read strictly and whole: one wrong line and nothing of the table counts, because a rule tested on part of the
patients, or on labels somebody guessed, is not the rule that was promised. Corrections (core.correction) are no such
table, however they were spelt: what a reader signs on the worklist was chosen with the machine's word in sight. Places
named in a fault are line numbers, never a value.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from appliance.core.certify import Scored
from appliance.errors import Refused

ROWS_MAX = 100_000
FIELD_MAX = 256
IDS = ("study_instance_uid", "accession_number", "film")
FINDINGS = {"0": False, "1": True}
NO_MEASURES = {"set", "film", "patient", "label", "calibration", "logit", "logit_2", "failed", "failed_2"}


@dataclass(frozen=True, slots=True)
class Label:
    """One line. study: what its id column holds; patient: "" where the table has no such column; finding as written."""

    line: int
    study: str
    patient: str
    finding: str


@dataclass(frozen=True, slots=True)
class Labels:
    """A whole table and which id it goes by."""

    by: str
    rows: tuple[Label, ...]


def selected(data: bytes) -> bool:
    """Whether this is a list of corrections, as exported or made a table of: nothing that chance drew."""
    first, _, rest = data.lower().lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    return b"saw_ai" in first or (b"selection" in first and b"worklist" in first + rest)


def _rows(data: bytes, code: str) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    if selected(data):
        raise Refused("labels-selected", "line 1")
    try:
        table = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        lines = [line for line in table if any(cell.strip() for cell in line)]
    except (UnicodeDecodeError, csv.Error):
        raise Refused(code, "file") from None
    if not 1 < len(lines) <= ROWS_MAX + 1:
        raise Refused(code, "file")
    head = [cell.strip().lower() for cell in lines[0]]
    if len(set(head)) != len(head):
        raise Refused(code, "line 1")

    def told() -> Iterator[tuple[int, dict[str, str]]]:
        for number, line in enumerate(lines[1:], 2):
            if len(line) != len(head) or max(map(len, line)) > FIELD_MAX:
                raise Refused(code, f"line {number}")
            yield number, dict(zip(head, (cell.strip() for cell in line), strict=True))

    return head, told()


def read_labels(data: bytes) -> Labels:
    """The label table: study_instance_uid, accession_number or film; finding (0 or 1); patient_id if there is one.

    Lines are numbered from 1, blank ones left out.
    raises  Refused("labels-unreadable" | "labels-unlabelled" | "labels-contradictory" | "labels-doubled")
    """
    head, lines = _rows(data, "labels-unreadable")
    by = next((name for name in IDS if name in head), None)
    if by is None or "finding" not in head:
        raise Refused("labels-unreadable", "line 1")
    rows: dict[str, Label] = {}
    for number, cells in lines:
        row = Label(number, cells[by], cells.get("patient_id", ""), cells["finding"])
        if not row.study or (row.finding and row.finding not in FINDINGS):
            raise Refused("labels-unreadable", f"line {number}")
        if not row.finding:
            raise Refused("labels-unlabelled", f"line {number}")
        before = rows.setdefault(row.study, row)
        if before is not row:
            same = (before.finding, before.patient) == (row.finding, row.patient)
            raise Refused("labels-doubled" if same else "labels-contradictory", f"lines {before.line} and {number}")
    return Labels(by, tuple(rows.values()))


def read_scores(data: bytes, exits: int) -> list[Scored]:
    """The score table: film, patient, logit and failed (gate codes, blank: none), for a second exit logit_2, failed_2.

    Further columns are measures of that name, where every cell is a number or blank. A score that is blank or no
    number is kept as one: that film is never decided.
    raises  Refused("scores-unreadable" | "scores-doubled")
    """
    head, lines = _rows(data, "scores-unreadable")
    wanted = ["film", "patient", "logit", "failed", *(("logit_2", "failed_2") if exits > 1 else ())]
    if not set(wanted) <= set(head):
        raise Refused("scores-unreadable", "line 1")
    found: dict[str, Scored] = {}
    measures = [name for name in head if name not in NO_MEASURES]
    for number, cells in lines:
        if not cells["film"] or not cells["patient"]:
            continue  # films of no patient, such as altered ones of an evaluation, are nobody's calibration
        if cells["film"] in found:
            raise Refused("scores-doubled", f"line {number}")
        columns = ("", "_2")[:exits]
        found[cells["film"]] = Scored(
            film=cells["film"],
            patient=cells["patient"],
            logits=tuple(_number(cells[f"logit{each}"]) for each in columns),
            passed=tuple(not cells[f"failed{each}"] for each in columns),
            measures=_measures(cells, measures),
        )
    if not found:
        raise Refused("scores-unreadable", "file")
    return list(found.values())


def _measures(cells: Mapping[str, str], names: list[str]) -> dict[str, float]:
    told = {name: _number(cells[name]) for name in names}
    return {name: value for name, value in told.items() if math.isfinite(value)}


def _number(told: str) -> float:
    """NaN for whatever is no number: the rule never decides on it."""
    try:
        return float(told)
    except ValueError:
        return math.nan
