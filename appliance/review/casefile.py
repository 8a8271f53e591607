"""One study on one page: who, images, lane and reasons, scores, the centre's draft, history, and the form to sign.

It gathers what the ledgers hold and arranges it; the signature itself is in signing. A machine's words are always
named as a machine's, and what no machine may say (a percentage without calibration, "normal") is not said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core import decision_reasons
from appliance.core.decision_reasons import FINDINGS_MAX
from appliance.core.lifecycle import MOVES
from appliance.core.pacs_link import pacs_link
from appliance.core.routing import disagreements
from appliance.core.say import say
from appliance.core.worklist_order import case_urgency
from appliance.errors import CATALOGUE, Unavailable
from appliance.review import blinding, holds, late_images, openings, overlay, repeats, signed, words
from appliance.review.alarms import withdrawn
from appliance.review.entrance import Reader, for_readers
from appliance.review.grounds import Grounds, grounds
from appliance.review.ledgers import Page, page_of
from appliance.review.scores import decided
from appliance.review.worklist import urgency
from appliance.world import desk, ledger, reading_desk
from appliance.world.ledger import departures, drafts, glances, reports

SIGNABLE = frozenset(start for (start, _), name in MOVES.items() if name == "signed")
CALLS_MAX = 50
NOTICES = {
    "signed": "Your signature is on file.",
    "again": "This form had been posted before: it counts once.",
    "commanded": "Your instruction is on file.",
    "next": "Signed. This is the next study: compare the name before you read it.",
    "taken": "You have taken it over; that and your reason are on file.",
    "free": "Nobody else had it open any more: it is yours.",
    "added": "Your addendum is on file; what was signed before stands as it was.",
    "revealed": "Your impression is on file. This is what the machine said; decide now.",
    "told": "It is on file who was told of the critical result.",
    "known": "It is on file that you know of the late image.",
}


@dataclass(frozen=True, slots=True)
class CaseFile:
    """The rows of one study, read in one transaction a ledger.

    result     of the present revision, None before a decision
    former     results of earlier revisions, newest first, superseded
    stale      ids of signatures that did not count: the study had changed before triage took them over
    left       something of this study left this house
    repeat     why its film might be worth repeating, in words; "" otherwise
    revoked    the certificate it was decided under was taken away since
    draft      what a small model here drafted of the present case, None where it was not asked
    grounds    why it stands where it stands, in words
    beside     what stands beside each signature, by its id
    seen       revision whose late image the asking user has seen, by study
    pending    a signature on this very state that triage has not taken over yet
    """

    study: Row[Any]
    result: Row[Any] | None
    former: list[Row[Any]]
    verdicts: list[Row[Any]]
    moves: list[Row[Any]]
    images: int
    signatures: list[Row[Any]]
    stale: frozenset[int]
    pending: Row[Any] | None
    pending_command: Row[Any] | None
    wire_state: str | None
    left: bool
    repeat: str
    revoked: bool
    draft: Row[Any] | None
    grounds: Grounds
    beside: dict[int, Row[Any]]
    addenda: list[Row[Any]]
    seen: dict[int, int]
    impressions: list[Row[Any]]
    calls: list[Row[Any]]
    sent: list[Row[Any]]

    @property
    def findings(self) -> tuple[str, ...]:
        """What can be called right or wrong one by one."""
        return signed.findings(self.grounds.label, self.answer, FINDINGS_MAX)

    @property
    def answer(self) -> dict[str, Any] | None:
        """The centre's newest verdict on this revision that came before a signature."""
        present = [row for row in self.verdicts if row.revision == self.study.revision and not row.addendum]
        return present[-1].body if present else None

    @property
    def urgency(self) -> str:
        """The higher of what the edge and what the centre said."""
        return urgency(_priority(self.result), self.answer)


