"""The quarantine: every study and every file that waits for a person, what happened, what to do, release or reject.

Nothing is moved here: an order is a row that triage carries out. What is released begins the road anew, with its
attempts at zero and every check before it; nothing is decided by a release. Whoever may not look at patients sees
numbers, codes and digests; a study that a reader has yet to read first tells nothing of what the machine said.
"""

from collections.abc import Mapping
from typing import Any, get_args

from sqlalchemy import Connection, Row, func, select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core.say import Said, say
from appliance.errors import CATALOGUE, Unavailable
from appliance.review import blinding, words
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.review.signing import NONCE
from appliance.world import desk, file_desk, ledger
from appliance.world.file_desk import FileCommandKind
from appliance.world.ledger import moves, stray_files, studies

SHOWN_MAX = 200
DIGEST_SHOWN = 12  # hex digits: enough to find the file, and nothing of the patient
NOTICES = {
    "commanded": "Your instruction is on file; triage carries it out within seconds.",
    "again": "This form had been posted before: it counts once.",
}
OUTCOMES = {
    "gone": "it could not be fetched from where it lies: have it sent again",
    "stale": "it had been dealt with before",
    "moved": "done",
}
AFTER_DECIDING = ("hard", "escalated")  # set aside from there, its code tells that it was not cleared
READ_FIRST = {
    "code": "",
    "text": "set aside after the machine had looked",
    "hint": "Open the study and write down what you see; then this page says why it was set aside.",
}
NO_FILE = {
    "title": "Nothing was done",
    "said": "This file does not wait for a person any more.",
    "link": "/quarantine",
    "link_text": "To the quarantine",
}


