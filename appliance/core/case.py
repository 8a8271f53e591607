"""What crosses the wire: cases up, receipts and verdicts down, as strict documents with a schema and limits.

A case says what the edge measured and why it would not decide; it names no patient, no date, no institution and
bears no pixels. Every message is read by a strict model with a limit on every length: an unknown field, a stranger's
type or a longer list is refused, on both sides. Canonical JSON, so that equal documents are equal bytes.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.core.study import Scores
from appliance.errors import Quarantined

CASE_BYTES_MAX = 64 * 1024
MESSAGE_BYTES_MAX = 64 * 1024
ROLL_MAX = 500

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,79}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
CaseId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Term = Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{0,16}$")]  # CS of PS3.5 6.2
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Probability = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
Text = Annotated[str, Field(max_length=600)]

# Urgency, weakest first: the centre may raise it and never lower it.
Urgency = Literal["routine", "urgent", "critical"]
URGENCIES: tuple[Urgency, ...] = ("routine", "urgent", "critical")


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Model(Document):
    """The edge model that looked, so that the centre knows what the numbers mean.

    certificate  its digest: its name says the site's
    """

    name: Code
    version: Code
    sha256: Hex64
    certificate: Hex64 | None


class Finding(Document):
    """One score. probability is calibrated for the site, or None: then the logit ranks and says no more."""

    id: Annotated[str, Field(pattern=r"^F[1-9][0-9]?$")]
    label: Code
    logit: Finite
    probability: Probability | None


class Case(Document):
    """A hard study, as it leaves: tier 0 of docs/wire-protocol.md, findings and gates only."""

    schema_version: Literal["case/1"] = "case/1"
    case_id: CaseId
    revision: Annotated[int, Field(ge=1, le=10_000)]
    urgency: Urgency
    modality: Term
    body_part: Term
    view: Term
    images: Annotated[int, Field(ge=0, le=100_000)]
    reasons: Annotated[tuple[Code, ...], Field(max_length=20)]
    would_be: Literal["cleared", "flagged", "escalated"] | None
    findings: Annotated[tuple[Finding, ...], Field(max_length=20)]
    gates: Annotated[dict[Code, Finite], Field(max_length=20)]
    model: Model | None


class Receipt(Document):
    """The centre holds this case durably: only now may the edge let go of the bytes."""

    schema_version: Literal["receipt/1"] = "receipt/1"
    case_id: CaseId
    part_sha256: Hex64


class Refusal(Document):
    """The centre will not take this case: a person here must look."""

    schema_version: Literal["refusal/1"] = "refusal/1"
    case_id: CaseId
    code: Code


class Opinion(Document):
    """What the centre says of one finding code, citing the evidence it was given."""

    label: Code
    assessment: Literal["present", "uncertain", "absent"]
    evidence: Annotated[tuple[Code, ...], Field(max_length=20)]


class Guard(Document):
    """One deterministic check on the language model's answer."""

    name: Code
    passed: bool
    detail: Code | None


class Reader(Document):
    """Who answered, in full: model, server, prompt."""

    model: Annotated[str, Field(max_length=120)]
    server: Annotated[str, Field(max_length=120)]
    prompt_sha256: Hex64
    connected: bool  # False: no language model is connected, the words are a fixed notice


class Verdict(Document):
    """The centre's draft: never final, a clinician signs."""

    schema_version: Literal["verdict/1"] = "verdict/1"
    case_id: CaseId
    rev: Annotated[int, Field(ge=1, le=10_000)]
    status: Literal["ok", "needs_human"]
    urgency: Urgency
    opinions: Annotated[tuple[Opinion, ...], Field(max_length=20)]
    impression: Text
    limitations: Annotated[tuple[Text, ...], Field(max_length=10)]
    guards: Annotated[tuple[Guard, ...], Field(max_length=20)]
    reader: Reader


class Taken(Document):
    """The edge holds this verdict durably: the centre may stop sending it."""

    schema_version: Literal["taken/1"] = "taken/1"
    case_id: CaseId
    rev: Annotated[int, Field(ge=1, le=10_000)]


class Roll(Document):
    """The edge asks how its open cases stand at the centre; the answer repeats what went missing."""

    schema_version: Literal["roll/1"] = "roll/1"
    case_ids: Annotated[tuple[CaseId, ...], Field(max_length=ROLL_MAX)]


class Standing(Document):
    """How those cases stand at the centre, one word each."""

    schema_version: Literal["standing/1"] = "standing/1"
    cases: Annotated[dict[CaseId, Literal["unknown", "received", "answered", "refused"]], Field(max_length=ROLL_MAX)]


