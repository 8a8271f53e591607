"""What a signer said of one study, as material for training: coded, without a date, and never evidence.

A correction is selected: somebody opened that study because of what the machine said of it, or saw that before they
decided. So it may train and can never certify; `selection` says so in every document, core.labels refuses such a
table. It has no words of a reader, no name, no UID and no day. The reader's note and addenda stay at the hospital: of
addenda it says how many there are. A finding whose label has no code is counted and not named.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from appliance.core.decision_reasons import FINDING_SAID, FINDINGS_MAX, OF_DECISION
from appliance.core.document import URGENCIES, CaseId, Code, Document, Finite, Hex64, Urgency, decode, encode
from appliance.errors import Quarantined

ADDENDA_MAX = 100
REVS_MAX = 10_000
Decided = Literal["agree", "disagree", "cannot_tell"]
Lane = Literal["cleared", "flagged", "escalated"]
Judgement = Literal["right", "wrong", "cannot_tell"]
Impression = Literal["finding", "nothing", "cannot_tell"]
Selection = Literal["worklist"]
# How a signature names a decision -> how a correction does.
DECIDED: Mapping[str, Decided] = {"agree": "agree", "correct": "disagree", "cannot_tell": "cannot_tell"}
REASONS = frozenset(code for codes in OF_DECISION.values() for code in codes)
# Verhoeff's check digit, the last one of every SNOMED CT identifier: the dihedral group D5, a permutation's powers.
_TIMES = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
_TURNED = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


class Label(Document):
    """A finding by its code, whose shape alone says that it is one and no number of a patient.

    code  of SNOMED CT with its check digit, or of RadLex
    """

    scheme: Literal["SCT", "RADLEX"]
    code: Annotated[str, Field(pattern=r"^(?:[1-9][0-9]{5,17}|RID[0-9]{1,6})$")]

    @model_validator(mode="after")
    def _is_a_code(self) -> "Label":
        """Raises ValueError, which pydantic makes its own."""
        if not is_code(self.scheme, self.code):
            raise ValueError("no code of this scheme")
        return self


class Scorer(Document):
    """The edge's model that looked for a finding, and what it measured.

    title             name/version
    graphs_sha256     of the graphs that ran
    exit              of the network, from 1: whose logit this is
    certificate_plan  digest of the plan of the certificate that was asked, valid or not; null where there is none
    """

    title: Code
    graphs_sha256: Hex64
    exit: Annotated[int, Field(ge=1, le=8)]
    logit: Finite
    certificate_plan: Hex64 | None


class Judged(Document):
    """One finding, as somebody proposed it, and what the signer said of it.

    said    null: nothing by itself
    scorer  null: the centre's draft proposed it, or the model that looked is not known any more
    """

    label: Label
    said: Judgement | None
    scorer: Scorer | None


class Correction(Document):
    """What the signer of a study said, for training only. Of one key the greatest rev stands.

    key         of the study at this site: idempotency key together with rev
    case_id     of the revision that was signed, as in its case; a study that never left has one, too
    selection   always worklist: no such document can be evidence for a certificate
    reason      of the closed list, or empty
    urgency     the higher one of edge and centre, as the signer saw it
    saw_ai      what the machine said was on the page before the decision
    impression  what this reader wrote down before the machine's word was shown; null where nothing was
    uncoded     findings that were judged and whose label has no code: they are not named
    addenda     how often words were added after the signature: the answer may not be the last word
    year        of the signature, UTC
    """

    schema_version: Literal["correction/1"] = "correction/1"
    key: CaseId
    rev: Annotated[int, Field(ge=1, le=REVS_MAX)]
    case_id: CaseId
    revision: Annotated[int, Field(ge=1, le=10_000)]
    selection: Selection = "worklist"
    decision: Decided
    reason: Annotated[str, Field(pattern=r"^[a-z-]{0,40}$")]
    lane: Lane
    urgency: Urgency
    saw_ai: bool
    impression: Impression | None
    findings: Annotated[tuple[Judged, ...], Field(max_length=FINDINGS_MAX)]
    uncoded: Annotated[int, Field(ge=0, le=FINDINGS_MAX)]
    addenda: Annotated[int, Field(ge=0, le=ADDENDA_MAX)]
    year: Annotated[int, Field(ge=1970, le=2199)]

    @model_validator(mode="after")
    def _of_the_list(self) -> "Correction":
        """Raises ValueError, which pydantic makes its own."""
        given = next(said for said, decided in DECIDED.items() if decided == self.decision)
        if self.reason and self.reason not in OF_DECISION[given]:
            raise ValueError("a reason of another list")
        return self


# What a correction says whoever the patient is.
VOCABULARY = (
    frozenset(field for kind in (Correction, Judged, Scorer, Label) for field in kind.model_fields)
    | frozenset(("correction/1", *URGENCIES, *REASONS, *FINDING_SAID))
    | frozenset(word for kind in (Decided, Lane, Judgement, Impression, Selection) for word in get_args(kind))
    | frozenset(("SCT", "RADLEX"))
)


@dataclass(frozen=True, slots=True)
class Named:
    """A finding by the name under which a reader is asked about it. label: None where it has no code."""

    name: str
    label: Label | None
    scorer: Scorer | None = None


def key_of(site_key: bytes, study_instance_uid: str) -> str:
    """Names what is said of a study, whatever its revision: HMAC-SHA256 under the site key, 128 bits in hex."""
    said = f"correction/1|{study_instance_uid}".encode()
    return hmac.new(site_key, said, hashlib.sha256).hexdigest()[:32]


def label_of(scheme: str, code: str) -> Label | None:
    """A model's label as a code that may leave; None where it is none of its scheme."""
    if not is_code(scheme, code):
        return None
    return Label(scheme="SCT" if scheme == "SCT" else "RADLEX", code=code)


