"""How a version comes to decide and goes again: what it did beside the deciding one, and what is still missing.

Everything shown is what triage filed. It is shown and no more: who decides is ordered on the command line or by the
centre, and what opens a lane is a certificate.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row

from appliance.core.promotion import LESS_SHARE_MAX, SILENT_SHARE_MAX
from appliance.core.say import Said, say
from appliance.review import words
from appliance.review.language import _
from appliance.review.quality import interval
from appliance.world.ledger import promotion

STATE_WORDS = {
    "new": ("unchecked", "NOT COMPARED YET"),
    "waits": ("unchecked", "HELD UP"),
    "offered": ("holds", "MAY BE ACTIVATED"),
    "active": ("holds", "ACTIVE"),
    "back": ("wrong", "TAKEN BACK"),
}
WHO_WORDS = {promotion.SOURCE: "the appliance itself", "centre": "the centre", "updates": "the centre"}


def promoted(c: Connection, row: Row[Any], needed: int) -> dict[str, Any] | None:
    """How one installed version came to where it is, or is on its way; None where there is nothing to say.

    needed  studies that are asked for, where triage has filed no figures yet
    """
    name = row.title.partition("/")[0]
    former, step = promotion.taken_back(c).get(name, ("", None)) if promotion.is_made(c) else ("", None)
    if row.facts.get("role") == "shadow":
        filed = next((each for each in promotion.everything(c) if each.title == row.title), None)
        state = "new" if filed is None else "waits" if filed.code else "offered"
        told = {"present": "", "figures": [], "missing": []} if filed is None else _beside(filed, needed)
        back = None if step is None or former != row.title else _step(step)
        return {**told, **_state("back" if back else state), "step": back, "former": ""}
    if row.facts.get("role") != "decides":
        return None
    order = step or (promotion.activation(c, row.title) if promotion.is_made(c) else None)
    if order is None:
        return None  # it came with the appliance, and nobody chose
    told = {"present": "", "figures": [], "missing": [], "former": former if step is not None else ""}
    return {**told, **_state("active"), "step": _step(order)}


def _state(state: str) -> dict[str, str]:
    mark, said = STATE_WORDS[state]
    return {"mark": mark, "state": said}


def _step(order: Row[Any]) -> dict[str, str]:
    return {"at": words.clock_time(order.at), "who": WHO_WORDS.get(order.source, order.who)}


def _beside(row: Row[Any], needed: int) -> dict[str, Any]:
    """Figures of a shadow, each share with its interval, and all that holds it up."""
    told: Mapping[str, Any] = row.figures
    asked = told.get("needed", needed)
    codes = told.get("waits", [row.code] if row.code else [])  # a ledger of before has the first of them
    return {
        "present": row.present or "",
        "seen": _("Studies on which both ran: %(seen)s; %(asked)s are asked for.", seen=told["seen"], asked=asked),
        "figures": _figures(told),
        "missing": [_missing(code, told, asked) for code in codes],
        "at": words.clock_time(row.at),
    }


def _figures(told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What was counted, of it and of the present one; that one's flags are its own."""
    seen, read = told["seen"], told["read"]
    return [
        (_("Decided"), _counted(told["decided"], seen), _counted(told["present_decided"], seen)),
        (_("Without an answer"), _counted(told["silent"], seen), "–"),
        (_("Cleared of those flagged by the present one"), _counted(told["crossed"], told["flagged"]), "–"),
        (
            _("Cleared of those read blinded with the finding"),
            _counted(told["misses"], read),
            _counted(told["present_misses"], read),
        ),
    ]


def _counted(count: int, of: int) -> str:
    return _("%(count)s of %(of)s: %(share)s", count=count, of=of, share=interval(count, of)) if of else _("none yet")


def _missing(code: str, told: Mapping[str, Any], asked: int) -> Said:
    """What must come before it may be activated."""
    match code:
        case "uncertified":
            return say("a certificate made at this site that is valid today")
        case "few":
            return say("%(count)s more studies beside, under its own certificate", count=asked - told["seen"])
        case "silent":
            return say(
                "answers: at most %(share)s %% of the studies may go without", share=f"{100 * SILENT_SHARE_MAX:g}"
            )
        case "misses":
            return say(
                "no more films cleared than by the present one, of those that a blinded reader saw the finding in"
            )
        case "crossed":
            return say("no more films cleared that the present one flagged than its contract lets be wrong")
        case "less":
            points = f"{100 * LESS_SHARE_MAX:g}"
            return say("at most %(points)s points of the studies decided less than by the present one", points=points)
        case _:
            return say("a reason that this page does not know: %(code)s", code=code)
