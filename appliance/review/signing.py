"""A reader's act: a signature on a study, an addendum to it, or a release or rejection of a quarantined one.

A form carries what the reader saw (revision and sequence number) and a number used once. A study that has changed
since is not signed: the reader is told and looks again. A form posted twice counts once. A mistake shows the form again
with all that was typed and what to do next. Nothing here moves a study; triage takes the row over and does.
"""

import re
from collections.abc import Mapping
from typing import get_args

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core.decision_reasons import FINDING_SAID, why_refused
from appliance.core.say import Said, say
from appliance.errors import Unavailable
from appliance.review import blinding, holds, worklist
from appliance.review.casefile import NOT_FOUND, SIGNABLE, CaseFile, case_answer, read
from appliance.review.entrance import Reader, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, reading_desk
from appliance.world.desk import CommandKind, Decision

NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
WAYS_BACK = ("quarantine", "outbox")  # pages beside the case from where a study may be released
WHOLE = re.compile(r"[0-9]{1,9}")
IDENTIFIERS = {
    "patient": "Compare name and birth date with the request, then tick the patient; nothing was signed.",
    "exam": "Compare patient ID and accession number with the request, then tick the study; nothing was signed.",
}


def sign(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files a signature: 303 to the case or the next one, 400 with the form again where something is missing, 409 when
    the study is not what was seen."""
    page, number = page_of(request), request.path_params["number"]
    seen = _seen(form)
    if seen is None:
        return _problem(request, reader, 400, _("The form is incomplete; nothing was signed."))
    nonce, revision, seq = seen
    file = _read(page, number, reader.user)
    if file is None:
        return page.render(request, "problem.html", {"reader": reader, **NOT_FOUND}, status_code=404)
    if blinding.hides(page, reader.user, file.study):
        return blinding.refusal(request, reader, number)
    note, mistake, hold = _note(form), _mistake(form), holds.of(page, reader.user, number)
    if mistake is None and holds.bars(hold, reader, file.urgency):
        mistake = _(
            "%(user)s has this study open since %(since)s: take it over first; nothing was signed.",
            user=hold.user,
            since=hold.since,
        )
    with page.ledgers.pen().begin() as c:
        if desk.signature_with(c, nonce) is not None:
            return _back(number, "again")
        if _changed(file, revision, seq) or file.study.state not in SIGNABLE:
            return _stale(request, reader, say("nothing was signed"))
        if mistake is None:
            decision: Decision = form["decision"]  # type: ignore[assignment]
            filed = desk.sign(
                c,
                nonce=nonce,
                study_number=number,
                revision=revision,
                seq_seen=seq,
                user=reader.user,
                decision=decision,
                correction=note,
                at=page.clock(),
                saw_ai=file.result is not None,
            )
            if not filed:
                return _stale(request, reader, say("somebody else has signed it; your signature was not added"))
            _beside(c, nonce, file, form)
            reading_desk.release(c, number, reader.user)
            desk.note(c, at=page.clock(), user=reader.user, act=f"signed-{decision}", subject=f"study {number}")
    if mistake is not None:
        return case_answer(request, reader, file, mistake=mistake, kept=form, status=400)
    return _onward(page, reader, number) if form.get("next") else _back(number, "signed")


def _mistake(form: Mapping[str, str]) -> str | None:
    """The first thing that the reader must still do, as a sentence."""
    note = _note(form)
    if len(note) > desk.CORRECTION_CHARACTERS_MAX:
        return _("Shorten the note to %(most)s characters; nothing was signed.", most=desk.CORRECTION_CHARACTERS_MAX)
    wrong = why_refused(form.get("decision", ""), form.get("reason", ""), note)
    if wrong is not None:
        return wrong
    return next((said for name, said in IDENTIFIERS.items() if form.get(name) != "yes"), None)


def _note(form: Mapping[str, str]) -> str:
    return form.get("correction", "").replace("\r\n", "\n").strip()


def _beside(c: Connection, nonce: str, file: CaseFile, form: Mapping[str, str]) -> None:
    """What stands beside the signature just filed: reason, findings, which identifiers were confirmed."""
    row = desk.signature_with(c, nonce)
    assert row is not None, "filed in this transaction"
    said = {label: form.get(f"finding-{at}", "") for at, label in enumerate(file.findings, 1)}
    study = file.study
    named = ("patient_name", "patient_birth_date", "patient_id", "accession_number")
    reading_desk.put_facts(
        c,
        row.id,
        reason=form.get("reason", ""),
        findings={label: value for label, value in said.items() if value in FINDING_SAID},
        confirmed=" ".join(name for name in named if getattr(study, name)),
    )


def _onward(page: Page, reader: Reader, number: int) -> Response:
    """The most pressing study that waits for a reader, else the worklist."""
    following = worklist.next_to_read(page, reader.user, number)
    return RedirectResponse(f"/studies/{following}?done=next" if following else "/?done=all", 303)


def addendum(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Adds words to a signed study: 303, 400 without words, 409 while nothing is signed. What was signed stays."""
    page, number = page_of(request), request.path_params["number"]
    seen, text = _seen(form), form.get("addendum", "").replace("\r\n", "\n").strip()
    file = _read(page, number, reader.user)
    if file is None:
        return page.render(request, "problem.html", {"reader": reader, **NOT_FOUND}, status_code=404)
    if blinding.hides(page, reader.user, file.study):
        return blinding.refusal(request, reader, number)
    if seen is None or not 0 < len(text) <= reading_desk.ADDENDUM_CHARACTERS_MAX:
        said = _(
            "Write the addendum, %(most)s characters at most; nothing was added.",
            most=reading_desk.ADDENDUM_CHARACTERS_MAX,
        )
        return case_answer(request, reader, file, mistake=said, kept=form, status=400)
    if not file.signatures:
        return _problem(request, reader, 409, _("Nothing is signed yet: sign the study first; nothing was added."))
    at = page.clock()
    with page.ledgers.pen().begin() as c:
        filed = reading_desk.add(
            c, nonce=seen[0], study_number=number, revision=file.study.revision, user=reader.user, text=text, at=at
        )
        if filed:
            desk.note(c, at=at, user=reader.user, act="addendum", subject=f"study {number}")
    return _back(number, "added" if filed else "again")


def command(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files a release or a rejection of a quarantined study: 303, 400 or 409 as for a signature."""
    page, number, kind = page_of(request), request.path_params["number"], form.get("kind", "")
    seen, because = _seen(form), form.get("because", "").strip()
    if kind not in get_args(CommandKind) or seen is None:
        return _problem(request, reader, 400, _("The form is incomplete; nothing was done."))
    if len(because) > desk.BECAUSE_CHARACTERS_MAX or (kind == "reject" and not because):
        said = _("Say why, in %(most)s characters at most; nothing was done.", most=desk.BECAUSE_CHARACTERS_MAX)
        return _problem(request, reader, 400, said)
    nonce, revision, seq = seen
    file = _read(page, number, reader.user)
    if file is None:
        return page.render(request, "problem.html", {"reader": reader, **NOT_FOUND}, status_code=404)
    chosen: CommandKind = kind  # type: ignore[assignment]
    with page.ledgers.pen().begin() as c:
        if desk.command_with(c, nonce) is not None:
            return _back(number, "again")
        if _changed(file, revision, seq) or file.study.state != "quarantined":
            return _stale(request, reader, say("nothing was done"))
        at = page.clock()
        filed = desk.command(
            c,
            nonce=nonce,
            kind=chosen,
            study_number=number,
            seq_seen=seq,
            user=reader.user,
            at=at,
            because=because,
        )
        if not filed:
            return _stale(request, reader, say("somebody else was first; nothing was done"))
        desk.note(c, at=at, user=reader.user, act=f"command-{chosen}", subject=f"study {number}")
    if form.get("back") in WAYS_BACK:
        return RedirectResponse(f"/{form['back']}?done=commanded", 303)
    return _back(number, "commanded")


FORMS = {
    "/studies/{number:int}/sign": form_for_readers(sign),
    "/studies/{number:int}/addendum": form_for_readers(addendum),
    "/studies/{number:int}/command": form_for_readers(command),
}


def _seen(form: Mapping[str, str]) -> tuple[str, int, int] | None:
    """What the form says its reader saw: (nonce, revision, sequence number)."""
    nonce, revision, seq = (form.get(key, "") for key in ("nonce", "revision", "seq"))
    if not NONCE.fullmatch(nonce) or not WHOLE.fullmatch(revision) or not WHOLE.fullmatch(seq):
        return None
    return nonce, int(revision), int(seq)


def _read(page: Page, number: int, user: str) -> CaseFile | None:
    try:
        return read(page, number, user)
    except Unavailable:
        return None


def _changed(file: CaseFile, revision: int, seq: int) -> bool:
    return (file.study.revision, file.study.seq) != (revision, seq)


def _back(number: int, done: str) -> Response:
    return RedirectResponse(f"/studies/{number}?done={done}", 303)


def _stale(request: Request, reader: Reader, consequence: Said) -> Response:
    said = _(
        "The study changed after you opened it, so %(consequence)s. Look at it again before you decide.",
        consequence=consequence,
    )
    return _problem(request, reader, 409, said)


def _problem(request: Request, reader: Reader, status: int, said: str) -> Response:
    """The answer to a form that was not taken, with the way back to the study as it is now."""
    title = _("The study has changed") if status == 409 else _("Nothing was done")
    link = f"/studies/{request.path_params['number']}"
    shown = {
        "reader": reader,
        "title": title,
        "said": said,
        "link": link,
        "link_text": _("Open the study as it is now"),
    }
    return page_of(request).render(request, "problem.html", shown, status_code=status)
