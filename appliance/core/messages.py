"""What edge and centre say to each other about cases, besides the cases and the verdicts: small strict documents.

Each travels in a letter (core.letter) on a topic that bears the device's name and the kind, nothing else.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from appliance.core.bulletin import Bulletin
from appliance.core.command import Command
from appliance.core.correction import REVS_MAX, Correction
from appliance.core.document import CaseId, Code, Document, Hex64
from appliance.core.transfer import PARTS_MAX, Manifest

PARTITIONS = 64
ROLL_MAX = 500
ROLL_TRANSFERS_MAX = 50
VERDICT_LETTER_LENGTH_MAX = 96 * 1024
COUNT_MAX = 1_000_000
STATUS_NUMBER_MAX = 2**53
STATUS_PERIOD_S = 180  # between two statuses of one appliance
WILL_DELAY_S = 60  # a line that comes back within it was never gone
REFUSED_MAX = 3  # transfers of one case and tier that the centre may lose; then a person looks
OF_THE_TRANSFER = frozenset({"part-invalid"})  # codes of a refusal that speak of one transfer's bytes, not of its case

UpKind = Literal["manifest", "part", "taken", "roll", "status", "gone", "correction"]
UP_KINDS: tuple[UpKind, ...] = get_args(UpKind)
DownKind = Literal["receipt", "have", "refusal", "verdict", "standing", "request", "command", "filed"]
DOWN_KINDS: tuple[DownKind, ...] = get_args(DownKind)


class Receipt(Document):
    """The centre holds this case durably, as this transfer brought it: only now may the edge let go of the bytes.

    sha256  of all sealed bytes of the transfer
    """

    schema_version: Literal["receipt/2"] = "receipt/2"
    case_id: CaseId
    transfer_id: CaseId
    sha256: Hex64


class Have(Document):
    """Which parts of a transfer the centre holds durably; the others are sent again.

    known  False: the centre has no manifest of this transfer, so that its parts cannot be taken in
    have   hexadecimal number whose bit i stands for part i
    """

    schema_version: Literal["have/1"] = "have/1"
    transfer_id: CaseId
    known: bool
    have: Annotated[str, Field(pattern=rf"^[0-9a-f]{{1,{PARTS_MAX // 4}}}$")]


class Refusal(Document):
    """The centre will not take this transfer.

    code  `part-invalid`: these bytes were lost at the centre, the case is not refused and is sealed and sent anew; any
          other: the centre will not take the case, and a person here must look
    """

    schema_version: Literal["refusal/2"] = "refusal/2"
    case_id: CaseId
    transfer_id: CaseId
    code: Code


class Delivery(Document):
    """A verdict on its way: what uplink must know of it, and a letter to triage that uplink cannot read.

    letter  base64 (RFC 4648 4); the centre wrote it once and sends the same again
    """

    bytes_max: ClassVar[int] = VERDICT_LETTER_LENGTH_MAX + 1024
    schema_version: Literal["delivery/1"] = "delivery/1"
    case_id: CaseId
    rev: Annotated[int, Field(ge=1, le=10_000)]
    letter: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=VERDICT_LETTER_LENGTH_MAX)]


class Taken(Document):
    """The edge holds this verdict durably: the centre may stop sending it."""

    schema_version: Literal["taken/1"] = "taken/1"
    case_id: CaseId
    rev: Annotated[int, Field(ge=1, le=10_000)]


class Roll(Document):
    """The edge asks how its open cases and half-sent transfers stand; the answer repeats what went missing.

    nonce  drawn at random: only the standing that bears it answers this roll
    """

    schema_version: Literal["roll/2"] = "roll/2"
    nonce: CaseId
    case_ids: Annotated[tuple[CaseId, ...], Field(max_length=ROLL_MAX)]
    transfer_ids: Annotated[tuple[CaseId, ...], Field(max_length=ROLL_TRANSFERS_MAX)]


class Standing(Document):
    """How those cases stand at the centre, one word each; the half-sent transfers are answered with what it has."""

    schema_version: Literal["standing/2"] = "standing/2"
    nonce: CaseId
    cases: Annotated[dict[CaseId, Literal["unknown", "received", "answered", "refused"]], Field(max_length=ROLL_MAX)]


class Request(Document):
    """The centre asks for the whole de-identified series of a case; the site's policy says whether it gets it."""

    schema_version: Literal["request/1"] = "request/1"
    case_id: CaseId
    tier: Literal[2]


