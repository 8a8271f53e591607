"""A reader's act: a signature on a study, or a release or rejection of a quarantined one.

A form carries what the reader saw (revision and sequence number) and a number used once. A study that has changed
since is not signed: the reader is told and looks again. A form posted twice counts once. Nothing here moves a
study; triage takes the row over and does.
"""

import re
from collections.abc import Mapping
from typing import get_args

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.errors import Unavailable
from appliance.review.casefile import NOT_FOUND, SIGNABLE, CaseFile, read
from appliance.review.entrance import Reader, form_for_readers
from appliance.review.ledgers import Page, page_of
from appliance.world import desk
from appliance.world.desk import CommandKind, Decision

NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
WHOLE = re.compile(r"[0-9]{1,9}")


def sign(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files a signature: 303 back to the case, 400 for an incomplete form, 409 when the study is not what was seen."""
    page, number = page_of(request), request.path_params["number"]
    said = form.get("decision", "")
    correction = form.get("correction", "").replace("\r\n", "\n").strip()
    if said not in get_args(Decision):
        return _problem(request, reader, 400, "Choose agree, correct or cannot tell; nothing was signed.")
    decision: Decision = said  # type: ignore[assignment]
    if decision == "correct" and not correction:
        return _problem(request, reader, 400, "Say what is right instead; nothing was signed.")
    if len(correction) > desk.CORRECTION_CHARACTERS_MAX:
        return _problem(request, reader, 400, "The note is too long; nothing was signed.")
    seen = _seen(form)
    if seen is None:
        return _problem(request, reader, 400, "The form is incomplete; nothing was signed.")
    nonce, revision, seq = seen
    file = _read(page, number)
    if file is None:
        return page.render(request, "problem.html", {"reader": reader, **NOT_FOUND}, status_code=404)
    with page.ledgers.pen().begin() as c:
        given = desk.signature_with(c, nonce)
        if given is not None:
            return _back(number, "again")
        if _changed(file, revision, seq) or file.study.state not in SIGNABLE:
            return _stale(request, reader, "nothing was signed")
        filed = desk.sign(
            c,
            nonce=nonce,
            study_number=number,
            revision=revision,
            seq_seen=seq,
            user=reader.user,
            decision=decision,
            correction=correction,
            at=page.clock(),
            saw_ai=file.result is not None,
        )
        if not filed:
            return _stale(request, reader, "somebody else has signed it; your signature was not added")
        desk.note(c, at=page.clock(), user=reader.user, act=f"signed-{decision}", subject=f"study {number}")
    return _back(number, "signed")


def command(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files a release or a rejection of a quarantined study: 303, 400 or 409 as for a signature."""
    page, number, kind = page_of(request), request.path_params["number"], form.get("kind", "")
    seen = _seen(form)
    if kind not in get_args(CommandKind) or seen is None:
        return _problem(request, reader, 400, "The form is incomplete; nothing was done.")
    nonce, revision, seq = seen
    file = _read(page, number)
    if file is None:
        return page.render(request, "problem.html", {"reader": reader, **NOT_FOUND}, status_code=404)
    chosen: CommandKind = kind  # type: ignore[assignment]
    with page.ledgers.pen().begin() as c:
        if desk.command_with(c, nonce) is not None:
            return _back(number, "again")
        if _changed(file, revision, seq) or file.study.state != "quarantined":
            return _stale(request, reader, "nothing was done")
        at = page.clock()
        filed = desk.command(c, nonce=nonce, kind=chosen, study_number=number, seq_seen=seq, user=reader.user, at=at)
        if not filed:
            return _stale(request, reader, "somebody else was first; nothing was done")
        desk.note(c, at=at, user=reader.user, act=f"command-{chosen}", subject=f"study {number}")
    return _back(number, "commanded")


FORMS = {
    "/studies/{number:int}/sign": form_for_readers(sign),
    "/studies/{number:int}/command": form_for_readers(command),
}


def _seen(form: Mapping[str, str]) -> tuple[str, int, int] | None:
    """What the form says its reader saw: (nonce, revision, sequence number)."""
    nonce, revision, seq = (form.get(key, "") for key in ("nonce", "revision", "seq"))
    if not NONCE.fullmatch(nonce) or not WHOLE.fullmatch(revision) or not WHOLE.fullmatch(seq):
        return None
    return nonce, int(revision), int(seq)


def _read(page: Page, number: int) -> CaseFile | None:
    try:
        return read(page, number)
    except Unavailable:
        return None


def _changed(file: CaseFile, revision: int, seq: int) -> bool:
    return (file.study.revision, file.study.seq) != (revision, seq)


def _back(number: int, done: str) -> Response:
    return RedirectResponse(f"/studies/{number}?done={done}", 303)


def _stale(request: Request, reader: Reader, consequence: str) -> Response:
    said = f"The study changed after you opened it, so {consequence}. Look at it again before you decide."
    return _problem(request, reader, 409, said)


def _problem(request: Request, reader: Reader, status: int, said: str) -> Response:
    """The answer to a form that was not taken, with the way back to the study as it is now."""
    title = "The study has changed" if status == 409 else "Not signed"
    link = f"/studies/{request.path_params['number']}"
    shown = {"reader": reader, "title": title, "said": said, "link": link, "link_text": "Open the study as it is now"}
    return page_of(request).render(request, "problem.html", shown, status_code=status)
