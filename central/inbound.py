"""What came from an edge, read as a stranger's: topic, sender, seal, schema, canonical form, and a look for identity.

Pure. It believes nothing of a message that is not from the very device in its topic. Identity should never arrive: the
edge inspects what leaves. This scan is another pair of eyes and shares no code with that inspector. A picture is held
to be nothing but coded samples before anything decodes it; what is written in it is not read here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from appliance.core.case import Case, decode_case
from appliance.core.correction import REVS_MAX, Correction, decode_correction
from appliance.core.document import URGENCIES, Document, decode, head_of, is_newer
from appliance.core.drafting.signs import IDENTITY, identity_in
from appliance.core.keys import DeviceKeys, PrivateKeys
from appliance.core.letter import opened
from appliance.core.messages import UP_DOCUMENTS, UP_KINDS, Gone, Roll, Status, Taken, partition
from appliance.core.transfer import Manifest, Part, read_part_message
from appliance.errors import Quarantined

TOPIC = re.compile(rf"edge/2/up/([0-9a-f]{{2}})/([a-z0-9-]{{3,40}})/({'|'.join(UP_KINDS)})")
NAME = re.compile(r"[0-9a-f]{32}")
LETTERS: Mapping[str, type[Document]] = UP_DOCUMENTS
OF_TRIAGE = ("manifest", "correction")  # kinds that triage signs; uplink signs the others

# The edge's model is named by its maker, and versions, digests and certificates hold dates and long numbers.
OF_A_MODEL = ("uid", "caret", "email")
ORDINARY = re.compile(r'"[0-9a-f]{32}(?:[0-9a-f]{32})?"|(?<=[:,\[])-?\d{1,5}\.\d+(?:e[+-]?\d+)?(?=[,}\]])')


@dataclass(frozen=True, slots=True)
class Keyring:
    """Whose letters are opened: the centre's own keys, and those of every enrolled device by its name."""

    own: Sequence[PrivateKeys] = field(repr=False)
    device: Callable[[str], DeviceKeys | None]


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message as far as it is believed.

    device_id  "" when it is from nobody we know
    kind       "unknown" for a topic that is none of ours
    code       "" when it is believed, else why not
    said       what was said; None when it is not believed
    newer      of a later edition what every edition of it names alike, so that its sender hears why it is not taken:
               case and transfer of a manifest, key and rev of a correction
    """

    device_id: str
    kind: str
    code: str
    said: Manifest | Taken | Roll | Status | Gone | Correction | Part | None
    newer: tuple[str, str] | tuple[str, int] | None = None


def read(topic: str, payload: bytes, keyring: Keyring) -> Inbound:
    """Reads one message; never raises, whatever the bytes are."""
    match = TOPIC.fullmatch(topic)
    if match is None:
        return Inbound("", "unknown", "message-invalid", None)
    place, device_id, kind = match.groups()
    device = keyring.device(device_id)
    if device is None or partition(device_id) != place:
        return Inbound("", kind, "not-enrolled" if device is None else "message-invalid", None)
    try:
        if kind == "part":
            return Inbound(device_id, kind, "", read_part_message(payload))
        sender = device.triage if kind in OF_TRIAGE else device.uplink
        text = opened(payload, place=topic, senders=(sender,), recipients=keyring.own)
        if kind == "manifest" and is_newer(Manifest, text):
            return Inbound(device_id, kind, "message-newer", None, _names(text))
        if kind == "correction" and is_newer(Correction, text):
            return Inbound(device_id, kind, "message-newer", None, _rev(text))
        said = decode_correction(text) if kind == "correction" else decode(LETTERS[kind], text)
    except Quarantined as fault:
        return Inbound(device_id, kind, fault.code, None)
    assert isinstance(said, Manifest | Taken | Roll | Status | Gone | Correction), "one of LETTERS"
    return Inbound(device_id, kind, "", said)


def _names(manifest: bytes) -> tuple[str, str] | None:
    """What every edition of a manifest names alike."""
    head = head_of(manifest)
    names = (str(head.get("case_id")), str(head.get("transfer_id")))
    return names if all(NAME.fullmatch(name) for name in names) else None


def _rev(correction: bytes) -> tuple[str, int] | None:
    """Likewise of a correction."""
    head = head_of(correction)
    key, rev = str(head.get("key")), head.get("rev")
    return (key, rev) if NAME.fullmatch(key) and type(rev) is int and 1 <= rev <= REVS_MAX else None


@dataclass(frozen=True, slots=True)
class CaseRead:
    """A case document as far as it is believed.

    case      None when it is not
    code      why not; "" when it is
    identity  it bears what looks like identity: its bytes are not kept here
    """

    case: Case | None
    code: str
    identity: bool


def read_case(document: bytes, manifest: Manifest) -> CaseRead:
    """Reads what a transfer brought; never raises. It must be the case of which its manifest speaks."""
    try:
        case = decode_case(document)
    except Quarantined as fault:
        code = fault.code if fault.code == "message-newer" else "case-invalid"
        return CaseRead(None, code, identity_in_bytes(document))
    if identity_in_case(case):
        return CaseRead(None, "case-identity", True)
    # A manifest may be in more of a hurry than what was found: somebody asked for the study at once.
    if case.case_id != manifest.case_id or URGENCIES.index(case.urgency) > URGENCIES.index(manifest.urgency):
        return CaseRead(None, "case-invalid", False)
    return CaseRead(case, "", False)


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
