"""What came from an edge, read as a stranger's: topic, size, schema, canonical form, then a second look for identity.

Pure. It believes nothing of a message that fails, except the one case id it may bear, so that the edge can be told.
Identity should never arrive: the edge inspects what leaves. This scan is another pair of eyes and shares no code with
that inspector. A picture is held to be nothing but coded samples before anything decodes it; what is written in it is
not read here.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from appliance.core.case import CASE_BYTES_MAX, Case, Roll, Taken, decode_case
from appliance.core.document import decode
from appliance.errors import Quarantined

Kind = Literal["case", "taken", "roll", "unknown"]
TOPIC = re.compile(r"edge/1/up/([a-z0-9-]{3,40})/(case|taken|roll)")
CASE_ID = re.compile(rb'"case_id"\s*:\s*"([0-9a-f]{32})"')

YEAR, MONTH, DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
# No pattern may take more than linear time: a stranger chooses the text.
IDENTITY: dict[str, re.Pattern[str]] = {
    "date": re.compile(rf"(?<!\d){YEAR}[-./_]?{MONTH}[-./_]?{DAY}(?!\d)|(?<!\d){DAY}[-./_]{MONTH}[-./_]{YEAR}(?!\d)"),
    "digits": re.compile(r"\d{6,}"),
    "uid": re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}"),
    "caret": re.compile(r"\^"),
    "email": re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}\.[A-Za-z0-9-]"),
    "phone": re.compile(r"\+?\d{2,5}(?:[-/. ]\d{2,5}){2,}"),
}
# The edge's model is named by its maker, and versions, digests and certificates hold dates and long numbers.
OF_A_MODEL = ("uid", "caret", "email")
ORDINARY = re.compile(r'"[0-9a-f]{32}(?:[0-9a-f]{32})?"|(?<=[:,\[])-?\d{1,5}\.\d+(?:e[+-]?\d+)?(?=[,}\]])')


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message as far as it is believed.

    code      "" when the document is; else why it is not
    case_id   of a case, also of one that is not believed, if exactly one can be read; "" otherwise
    document  what was said; None when it is not believed
    identity  it bears what looks like identity: its bytes are not kept here
    """

    device_id: str
    kind: Kind
    sha256: str
    code: str
    case_id: str
    document: Case | Taken | Roll | None
    identity: bool


def read(topic: str, payload: bytes) -> Inbound:
    """Reads one message; never raises, whatever the bytes are."""
    sha256 = hashlib.sha256(payload).hexdigest()
    match = TOPIC.fullmatch(topic)
    if match is None:
        return Inbound("", "unknown", sha256, "message-invalid", "", None, identity_in_bytes(payload))
    device_id, kind = match.groups()
    if kind == "case":
        return _read_case(device_id, payload, sha256)
    try:
        document: Taken | Roll = decode(Taken, payload) if kind == "taken" else decode(Roll, payload)
    except Quarantined as fault:
        return Inbound(device_id, _kind(kind), sha256, fault.code, "", None, identity_in_bytes(payload))
    return Inbound(device_id, _kind(kind), sha256, "", "", document, False)


def _kind(word: str) -> Kind:
    return "taken" if word == "taken" else "roll"


def _read_case(device_id: str, payload: bytes, sha256: str) -> Inbound:
    try:
        case = decode_case(payload)
    except Quarantined:
        ids = set(CASE_ID.findall(payload[:CASE_BYTES_MAX]))
        case_id = ids.pop().decode() if len(ids) == 1 else ""
        return Inbound(device_id, "case", sha256, "case-invalid", case_id, None, identity_in_bytes(payload))
    if identity_in_case(case):
        return Inbound(device_id, "case", sha256, "case-identity", case.case_id, None, True)
    return Inbound(device_id, "case", sha256, "", case.case_id, case, False)


def identity_in(text: str) -> str | None:
    """The name of the first pattern of IDENTITY that the text matches, None when there is none."""
    return next((name for name, pattern in IDENTITY.items() if pattern.search(text)), None)


def identity_in_bytes(data: bytes) -> bool:
    """The same for bytes that are no case; the hex digests and decimal fractions every case bears are left out."""
    return identity_in(ORDINARY.sub(" ", data.decode("utf-8", "replace"))) is not None


def identity_in_case(case: Case) -> str | None:
    """Looks through every coded term and number of a case, its own digests left out.

    A number counts as identity when it is whole and has seven digits or more: a score or measure is no such thing.
    """
    terms = [case.modality, case.body_part, case.view, *case.reasons, *case.gates]
    numbers = [*case.gates.values()]
    for finding in case.findings:
        terms.append(finding.label)
        numbers += [finding.logit, finding.probability or 0.0]
    found = next(filter(None, map(identity_in, terms)), None)
    if found is None and case.model is not None:
        of_model = " ".join((case.model.name, case.model.version, case.model.certificate or ""))
        found = next((name for name in OF_A_MODEL if IDENTITY[name].search(of_model)), None)
    if found is None and any(number.is_integer() and abs(number) >= 1_000_000 for number in numbers):
        found = "digits"
    return found