def read(page: Page, number: int, user: str = "") -> CaseFile | None:
    """A study's case file, None when there is no such study. Raises Unavailable("ledger-starting")."""
    if not 1 <= number < 2**63:
        return None
    with page.ledgers.studies() as c:
        study = ledger.study_by_number(c, number)
        if study is None or study.state == "forgotten":
            return None
        result = ledger.result_of(c, number, study.revision)
        former = [ledger.result_of(c, number, each) for each in range(study.revision - 1, 0, -1)[:10]]
        verdicts, moves = ledger.verdicts_of(c, number), ledger.moves_of(c, number)
        taken = select(ledger.signatures.c.signature_id).where(ledger.signatures.c.study_number == number)
        stale = frozenset(c.execute(taken.where(ledger.signatures.c.outcome == "stale")).scalars())
        instances = ledger.instances_of(c, number)
        images = sum(instance.has_pixels for instance in instances)
        why = grounds(c, study, result, instances)
        left = bool(departures.receipts_of(c, number))
        told = result.reasons if result is not None else [{"code": each.code} for each in glances.of(c, number)]
        repeat = repeats.said(each["code"] for each in told)
        revoked = number in withdrawn(c, [number])
        told_pacs = list(reports.of_study(c, number))
        draft = drafts.of_case(c, result.case_id) if result is not None and result.case_id else None
    with page.ledgers.eyes().begin() as c:
        signatures = desk.signatures_of(c, number)
        pending = desk.signature_on(c, number, study.seq)
        command = desk.command_on(c, number, study.seq)
        beside = reading_desk.facts_of(c, [row.id for row in signatures])
        calls = reading_desk.calls(c, CALLS_MAX, number)
        told_first = reading_desk.impressions_of(c, number)
        added, seen = reading_desk.addenda_of(c, number), reading_desk.late_seen_by(c, user, [number])
    case_id = result.case_id if result is not None else None
    wire_state = page.ledgers.wire_states([case_id]).get(case_id) if case_id else None
    old = [each for each in former if each is not None]
    return CaseFile(
        study, result, old, verdicts, moves, images, signatures, stale, pending, command, wire_state, left,
        repeat, revoked, draft, why, beside, added, seen, told_first, calls, told_pacs,
    )  # fmt: skip


def case_page(request: Request, reader: Reader) -> Response:
    page, number = page_of(request), request.path_params["number"]
    try:
        found = read(page, number, reader.user)
    except Unavailable:
        return RedirectResponse("/", 303)
    if found is None:
        return page.render(request, "problem.html", {"reader": reader, **NOT_FOUND}, status_code=404)
    if blinding.hides(page, reader.user, found.study):
        _noted(request, reader, number, "case-opened-blind")  # bars from no blinded read, as case-opened does
        said = NOTICES.get(request.query_params.get("done", ""), "")
        return blinding.blind_page(request, reader, found.study, notice=said)
    return case_answer(request, reader, found)


def _noted(request: Request, reader: Reader, number: int, act: str) -> None:
    """Whatever shows a case leaves its row in the trail, the answer to a mistaken form too."""
    page = page_of(request)
    with page.ledgers.pen().begin() as c:
        desk.note(c, at=page.clock(), user=reader.user, act=act, subject=f"study {number}")
    openings.opened(request, reader, f"study {number}")