def quarantine(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    shown: dict[str, Any] = {"reader": reader, "studies": [], "files": [], "total": 0, "files_total": 0}
    shown |= {"notice": NOTICES.get(request.query_params.get("done", ""), ""), "nonce": page.token()}
    shown |= {"because_max": desk.BECAUSE_CHARACTERS_MAX, "starting": False}
    try:
        with page.ledgers.studies() as c:
            shown["studies"], shown["total"] = _studies(c, page, reader)
            shown["files"], shown["files_total"] = _files(c, page), stray_files.count(c)
    except Unavailable:
        shown["starting"] = True
    return page.render(request, "quarantine.html", shown)


def old_address(_request: Request, _reader: Reader) -> Response:
    """Where stray files had a page of their own."""
    return RedirectResponse("/quarantine#files", 303)


def file_command(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files a release or a rejection of one file: 303, 400 for an incomplete form, 409 where nothing waits any more."""
    page, number = page_of(request), request.path_params["stray"]
    kind, nonce, because = form.get("kind", ""), form.get("nonce", ""), form.get("because", "").strip()
    fits = kind in get_args(FileCommandKind) and NONCE.fullmatch(nonce)
    if not fits or len(because) > file_desk.BECAUSE_CHARACTERS_MAX or (kind == "reject" and not because):
        said = _("Say why, in %(most)s characters at most; nothing was done.", most=file_desk.BECAUSE_CHARACTERS_MAX)
        return page.render(request, "problem.html", {"reader": reader, **NO_FILE, "said": said}, status_code=400)
    try:
        with page.ledgers.studies() as c:
            found = stray_files.by_number(c, number) if 1 <= number < 2**63 else None
    except Unavailable:
        found = None
    if found is None or found.rejected_by or (kind == "release" and not _may_release(found)):
        return page.render(request, "problem.html", {"reader": reader, **NO_FILE}, status_code=409)
    chosen: FileCommandKind = kind  # type: ignore[assignment]
    at = page.clock()
    with page.ledgers.pen().begin() as c:
        filed = file_desk.command(
            c, nonce=nonce, kind=chosen, sha256=found.sha256, user=reader.user, because=because, at=at
        )
        if filed:
            desk.note(c, at=at, user=reader.user, act=f"file-{kind}", subject=f"file {found.sha256[:DIGEST_SHOWN]}")
    return RedirectResponse(f"/quarantine?done={'commanded' if filed else 'again'}#files", 303)


ROUTES = {"/quarantine": for_readers(quarantine), "/strays": for_readers(old_address)}
FORMS = {"/quarantine/files/{stray:int}": form_for_readers(file_command)}


def explained(code: str) -> dict[str, str]:
    """A code with what is wrong and what to do, by the catalogue."""
    entry = CATALOGUE.get(code)
    text, hint = (
        (entry.text, entry.hint) if entry else (say("this version does not know the code"), say("Report the code."))
    )
    return {"code": code, "text": text, "hint": hint}


def _studies(c: Connection, page: Page, reader: Reader) -> tuple[list[dict[str, Any]], int]:
    """The studies that wait, the newest first, and how many there are in all."""
    where = studies.c.state == "quarantined"
    newest = select(studies).where(where).order_by(studies.c.state_since.desc(), studies.c.number.desc())
    found = list(c.execute(newest.limit(SHOWN_MAX)))
    total = c.execute(select(func.count()).select_from(studies).where(where)).scalar_one()
    numbers = [row.number for row in found]
    past = history(c, numbers)
    images = ledger.instance_counts(c, numbers)
    unread = blinding.hidden(page, reader.user, found)
    with page.ledgers.eyes().begin() as own:
        pending = {row.number: desk.command_on(own, row.number, row.seq) for row in found}
    return [
        {
            "number": row.number,
            "revision": row.revision,
            "seq": row.seq,
            "name": words.person_name(row.patient_name) if reader.may("look") else "",
            "patient_id": row.patient_id if reader.may("look") else "",
            "modality": row.modality,
            "images": images[row.number],
            "since": words.clock_time(row.state_since),
            "from": "" if row.number in unread else past[row.number][0],
            "times": past[row.number][1],
            "released": past[row.number][2],
            "pending": pending[row.number],
            **_fault(row, past[row.number][0], row.number in unread),
        }
        for row in found
    ], total


def _fault(row: Row[Any], came_from: str, unread: bool) -> dict[str, str]:
    return READ_FIRST if unread and came_from in AFTER_DECIDING else explained(row.fault_code)


def history(c: Connection, numbers: list[int]) -> dict[int, tuple[str, int, int]]:
    """Of each study the state it was last set aside from, how often it was, and how often it was released."""
    found = dict.fromkeys(numbers, ("", 0, 0))
    chosen = select(moves).where(moves.c.study_number.in_(numbers), moves.c.event.in_(("gave up", "released")))
    for row in c.execute(chosen.order_by(moves.c.study_number, moves.c.seq)):
        came_from, times, released = found[row.study_number]
        if row.event == "gave up":
            found[row.study_number] = row.from_state, times + 1, released
        else:
            found[row.study_number] = came_from, times, released + 1
    return found


def _may_release(row: Row[Any]) -> bool:
    """What receive refused lies beside the watched folder, where only the sender's side can try it again."""
    return bool(row.place != ledger.REFUSED_PLACE)


def _files(c: Connection, page: Page) -> list[dict[str, Any]]:
    found = stray_files.waiting(c, SHOWN_MAX)
    with page.ledgers.eyes().begin() as own:
        last = file_desk.last_on(own, [row.sha256 for row in found])
    outcomes = stray_files.outcomes(c, [row.id for row in last.values()])
    return [_file(row, last.get(row.sha256), outcomes) for row in found]


def _file(row: Row[Any], ordered: Row[Any] | None, outcomes: Mapping[int, str]) -> dict[str, Any]:
    outcome = None if ordered is None else outcomes.get(ordered.id)
    return {
        "number": row.id,
        "place": row.place,
        "digest": row.sha256[:DIGEST_SHOWN],
        "size": words.byte_count(row.bytes_count),
        "received": words.clock_time(row.received_at),
        "copies": row.copies,
        "may_release": _may_release(row),
        "pending": ordered if ordered is not None and outcome is None else None,
        "before": "" if ordered is None or outcome is None else _before(ordered, say(OUTCOMES.get(outcome, outcome))),
        **explained(row.code),
    }


def _before(ordered: Row[Any], outcome: Said) -> str:
    if ordered.kind == "release":
        return _("%(user)s asked to release it: %(outcome)s", user=ordered.user, outcome=outcome)
    return _("%(user)s asked to reject it: %(outcome)s", user=ordered.user, outcome=outcome)
