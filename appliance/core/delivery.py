"""What a target's answer means, when it is asked again, and what goes first. Pure; no order is read here.

An answer is one of five fates. *taken* and *noted* are success, the second with a warning to keep. *again* is a matter
of time: the target is full or busy, and is tried for as long as it takes. *shut* says nothing of the object: the target
does not let us in, all that goes there waits, and an operator hears of it. *refused* will be the same tomorrow: it goes
back to a person at once.

source: PS3.4 Table B.2-1 and PS3.7 Annex C for status codes; PS3.18 10.5 and RFC 9110 15 for HTTP.
"""

from typing import Literal, NamedTuple

from appliance.core.document import AGEING_S

Fate = Literal["taken", "noted", "again", "shut", "refused"]
SUCCESS = 0x0000
CLASS_NOT_SUPPORTED, DUPLICATE_INVOCATION, RESOURCE_LIMITATION = 0x0122, 0x0210, 0x0213  # PS3.7 C.5
WARNINGS = (0x0001, 0x0107, 0x0116)  # PS3.7 C.4, beside 0xBxxx
NEVER = (CLASS_NOT_SUPPORTED, 0x0115, 0x0117, 0x0118, 0x0119, 0x0124)  # class, argument, object, authorisation
TIME_HTTP = (408, 425, 429)
SHUT_HTTP = (401, 403, 404, 405, 407)  # who we are or where the store is: the next object would hear the same
CONFLICT, PRECONDITION = 409, 412
HL7_DUPLICATE, TIME_HL7 = "205", ("206", "207")
RANKS = {"routine": 0, "urgent": 1, "critical": 2}
CLIMB_TO = 1
JITTER = (0.75, 1.25)


class Answer(NamedTuple):
    """What a target said: the fate, a code of the catalogue ("" when it was taken), its own status (0: none)."""

    fate: Fate
    code: str = ""
    status: int = 0


def of_status(status: int) -> Answer:
    """What a DIMSE status means for an object that was sent or a request that was made."""
    if status == SUCCESS:
        return Answer("taken")
    if status in WARNINGS or status & 0xF000 == 0xB000:
        return Answer("noted", "pacs-warning", status)
    if status in NEVER or status & 0xFF00 == 0xA900 or status & 0xF000 == 0xC000:
        return Answer("refused", "pacs-class" if status == CLASS_NOT_SUPPORTED else "pacs-refused", status)
    # Out of resources (0xA7xx), a processing failure, and whatever nobody has written down: time or a person at the
    # target mends it, and giving up is never done on a guess.
    return Answer("again", "pacs-busy", status)


def of_http(status: int, reason: int | None) -> Answer:
    """What an HTTP status of a STOW-RS target means.

    reason  the Failure Reason of the object in the answer's body, where there is one (PS3.18 I.2)
    """
    if reason is not None and status in (200, 202, CONFLICT):
        said = of_status(reason)
        return said._replace(code=said.code or "pacs-warning", status=reason)
    if status == 200:
        return Answer("taken")
    if status == 202:  # taken with warnings that name nothing of ours
        return Answer("noted", "pacs-warning", status)
    if status in SHUT_HTTP or 300 <= status < 400:
        return Answer("shut", "pacs-denied", status)
    if 400 <= status < 500 and status not in (*TIME_HTTP, CONFLICT):
        return Answer("refused", "pacs-refused", status)
    return Answer("again", "pacs-busy", status)


def of_ack(code: str, error: str) -> Answer:
    """What an acknowledgement of HL7 v2 means.

    code    MSA-1, table 0008
    error   ERR-3, table 0357: 205 a message of this control id is there already; 206, 207 a matter of time
    """
    if code in ("AA", "CA"):
        return Answer("taken")
    if code in ("AE", "CE") and error == HL7_DUPLICATE:
        return Answer("noted", "hl7-duplicate")
    if code in ("AE", "CE") and error not in TIME_HL7:
        return Answer("refused", "hl7-error", int(error) if error.isascii() and error.isdigit() else 0)
    # A reject speaks of the receiver and not of the content (2.9.2.2): down, overrun, or set up for other messages.
    return Answer("again", "hl7-rejected")


def of_fhir(status: int) -> Answer:
    """What the HTTP status of a FHIR server means for a resource that was put."""
    if status in (200, 201, 204):
        return Answer("taken")
    if status in (CONFLICT, PRECONDITION):  # somebody else wrote meanwhile: read and judged anew
        return Answer("again", "pacs-busy", status)
    if status in SHUT_HTTP or 300 <= status < 400:
        return Answer("shut", "pacs-denied", status)
    if 400 <= status < 500 and status not in TIME_HTTP:
        return Answer("refused", "fhir-refused", status)
    return Answer("again", "pacs-busy", status)


def rank(priority: str, waited_s: float) -> int:
    """The class in which an order stands now, the higher the sooner; whoever waits climbs, and never to critical."""
    own = RANKS.get(priority, 0)
    return max(own, min(CLIMB_TO, own + int(max(waited_s, 0.0) / AGEING_S)))


def wait_s(failures: int, first_s: float, most_s: float, draw: float) -> float:
    """How long until the next attempt: doubling up to a limit, spread by a draw in [0, 1)."""
    low, high = JITTER
    doubled: float = first_s * 2.0 ** min(max(failures - 1, 0), 30)
    return min(doubled, most_s) * (low + (high - low) * draw)
