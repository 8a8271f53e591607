"""What left this house of one study, and what was taken out of it before: the de-identification receipts, verified.

It reads the ledger and the wire's book, not the archive, not the parts and not the site key: what it therefore cannot
compare it calls unchecked, and `appliance receipt` does that. Opening the page is an act in the audit trail.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core.audit import Filed, agrees, audited
from appliance.core.case import Stamp
from appliance.core.receipt import ACTION_WORDS, Account, DeidReceipt
from appliance.errors import Unavailable
from appliance.review import blinding, words
from appliance.review.casefile import NOT_FOUND
from appliance.review.entrance import Reader, for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, ledger
from appliance.world.ledger import departures

PART_NOTE = "this page may not read it: appliance receipt does"
MARKS = {True: ("holds", "agrees"), False: ("wrong", "DISAGREES"), None: ("unchecked", "unchecked")}
# In the order in which a reader asks: what is gone, what is another, what is as it came.
ACTIONS = ("X", "Z", "C", "D", "U", "K", "ADD")


def left_page(request: Request, reader: Reader) -> Response:
    page, number = page_of(request), request.path_params["number"]
    try:
        with page.ledgers.studies() as c:
            study = ledger.study_by_number(c, number) if 1 <= number < 2**63 else None
            rows = departures.receipts_of(c, number) if study is not None else []
    except Unavailable:
        return RedirectResponse("/", 303)
    if study is None:
        return page.render(request, "problem.html", {"reader": reader, **NOT_FOUND}, status_code=404)
    if blinding.hides(page, reader.user, study):
        return blinding.refusal(request, reader, number)
    with page.ledgers.pen().begin() as c:
        desk.note(c, at=page.clock(), user=reader.user, act="receipt-opened", subject=f"study {number}")
    told = [_shown(page, row) for row in rows]
    return page.render(request, "left.html", {"reader": reader, "study": study, "receipts": told})


ROUTES = {"/studies/{number:int}/left": for_readers(left_page)}


def _shown(page: Page, row: Any) -> dict[str, Any]:
    """One receipt as the template needs it."""
    receipt, checks = audited(
        Filed(
            case_id=row.case_id,
            data=row.body,
            stamp=Stamp(sha256=row.sha256, signature=row.signature, key_id=row.key_id),
            sealed=row.part_sha256,
            sent=page.ledgers.sealed_as(row.case_id),
            manifest=row.manifest,
            part=None,
            part_note=PART_NOTE,
        )
    )
    return {
        "case_id": row.case_id,
        "revision": row.revision,
        "made": words.clock_time(row.made_at),
        "holds": agrees(checks),
        "checks": [
            {"key": MARKS[each.holds][0], "word": MARKS[each.holds][1], "name": each.name, "note": each.note}
            for each in checks
        ],
        "sha256": row.sha256,
        "signature": row.signature,
        "told": None if receipt is None else _told(receipt),
    }


def _told(receipt: DeidReceipt) -> dict[str, Any]:
    accounts = [_account(each) for each in receipt.accounts]
    return {
        "receipt": receipt,
        "decided": words.clock_time(receipt.decided_at),
        "accounts": accounts,
        "objects": [
            {"object": each, "boxes": len(each.regions) + each.regions_left_out, "account": each.account + 1}
            for each in receipt.objects
        ],
        "boxes": [(each.sop_instance_uid, box) for each in receipt.objects for box in each.regions],
    }


def _account(account: Account) -> dict[str, Any]:
    """What was done, one block an action: how often by which rule, and to which attributes."""
    actions = [*ACTIONS, *sorted({tally.action for tally in account.tallies} - set(ACTIONS))]
    blocks = []
    for action in actions:
        tallies = [tally for tally in account.tallies if tally.action == action]
        if tallies:
            blocks.append(
                {
                    "word": ACTION_WORDS.get(action, action),
                    "count": sum(tally.count for tally in tallies),
                    "rules": [(tally.rule, tally.count) for tally in tallies],
                    "names": [_times(each.path, each.count) for each in account.changed if each.action == action],
                }
            )
    return {
        "blocks": blocks,
        "kept": account.kept,
        "kept_count": len(account.kept) + account.kept_left_out,
        "left_out": account.changed_left_out,
    }


def _times(path: str, count: int) -> str:
    return path if count == 1 else _("%(path)s (%(count)s times)", path=path, count=count)