M = TypeVar("M", bound=Document)


def case_id(site_key: bytes, study_instance_uid: str, revision: int) -> str:
    """The case's name everywhere beyond phi/: HMAC-SHA256 under the site key, 128 bits in hex (RFC 2104)."""
    said = f"case/1|{study_instance_uid}|{revision}".encode()
    return hmac.new(site_key, said, hashlib.sha256).hexdigest()[:32]


# Defined terms that may leave (PS3.3 C.7.3.1.1.1, PS3.16 Annex L, PS3.3 C.8.1.1). Any other word leaves as "": a term
# that nobody defined may be a name.
MODALITIES = frozenset(("CR", "CT", "DX", "ES", "IO", "MG", "MR", "NM", "OP", "OT", "PT", "PX", "RF", "RG", "US", "XA"))
BODY_PARTS = frozenset(
    ("ABDOMEN", "ANKLE", "BRAIN", "BREAST", "CHEST", "CSPINE", "ELBOW", "EXTREMITY", "FINGER", "FOOT", "HAND", "HEAD")
) | frozenset(
    ("HEART", "HIP", "KNEE", "LEG", "LSPINE", "NECK", "PELVIS", "SHOULDER", "SKULL", "SPINE", "THUMB", "TOE", "TSPINE")
)
VIEWS = frozenset(("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "CC", "MLO", "ML", "LM"))
# What a case says whoever the patient is: Mrs Case of a hip revision is not named by the keys of her document.
VOCABULARY = (
    frozenset(field for kind in (Case, Finding, Model) for field in kind.model_fields)
    | frozenset(("case/1", "cleared", "flagged", "escalated", *URGENCIES))
    | MODALITIES
    | BODY_PARTS
    | VIEWS
)


def compose(
    *,
    case_id: str,
    revision: int,
    modality: str,
    body_part: str,
    view: str,
    images: int,
    urgency: Urgency,
    reasons: Sequence[str],
    would_be: Literal["cleared", "flagged", "escalated"] | None,
    scores: Sequence[Scores],
    label: str,
    model: Model | None,
) -> Case:
    """A hard study as a case; raises Quarantined("message-invalid") if a value cannot be one, as NaN cannot.

    modality, body_part, view  out of the de-identified header; what is no defined term leaves as ""
    reasons                    codes only: their sentences stay here
    scores                     of the model named; one finding each
    """
    findings = tuple(
        {"id": f"F{place}", "label": label, "logit": score.logit, "probability": score.calibrated}
        for place, score in enumerate(scores, 1)
    )
    gates = {name: value for score in scores for name, value in score.gates.items()}
    try:
        return Case(
            case_id=case_id,
            revision=revision,
            urgency=urgency,
            modality=modality if modality in MODALITIES else "",
            body_part=body_part if body_part in BODY_PARTS else "",
            view=view if view in VIEWS else "",
            images=images,
            reasons=tuple(reasons),
            would_be=would_be,
            findings=tuple(Finding.model_validate(finding) for finding in findings),
            gates=gates,
            model=model,
        )
    except ValidationError:
        raise Quarantined("message-invalid", "Case") from None


@dataclass(frozen=True, slots=True)
class Sealed:
    """The finished bytes of one case and their SHA-256 in hex, by which the part is stored and acknowledged."""

    case_id: str
    data: bytes
    sha256: str


def seal(case: Case) -> Sealed:
    """A case's final bytes, made once: what is sent again is these bytes again."""
    data = encode(case)
    if len(data) > CASE_BYTES_MAX:
        raise Quarantined("case-too-large")
    return Sealed(case.case_id, data, hashlib.sha256(data).hexdigest())


def encode(document: Document) -> bytes:
    """Canonical JSON in UTF-8: sorted keys, no blanks, no NaN."""
    plain: Any = document.model_dump(mode="json")
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode(kind: type[M], data: bytes) -> M:
    """A stranger's message as a strict document, or Quarantined("message-invalid"): nothing of it is believed."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise Quarantined("message-invalid", kind.__name__)
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        raise Quarantined("message-invalid", kind.__name__) from None


# Topics: nothing in them but the device's name on the wire and the kind of message.
UP_KINDS = ("case", "taken", "roll")
DOWN_KINDS = ("receipt", "refusal", "verdict", "standing")


def topic_up(device_id: str, kind: Literal["case", "taken", "roll"]) -> str:
    return f"edge/1/up/{device_id}/{kind}"


def topic_down(device_id: str, kind: Literal["receipt", "refusal", "verdict", "standing"]) -> str:
    return f"edge/1/down/{device_id}/{kind}"
