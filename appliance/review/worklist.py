"""The worklist: every study as one row, by lane, the most pressing first. It reads and shows; it decides nothing.

A row's lane is its state first and its result second: a study that is quarantined, or not decided yet, never shows
an older result. Pages hold PAGE_ROWS rows; the tabs count them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Row, Select, select, true
from starlette.requests import Request
from starlette.responses import Response

from appliance.core.document import URGENCIES
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
from appliance.review.tabs import OPEN_STATES, TABS, counted
from appliance.review.worklist_order import in_reading_order, joined, newest_first, waiting
from appliance.world import desk, ledger
from appliance.world.ledger import results, stray_files, studies, verdicts

PAGE_ROWS = 100
PAGES_MAX = 10_000
EVERYTHING = true()

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
    counted_all = not (filters.any or counts[tab].more)
    last = max(1, -(-counts[tab].number // PAGE_ROWS)) if counted_all else number + (not found_all)
    shown = {"rows": made, "last_page": last, "counted_all": counted_all}
    shown |= {"strays": stray_count, "alarms": alarms, "repeats": fresh, "late_images": changed}
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


def rows(
    c: Connection, tab: str, page_number: int, now: float, waits: Waits, narrowed: ColumnElement[bool] = EVERYTHING
) -> list[Row[Any]]:
    """One page of studies under a tab with the result of their present revision."""
    numbers = list(c.execute(page_of_numbers(tab, page_number, now, waits, narrowed)).scalars())
    result = (results.c.lane, results.c.would_be, results.c.priority, results.c.scores, results.c.model)
    chosen = select(studies, *result, results.c.reasons, results.c.case_id, results.c.decided_at)
    found = {row.number: row for row in c.execute(chosen.select_from(joined()).where(studies.c.number.in_(numbers)))}
    return [found[number] for number in numbers]


def page_of_numbers(
    tab: str, page_number: int, now: float, waits: Waits, narrowed: ColumnElement[bool] = EVERYTHING
) -> Select[Any] | CompoundSelect[Any]:
    """What is asked of the ledger for one page: which studies, in their order."""
    found: Select[Any] | CompoundSelect[Any]
    if tab in NEWEST_FIRST:
        found = newest_first(TABS[tab].states, narrowed)
    else:
        study = waiting(TABS[tab].where(), narrowed)
        found = select(study.c.number).order_by(*in_reading_order(study, now, waits))
    return found.limit(PAGE_ROWS).offset((page_number - 1) * PAGE_ROWS)


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
