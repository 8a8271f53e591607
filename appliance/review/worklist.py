"""The worklist: every study as one row, by lane, the most pressing first. It reads and shows; it decides nothing.

A row's lane is its state first and its result second: a study that is quarantined, or not decided yet, never shows
an older result. Pages hold PAGE_ROWS rows; the tabs count all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select, true
from starlette.requests import Request
from starlette.responses import Response

from appliance.core.document import URGENCIES
from appliance.core.lifecycle import STATES
from appliance.core.worklist_order import Waiting, Waits, case_urgency, due_at
from appliance.errors import Unavailable
from appliance.review import blinding, holds, late_images, repeats, words
from appliance.review.alarms import everything, withdrawn
from appliance.review.blinding import SHUT_TABS
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.filters import MINE_MAX, choices, filters_of
from appliance.review.holds import Hold
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.review.worklist_order import in_reading_order
from appliance.world import desk, ledger
from appliance.world.ledger import results, stray_files, studies, verdicts

PAGE_ROWS = 100
PAGES_MAX = 10_000
EVERYTHING = true()

OPEN_STATES = ("routine", "hard", "escalated", "answered", "quarantined")


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab of the list: the states it shows, all where none is named; of routine studies one lane only."""

    word: str
    states: tuple[str, ...] = ()
    lane: str = ""

    def where(self) -> ColumnElement[bool]:
        of_lane = results.c.lane == self.lane if self.lane else true()
        return and_(studies.c.state.in_(self.states), of_lane) if self.states else true()


TABS: dict[str, Tab] = {
    "to-read": Tab("To read", OPEN_STATES),
    "flagged": Tab("▲ Flagged", ("routine",), "flagged"),
    "escalated": Tab("◆ Escalated", ("hard", "escalated", "answered")),
    "quarantined": Tab("■ Quarantined", ("quarantined",)),
    "cleared": Tab("● Cleared", ("routine",), "cleared"),
    "in-work": Tab("○ Not decided", ("received", "complete")),
    "signed": Tab("Signed", ("reviewed",)),
    "all": Tab("All", tuple(state for state in STATES if state != "forgotten")),
}
NOTICES = {"all": "Signed. No other study waits for a reader now."}
NEWEST_FIRST = ("signed", "all")


@dataclass(frozen=True, slots=True)
class WorkRow:
    """One study as the worklist shows it; score is the model's raw output, calibrated None means: no percentage."""

    number: int
    badge: words.Badge
    request: str
    urgency: str
    name: str
    patient_id: str
    born: str
    sex: str
    modality: str
    description: str
    accession: str
    received: str
    waiting: str
    images: int
    suggestion: str
    model: str
    calibrated: str
    centre: str
    late: bool
    state: str
    signed: str
    repeat: str
    revoked: bool
    due: tuple[str, bool] = ("", False)
    held: str = ""
    filing: bool = False
    read_first: bool = False