def is_code(scheme: str, code: str) -> bool:
    """Whether this is a concept's identifier: of RadLex by its prefix, of SNOMED CT by its check digit."""
    if scheme == "RADLEX":
        return code.startswith("RID") and code[3:].isascii() and code[3:].isdigit() and len(code) <= 9
    if scheme != "SCT":
        return False
    if not (code.isascii() and code.isdigit() and 6 <= len(code) <= 18 and code[0] != "0"):
        return False
    check = 0
    for place, digit in enumerate(reversed(code)):
        check = int(_TIMES[check][int(_TURNED[place % 8][int(digit)])])
    return check == 0


def judged(known: Sequence[Named], said: Mapping[str, str]) -> tuple[tuple[Judged, ...], int]:
    """Findings as they leave, and how many were judged that have no code.

    known  what the models here look for, those first that looked at this study: each of these is told, judged or not
    said   what the reader said of each finding, by the name on the page
    """
    left = {_plain(name): judgement for name, judgement in said.items() if judgement in FINDING_SAID}
    found: list[Judged] = []
    for each in known:
        judgement = left.pop(_plain(each.name), None) if each.label is not None else None
        if each.label is not None and (judgement is not None or each.scorer is not None):
            found.append(Judged(label=each.label, said=judgement, scorer=each.scorer))  # type: ignore[arg-type]
    kept = found[:FINDINGS_MAX]
    return tuple(kept), min(len(left) + len(found) - len(kept), FINDINGS_MAX)


def _plain(name: str) -> str:
    """As the page does: one finding, however its name is written."""
    return name.casefold().replace("-", " ").replace("_", " ")


def year_of(at: float) -> int:
    """The year of a moment (s since 1970), UTC. No finer: every other part of a date names a person's visit."""
    return datetime.fromtimestamp(at, UTC).year


def with_addendum(before: Correction) -> Correction:
    """The same answer, to which words were added since."""
    assert before.addenda < ADDENDA_MAX
    return before.model_copy(update={"rev": before.rev + 1, "addenda": before.addenda + 1})


def decode_correction(data: bytes) -> Correction:
    """A stranger's correction; Quarantined("message-invalid") like `decode`. Equal documents are equal bytes."""
    found = decode(Correction, data)
    if encode(found) != data:
        raise Quarantined("message-invalid", "Correction")
    return found
