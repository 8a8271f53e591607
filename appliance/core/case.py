"""What crosses the wire sealed: cases up and verdicts down, as strict documents with a schema and limits.

A case says what the edge measured, why it would not decide, and shows a few pictures out of cleaned objects; it names
no patient, no date and no institution. It bears no features of a network either: pictures can be made from them again,
so they would be treated as identity. Every message is read by a strict model with a limit on every length: an
unknown field, a stranger's type or a longer list is refused, on both sides, and so is a picture that is more than a
picture. Canonical JSON, so that equal documents are equal bytes.
"""

import base64
import hashlib
import hmac
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from appliance.core.document import (
    URGENCIES,
    CaseId,
    Code,
    Document,
    Finite,
    Hex64,
    KeyId,
    Probability,
    Pseudonym,
    Signature,
    Term,
    Text,
    Urgency,
    decode,
    encode,
)
from appliance.core.picture import SIDE_PX_MAX, MediaType, shape_of
from appliance.errors import Quarantined

CASE_BYTES_MAX = 384 * 1024
ANSWER_WITHIN_S_MAX = 30 * 86_400
KEY_IMAGES_MAX = 6

Pixels = Annotated[int, Field(ge=1, le=SIDE_PX_MAX)]


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


class Characteristics(Document):
    """What a reader must know of a body, as the cleaned header says it; empty or null where it does not.

    age  AS of PS3.5 6.2; over 89 years it is 090Y
    """

    age: Annotated[str, Field(pattern=r"^(?:(?:0[0-8][0-9]|090)Y|[0-9]{3}[DWM]|)$")]
    sex: Literal["M", "F", "O", ""]
    size_m: Annotated[float, Field(allow_inf_nan=False, ge=0.1, le=3)] | None
    weight_kg: Annotated[float, Field(allow_inf_nan=False, ge=0.1, le=700)] | None


# The grey scale of a key image: a window by its usual name, the header's own, the middle 99 % of values, or colour.
Window = Literal["brain", "bone", "lung", "mediastinum", "soft-tissue", "header", "percentiles", ""]


class KeyImage(Document):
    """One picture out of a cleaned object. It has no part that is not a coded sample, and is what its digest says.

    sop_instance_uid  pseudonym of the object
    frame             of the object; place: among all frames of the study; both count from 1
    data              base64 (RFC 4648 4)
    """

    id: Annotated[str, Field(pattern=r"^I[1-9]$")]
    sop_instance_uid: Pseudonym
    frame: Annotated[int, Field(ge=1, le=10_000_000)]
    place: Annotated[int, Field(ge=1, le=10_000_000)]
    rows: Pixels
    columns: Pixels
    window: Window
    media_type: MediaType
    sha256: Hex64
    data: Annotated[str, Field(max_length=CASE_BYTES_MAX)]

    @model_validator(mode="after")
    def _is_a_picture(self) -> "KeyImage":
        """Raises ValueError, which pydantic makes its own, where the data are not the picture that is announced."""
        picture = self.picture()
        if base64.b64encode(picture).decode() != self.data or hashlib.sha256(picture).hexdigest() != self.sha256:
            raise ValueError("other bytes than announced")
        if shape_of(picture, self.media_type)[:2] != (self.rows, self.columns):
            raise ValueError("a picture of another size")
        return self

    def picture(self) -> bytes:
        """The encoded picture."""
        return base64.b64decode(self.data, validate=True)


class Stamp(Document):
    """What ties a case to the receipt of its de-identification, which stays at the hospital.

    sha256     of the receipt's bytes
    signature  Ed25519 over these bytes (RFC 8032), hex
    key_id     the first half of the SHA-256 of the public key
    """

    sha256: Hex64
    signature: Signature
    key_id: KeyId


class Case(Document):
    """A hard study, as it leaves: findings and gates (tier 0), key images (tier 1) and what a reader must know.

    case_id          names the case on both sides of the wire and makes it count once: idempotency key, correlation id
    answer_within_s  seconds from its sealing until its verdict is overdue
    frames           of all images of the study together
    key_images_shed  pictures that were made and had no room, or were left out to go without
    receipt          of the de-identification; null where none was made
    """

    bytes_max: ClassVar[int] = CASE_BYTES_MAX
    schema_version: Literal["case/3"] = "case/3"
    case_id: CaseId
    revision: Annotated[int, Field(ge=1, le=10_000)]
    urgency: Urgency
    answer_within_s: Annotated[int, Field(ge=1, le=ANSWER_WITHIN_S_MAX)] = 3600
    modality: Term
    body_part: Term
    view: Term
    images: Annotated[int, Field(ge=0, le=100_000)]
    reasons: Annotated[tuple[Code, ...], Field(max_length=20)]
    would_be: Literal["cleared", "flagged", "escalated"] | None
    findings: Annotated[tuple[Finding, ...], Field(max_length=20)]
    gates: Annotated[dict[Code, Finite], Field(max_length=20)]
    model: Model | None
    patient: Characteristics = Characteristics(age="", sex="", size_m=None, weight_kg=None)
    frames: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    key_images: Annotated[tuple[KeyImage, ...], Field(max_length=KEY_IMAGES_MAX)] = ()
    key_images_shed: Annotated[int, Field(ge=0, le=KEY_IMAGES_MAX)] = 0
    receipt: Stamp | None = None


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
    frozenset(field for kind in (Case, Finding, Model, Characteristics, KeyImage, Stamp) for field in kind.model_fields)
    | frozenset(("case/3", "cleared", "flagged", "escalated", *URGENCIES))
    | frozenset((*get_args(Window), *get_args(MediaType)))
    | MODALITIES
    | BODY_PARTS
    | VIEWS
)


def without_pictures(case: Case) -> Case:
    """The same case as it goes when there is no room for pictures (tier 0)."""
    return case.model_copy(update={"key_images": (), "key_images_shed": len(case.key_images) + case.key_images_shed})


def final(case: Case) -> bytes:
    """A case's final bytes. Raises Quarantined("case-too-large")."""
    data = encode(case)
    if len(data) > CASE_BYTES_MAX:
        raise Quarantined("case-too-large")
    return data


def decode_case(data: bytes) -> Case:
    """A stranger's case; Quarantined("message-invalid") like `decode`.

    Equal documents are equal bytes: another spelling (a key said twice) could mean two things to two readers.
    """
    case = decode(Case, data)
    if encode(case) != data:
        raise Quarantined("message-invalid", "Case")
    return case