def worklist(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    told = shown(request, reader, request.query_params)
    try:
        with page.ledgers.studies() as c:
            told |= choices(c)
    except Unavailable:
        told |= {"modalities": [], "models": []}
    return page.render(request, "worklist.html", {"reader": reader, "urgencies": URGENCIES[:0:-1], **told})


def worklist_rows(request: Request, reader: Reader, form: Mapping[str, str] | None = None) -> Response:
    """The part of the worklist that changes, for the page's own refresh; by a form where words are looked for."""
    asked = request.query_params if form is None else form
    words = "" if form is None else form.get("words", "")
    return page_of(request).render(request, "_rows.html", {"reader": reader, **shown(request, reader, asked, words)})


ROUTES = {"/": for_readers(worklist), "/rows": for_readers(worklist_rows, touch=False)}
FORMS = {"/rows": form_for_readers(worklist_rows, touch=False)}


def shown(request: Request, reader: Reader, asked: Mapping[str, str], looked_for: str = "") -> dict[str, Any]:
    """What the template needs: tabs with counts, rows, paging; `starting` while there is no ledger."""
    page, filters = page_of(request), filters_of(asked, looked_for)
    tab = asked.get("lane", "to-read")
    tabs = {key: each for key, each in TABS.items() if not (page.config.review.read_first and key in SHUT_TABS)}
    tab = tab if tab in tabs else "to-read"
    said = asked.get("page", "1")
    number = min(max(int(said), 1), PAGES_MAX) if said.isascii() and said.isdigit() and len(said) < 7 else 1
    done = NOTICES.get(request.query_params.get("done", ""), "")
    frame = {
        "notice": done,
        "tab": tab,
        "page_number": number,
        "now": words.clock_time(page.clock()),
        "filters": filters,
    }
    try:
        with page.ledgers.studies() as c:
            counts = counted(c)
            mine = holds.held_by(page, reader.user, MINE_MAX) if filters.mine else []
            found = rows(c, tab, number, page.clock(), page.config.review.waits, filters.where(reader.user, mine))
            numbers = [row.number for row in found]
            answers, images = newest_answers(c, numbers), ledger.instance_counts(c, numbers)
            hints = repeats.hints(c, found)
            taken = withdrawn(c, numbers)
            alarms, fresh = everything(c, page, page.clock()), repeats.fresh(c, page.clock())
            changed = late_images.unseen(c, page, reader.user)
            stray_count = stray_files.count(c)
    except Unavailable:
        return {**frame, "starting": True, "tabs": [(key, tab_.word, 0) for key, tab_ in tabs.items()], "rows": []}
    cases = page.ledgers.wire_states([row.case_id for row in found if row.case_id])
    held, unread = holds.of_many(page, reader.user, numbers), blinding.hidden(page, reader.user, found)
    with page.ledgers.eyes().begin() as own:
        filing = {number for number, _ in desk.signed_states(own, [(row.number, row.seq) for row in found])}
    made = []
    for row in found:
        answer, wire_state = answers.get((row.number, row.revision)), cases.get(row.case_id)
        each = work_row(row, images[row.number], answer, wire_state, page, doubted=row.number in taken)
        repeat, who = hints.get(row.number, ""), _held(held.get(row.number))
        each = replace(each, repeat=repeat, held=who, filing=row.number in filing)
        made.append(_blind(each) if row.number in unread else each)
    counted_tabs = [(key, tab_.word, counts[key]) for key, tab_ in tabs.items()]
    found_all = len(found) < PAGE_ROWS  # how many a filter leaves is not counted: a further page may be empty
    last = number + (not found_all) if filters.any else max(1, -(-counts[tab] // PAGE_ROWS))
    shown = {"rows": made, "last_page": last, "strays": stray_count, "alarms": alarms, "repeats": fresh}
    shown["late_images"] = changed
    return {**frame, "starting": False, "tabs": counted_tabs, **shown}


def _blind(row: WorkRow) -> WorkRow:
    """The row of a study that its reader has not read yet, where the site says: read first."""
    shown = {"badge": blinding.BADGE} if row.badge.key not in ("quarantined", "undecided") else {}
    state = row.state if row.badge.key in ("quarantined", "undecided") else blinding.STATE_WORDS
    bare = {"suggestion": "", "model": "", "calibrated": "", "centre": "", "repeat": "", "urgency": "routine"}
    hidden: dict[str, Any] = {**shown, **bare, "state": state, "late": False, "revoked": False, "due": ("", False)}
    return replace(row, **hidden, read_first=True)


def _due(row: Row[Any], answer: dict[str, Any] | None, page: Page, doubted: bool) -> tuple[str, bool]:
    """How long this study may still wait, in words; and whether it has waited longer than the site allows."""
    lane = row.lane if row.state == "routine" else None
    study = Waiting(
        row.number,
        row.first_received_at,
        request=row.request_rank,
        urgency=urgency(row.priority, answer),
        lane=lane,
        raised=answer is not None and answer["urgency"] != "routine",
        doubted=doubted,
    )
    left = due_at(study, page.config.review.waits) - page.clock()
    return (
        (_("overdue %(span)s", span=words.span(-left)), True)
        if left <= 0
        else (_("due in %(span)s", span=words.span(left)), False)
    )


def _held(hold: Hold | None) -> str:
    """Who has it open, in words; one's own is not told to oneself."""
    return "" if hold is None or hold.mine else _("open at %(user)s since %(since)s", user=hold.user, since=hold.since)


def _joined() -> Any:
    on = and_(results.c.study_number == studies.c.number, results.c.revision == studies.c.revision)
    return studies.outerjoin(results, on)


def counted(c: Connection) -> dict[str, int]:
    """Studies under each tab: states by their index, lanes of what is routine only."""
    by_state: dict[str, int] = dict(c.execute(select(studies.c.state, func.count()).group_by(studies.c.state)).all())
    routine = select(results.c.lane, func.count()).select_from(_joined()).where(studies.c.state == "routine")
    by_lane: dict[str, int] = dict(c.execute(routine.group_by(results.c.lane)).all())
    return {
        key: by_lane.get(tab.lane, 0) if tab.lane else sum(by_state.get(state, 0) for state in tab.states or by_state)
        for key, tab in TABS.items()
    }


def rows(
    c: Connection, tab: str, page_number: int, now: float, waits: Waits, narrowed: ColumnElement[bool] = EVERYTHING
) -> list[Row[Any]]:
    """One page of studies under a tab with the result of their present revision."""
    return list(c.execute(page_of_rows(tab, page_number, now, waits, narrowed)))


def page_of_rows(
    tab: str, page_number: int, now: float, waits: Waits, narrowed: ColumnElement[bool] = EVERYTHING
) -> Select[Any]:
    """What is asked of the ledger for one page."""
    result = (results.c.lane, results.c.would_be, results.c.priority, results.c.scores, results.c.model)
    chosen = select(studies, *result, results.c.reasons, results.c.case_id, results.c.decided_at)
    newest = (studies.c.first_received_at.desc(), studies.c.number.desc())
    order = newest if tab in NEWEST_FIRST else in_reading_order(now, waits)
    limited = chosen.select_from(_joined()).where(TABS[tab].where(), narrowed).order_by(*order)
    return limited.limit(PAGE_ROWS).offset((page_number - 1) * PAGE_ROWS)


def next_to_read(page: Page, user: str, number: int) -> int | None:
    """The study at the head of the list that a reader can sign, but for one; None where nothing waits.

    What is signed and not taken over yet is passed over, and so is what another reader has open.
    """
    try:
        with page.ledgers.studies() as c:
            found = [
                row
                for row in rows(c, "to-read", 1, page.clock(), page.config.review.waits)
                if row.state != "quarantined" and row.number != number
            ]
    except Unavailable:
        return None
    with page.ledgers.eyes().begin() as c:
        signed = desk.signed_states(c, [(row.number, row.seq) for row in found])
    held = holds.of_many(page, user, [row.number for row in found])
    free = (row for row in found if (row.number, row.seq) not in signed and held.get(row.number, Hold()).mine)
    return next((row.number for row in free), None)


def newest_answers(c: Connection, numbers: list[int]) -> dict[tuple[int, int], dict[str, Any]]:
    """The newest verdict's body of each study and revision."""
    chosen = select(verdicts.c.study_number, verdicts.c.revision, verdicts.c.body)
    found = c.execute(chosen.where(verdicts.c.study_number.in_(numbers)).order_by(verdicts.c.rev))
    return {(row.study_number, row.revision): row.body for row in found}


def work_row(
    row: Row[Any],
    images: int,
    answer: dict[str, Any] | None,
    wire_state: str | None,
    page: Page,
    *,
    doubted: bool = False,
) -> WorkRow:
    now = page.clock()
    badge = words.badge(row.state, row.lane)
    decided = row.lane is not None
    late_s = page.config.triage.deadline_s(case_urgency(row.priority, row.request_rank))
    waited_s = now - (row.decided_at or row.state_since)
    centre, late = words.centre_words(
        state=row.state, lane=row.lane, wire_state=wire_state, answer=answer, waited_s=waited_s, late_s=late_s
    )
    return WorkRow(
        number=row.number,
        badge=badge,
        request=words.REQUEST_WORDS.get(row.request_rank, ""),
        urgency=urgency(row.priority, answer),
        name=words.person_name(row.patient_name),
        patient_id=row.patient_id,
        born=words.calendar_date(row.patient_birth_date),
        sex=row.patient_sex,
        modality=row.modality,
        description=row.study_description,
        accession=row.accession_number,
        received=words.short_time(row.first_received_at, now),
        waiting=words.span(now - row.first_received_at),
        images=images,
        suggestion=words.suggestion(badge, row.would_be) if decided else "",
        model=row.model or "",
        calibrated=words.calibrated(row.scores) if decided else "",
        centre=centre,
        late=late,
        state=words.STATE_WORDS[row.state],
        signed=words.short_time(row.state_since, now) if row.state == "reviewed" else "",
        repeat="",
        revoked=doubted,
        due=_due(row, answer, page, doubted) if row.state in OPEN_STATES else ("", False),
    )


def urgency(priority: str | None, answer: dict[str, Any] | None) -> str:
    """The higher of what the edge and what the centre said."""
    said = [each for each in (priority, answer["urgency"] if answer else None) if each in URGENCIES]
    return max(said, key=URGENCIES.index, default="routine")
