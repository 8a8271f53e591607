"""What became of each story: the scanner's truth beside what the appliance's own ledgers say.

It only reads. A study counts as at its end when every file of it is in the ledger and its state is an end state; a file
that is no study, when it is named with a code.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from appliance.config import Places
from appliance.core.lifecycle import END_STATES
from appliance.errors import CATALOGUE
from appliance.world import ledger, sqlite, wire
from sample_dicom.scanner import Story

NOT_SEEN, REFUSED = "not seen", "refused"
LANES_OF = {"decided": ("cleared", "flagged", "escalated"), "escalated": ("escalated",)}
NO_MODEL_SAID = "no language model is connected"


@dataclass(frozen=True, slots=True)
class Line:
    """One story and its fate.

    number   of the study in the ledger, None for a file that is no study or was not seen
    state    of lifecycle.STATES, "refused" for a file that is no study, "not seen" before either
    lane     "" before a decision; the code for a refused file
    reasons  in words
    centre   what the centre said, "" where it was not asked or has not answered
    """

    story: Story
    number: int | None
    state: str
    lane: str
    reasons: str
    centre: str
    ended: bool

    @property
    def surprising(self) -> bool:
        """It ended, and elsewhere than its story says: a decision no model may make, a good study set aside."""
        return self.ended and self.lane not in LANES_OF.get(self.story.expect, (self.story.expect,))


@dataclass(frozen=True, slots=True)
class Account:
    """All stories at one moment, and how many studies and cases are in each state."""

    lines: tuple[Line, ...]
    states: dict[str, int]
    cases: dict[str, int]
    ends: Collection[str] = END_STATES

    @property
    def ended(self) -> bool:
        """Every story is at its end, and so is every other study of the ledger."""
        waiting = any(count for state, count in self.states.items() if state not in self.ends)
        return all(line.ended for line in self.lines) and not waiting


class Reader:
    """Query-only eyes on the ledgers, opened when their writers have made them."""

    def __init__(self, places: Places, *, awaiting: bool = False) -> None:
        """awaiting: nobody answers at the centre, so that a case which waits for it is at its end."""
        self._places = places
        self._ends: Collection[str] = {*END_STATES, "escalated"} if awaiting else END_STATES
        self._engines: dict[str, Engine] = {}

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _at: TracebackType | None
    ) -> None:
        for engine in self._engines.values():
            engine.dispose()

    def account(self, stories: Sequence[Story]) -> Account:
        """How every story stands now."""
        unseen = Account(tuple(Line(story, None, NOT_SEEN, "", "", "", False) for story in stories), {}, {})
        studies = self._open("studies")
        if studies is None:
            return unseen
        with studies.connect() as c:
            if not wire.is_made(c, ledger.METADATA):
                return unseen
            lines = tuple(
                _study(c, story, self._ends) if story.study_instance_uid else _stray(c, story) for story in stories
            )
            return Account(lines, ledger.counts(c), self._cases(), self._ends)

    def _cases(self) -> dict[str, int]:
        cases, link = self._open("cases"), self._open("link")
        counts: dict[str, int] = {}
        if cases is None:
            return counts
        with cases.connect() as own:
            if not wire.is_made(own, wire.CASES):
                return counts
            found = wire.wire_states(own, None)
            if link is not None:
                with link.connect() as other:
                    found = wire.wire_states(own, other if wire.is_made(other, wire.LINK) else None)
        for state in found.values():
            counts[state] = counts.get(state, 0) + 1
        return counts

    def _open(self, name: str) -> Engine | None:
        path = {
            "studies": self._places.studies_db,
            "cases": self._places.cases_db,
            "link": self._places.link_db,
        }[name]
        if name not in self._engines and path.exists():
            self._engines[name] = sqlite.open_reader(path)
        return self._engines.get(name)


def _study(c: Connection, story: Story, ends: Collection[str]) -> Line:
    study = ledger.study_by_uid(c, story.study_instance_uid)
    if study is None:
        return Line(story, None, NOT_SEEN, "", "", "", False)
    whole = ledger.instance_counts(c, [study.number])[study.number] == len({file.data for file in story.files})
    ended = whole and study.state in ends
    lane, reasons = _lane(c, study)
    return Line(story, study.number, study.state, lane, reasons, _centre(c, study), ended)


def _lane(c: Connection, study: Row[Any]) -> tuple[str, str]:
    """The lane a reader sees, and why, in words."""
    if study.state == "quarantined":
        return "quarantined", CATALOGUE[study.fault_code].text if study.fault_code else ""
    result = ledger.result_of(c, study.number, study.revision)
    if result is None:
        return "", ""
    return result.lane, " ".join(reason["text"] for reason in result.reasons)


def _centre(c: Connection, study: Row[Any]) -> str:
    """The newest verdict on this revision: its status, its words, and whether a language model gave them."""
    told = [row for row in ledger.verdicts_of(c, study.number) if row.revision == study.revision]
    if not told:
        return ""
    body = told[-1].body
    said = f"{body['status'].replace('_', ' ')}: {body['impression']}"
    connected = body["reader"]["connected"] or NO_MODEL_SAID in said.lower()
    return said if connected else f"{said} ({NO_MODEL_SAID})"


def _stray(c: Connection, story: Story) -> Line:
    """A file that is no study, known by its length: what receive refused is on file under no digest of its bytes."""
    size = len(story.files[0].data)
    code = c.execute(select(ledger.strays.c.code).where(ledger.strays.c.bytes_count == size).limit(1)).scalar()
    if code is None:
        return Line(story, None, NOT_SEEN, "", "", "", False)
    return Line(story, None, REFUSED, code, CATALOGUE[code].text, "", True)


def summary(account: Account, note: str) -> list[str]:
    """The counts in sentences, with what they do not mean.

    note  said where something was decided here of a film whose truth is known; "" where there is nothing to add
    """
    studies = [line for line in account.lines if line.story.study_instance_uid]
    count = {lane: sum(line.lane == lane for line in studies) for lane in ("cleared", "flagged", "quarantined")}
    answered = sum(line.lane == "escalated" and bool(line.centre) for line in studies)
    files = sum(line.state == REFUSED for line in account.lines)
    told = [
        f"{len(studies)} studies: {count['cleared']} cleared, {count['flagged']} flagged, "
        f"{answered} escalated and answered, {count['quarantined']} quarantined; {files} files refused with a code"
    ]
    decided = any(line.lane in ("cleared", "flagged") and line.story.truth for line in studies)
    return [*told, note] if decided and note else told