class Waiting(Document):
    """How many open cases wait for the centre's receipt, by urgency."""

    critical: Annotated[int, Field(ge=0, le=COUNT_MAX)]
    urgent: Annotated[int, Field(ge=0, le=COUNT_MAX)]
    routine: Annotated[int, Field(ge=0, le=COUNT_MAX)]


class Status(Document):
    """The appliance lives, and how full it is: said on every connect and every few minutes. It speaks of no patient.

    number      greater than in every status before it, over restarts too: an older one, heard again, proves nothing
    life        drawn at random at the start of the program: only the `gone` that bears it speaks of this life
    said_at     seconds since 1970 by the appliance's clock
    product     what runs there
    oldest_s    for how long the oldest of those that wait has waited
    free_bytes  what the spool of sealed cases can still take
    line_ends   when the certificate of the line ends, seconds since 1970; null: there is none, or edition 1
    bulletin    what triage says of the whole appliance; null: it has not said anything yet, or edition 1
    """

    schema_version: Literal["status/2", "status/1"] = "status/2"
    number: Annotated[int, Field(ge=1, le=STATUS_NUMBER_MAX)]
    life: CaseId
    said_at: Annotated[int, Field(ge=0, le=2**40)]
    product: Code
    waiting: Waiting
    oldest_s: Annotated[int, Field(ge=0, le=2**31)]
    free_bytes: Annotated[int, Field(ge=0, le=2**60)]
    line_ends: Annotated[int, Field(ge=0, le=2**40)] | None = None
    bulletin: Bulletin | None = None

    @model_validator(mode="after")
    def _edition(self) -> Self:
        if self.schema_version == "status/1" and (self.line_ends is not None or self.bulletin is not None):
            raise ValueError("a field of edition 2")
        return self


class Gone(Document):
    """The last will of an appliance, which the broker says in its name when the line broke and stayed broken.

    life  as in the statuses of the same life: the will of an earlier life says nothing about this one
    """

    schema_version: Literal["gone/1"] = "gone/1"
    life: CaseId


class Filed(Document):
    """The centre has filed this correction durably, or says why it never will: it need not be sent any more.

    letter_sha256  of the letter that brought it
    code           why not; null where it is filed
    """

    schema_version: Literal["filed/1"] = "filed/1"
    key: CaseId
    rev: Annotated[int, Field(ge=1, le=REVS_MAX)]
    letter_sha256: Hex64
    code: Code | None


# Which document travels under which kind: the one list that both ends parse by and that the printed page is made from.
# A part is no document.
UP_DOCUMENTS: Mapping[str, type[Document]] = {
    "manifest": Manifest,
    "taken": Taken,
    "roll": Roll,
    "status": Status,
    "gone": Gone,
    "correction": Correction,
}
DOWN_DOCUMENTS: Mapping[str, type[Document]] = {
    "receipt": Receipt,
    "have": Have,
    "refusal": Refusal,
    "verdict": Delivery,
    "standing": Standing,
    "request": Request,
    "command": Command,
    "filed": Filed,
}


def partition(device_id: str) -> str:
    """Which of the centre's partitions a device belongs to: two hex digits, below PARTITIONS."""
    return f"{hashlib.sha256(device_id.encode()).digest()[0] % PARTITIONS:02x}"


def topic_up(device_id: str, kind: UpKind) -> str:
    return f"edge/2/up/{partition(device_id)}/{device_id}/{kind}"


def topic_down(device_id: str, kind: DownKind) -> str:
    return f"edge/2/down/{device_id}/{kind}"


def topic_desired(ring: str) -> str:
    """Where the centre leaves, retained, that a ring has updates: a hint to look sooner, which nobody reads further."""
    return f"edge/2/updates/{ring}/desired"


def verdict_place(device_id: str, case_id: str, rev: int) -> str:
    """For which the inner letter of a verdict is written."""
    return f"verdict/{device_id}/{case_id}/{rev}"