def case_answer(
    request: Request,
    reader: Reader,
    file: CaseFile,
    *,
    mistake: str = "",
    kept: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    """The case page; after a mistake with what is to be done next, and with all that was typed."""
    page = page_of(request)
    _noted(request, reader, file.study.number, "case-opened")
    notice = "" if mistake else NOTICES.get(request.query_params.get("done", ""), "")
    told = {"reader": reader, "notice": notice, "mistake": mistake, "kept": kept or {}}
    may = file.study.state in SIGNABLE and file.pending is None and reader.may("decide")
    hold = holds.of(page, reader.user, file.study.number)
    told |= {"hold": hold, "barred": holds.bars(hold, reader, file.urgency), "held_here": may}
    return page.render(
        request, "case.html", {**told, **shown(page, file, page.clock(), reader.user)}, status_code=status
    )


NOT_FOUND = {
    "title": "No such study",
    "said": "No study has this number, or it was forgotten.",
    "link": "/",
    "link_text": "To the worklist",
}
ROUTES = {"/studies/{number:int}": for_readers(case_page)}


def shown(page: Page, file: CaseFile, now: float, user: str) -> dict[str, Any]:
    """What the template needs of a case file."""
    study, result = file.study, file.result
    answers = [_answer(row, study.revision) for row in reversed(file.verdicts)]
    answer = file.answer
    lane = result.lane if result is not None else None
    badge = words.badge(study.state, lane)
    centre, late = words.centre_words(
        state=study.state,
        lane=lane,
        wire_state=file.wire_state,
        answer=answer,
        waited_s=now - (result.decided_at if result is not None else study.state_since),
        late_s=page.config.triage.deadline_s(case_urgency(_priority(result), study.request_rank)),
    )
    return {
        "study": study,
        "badge": badge,
        "urgency": file.urgency,
        "name": words.person_name(study.patient_name),
        "born": words.calendar_date(study.patient_birth_date),
        "study_date": words.calendar_date(study.study_date),
        "state_word": words.STATE_WORDS[study.state],
        "received": words.clock_time(study.first_received_at),
        "images": file.images,
        "completeness": words.plain(study.completeness),
        "result": decided(result, badge),
        "grounds": file.grounds,
        "disagreements": disagreements(_edge_says(result), file.grounds.label, _priority(result), answer),
        "former": [decided(each, words.badge("routine", each.lane)) for each in file.former],
        "answers": answers,
        "centre": centre,
        "offline": None if answer is not None else _offline(file.draft),
        "late": late,
        "left": file.left,
        "repeat": file.repeat,
        "revoked": file.revoked and badge.key in ("cleared", "flagged"),
        "fault": _fault(study),
        "moves": [_move(row) for row in file.moves],
        "signatures": [signed.signature(row, file.beside.get(row.id), row.id in file.stale) for row in file.signatures],
        "addenda": [signed.addendum(row) for row in file.addenda],
        "may_add": bool(file.signatures),
        "late_images": late_images.told(study, file.signatures, file.seen, user),
        "calls": [signed.call(row) for row in file.calls],
        "sent": [signed.order(row) for row in file.sent],
        "how": reading_desk.HOW,
        "call_max": reading_desk.CALL_CHARACTERS_MAX,
        "pacs": pacs_link(page.config.review.pacs_url, study.accession_number),
        "findings": file.findings,
        "impressions": [signed.impression(row) for row in file.impressions],
        "pending": file.pending,
        "pending_command": file.pending_command,
        "may_sign": study.state in SIGNABLE and file.pending is None,
        "may_command": study.state == "quarantined" and file.pending_command is None,
        "overlay": overlay.offer(page, user, study),
        "key_images": overlay.key_images(page, None if result is None else result.case_id, study.number),
        "nonce": page.token(),
        "correction_max": desk.CORRECTION_CHARACTERS_MAX,
        "why_max": desk.BECAUSE_CHARACTERS_MAX,
        "addendum_max": reading_desk.ADDENDUM_CHARACTERS_MAX,
        "reasons": decision_reasons,
    }


def _edge_says(result: Row[Any] | None) -> str | None:
    """What was said here of the finding: the lane, or what would have been said where nothing was decided."""
    return None if result is None else result.would_be if result.lane == "escalated" else result.lane


def _priority(result: Row[Any] | None) -> str | None:
    return None if result is None else result.priority


def _offline(row: Row[Any] | None) -> dict[str, Any] | None:
    """A draft made here while the centre is silent; the centre's verdict takes its place."""
    if row is None or row.body is None:
        return None
    return {"body": row.body, "withheld": row.state != "shown", "at": words.clock_time(row.at)}


def _answer(row: Row[Any], revision: int) -> dict[str, Any]:
    return {
        "body": row.body,
        "rev": row.rev,
        "revision": row.revision,
        "present": row.revision == revision,
        "addendum": row.addendum,
        "received": words.clock_time(row.received_at),
        "connected": row.body["reader"]["connected"],
    }


def _fault(study: Row[Any]) -> dict[str, str] | None:
    """What is wrong with a quarantined study and what to do about it, from the catalogue."""
    if study.state != "quarantined":
        return None
    entry = CATALOGUE.get(study.fault_code)
    text = entry.text if entry else say("this version does not know the code")
    return {"code": study.fault_code, "text": text, "hint": entry.hint if entry else say("Report the code.")}


def _move(row: Row[Any]) -> dict[str, str]:
    return {"at": words.clock_time(row.at), "event": row.event, "to": row.to_state, "who": row.who, "code": row.code}
