"""What every document of this house is made of that crosses a wall: strict, limited, and one spelling only.

A stranger's bytes become a document or Quarantined("message-invalid"): nothing in between is believed.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import Quarantined

MESSAGE_BYTES_MAX = 64 * 1024  # of a document that says nothing else

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,79}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
CaseId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Term = Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{0,16}$")]  # CS of PS3.5 6.2
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Probability = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
Text = Annotated[str, Field(max_length=600)]
Pseudonym = Annotated[str, Field(pattern=r"^2\.25\.[1-9][0-9]{0,38}$")]  # PS3.5 B.2; no UID of a source is under it
KeyId = CaseId  # the first half of the SHA-256 of a public key
Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]  # Ed25519, RFC 8032

# Urgency, weakest first: the centre may raise it and never lower it.
Urgency = Literal["routine", "urgent", "critical"]
URGENCIES: tuple[Urgency, ...] = ("routine", "urgent", "critical")
AGEING_S = 4 * 3600.0  # who waits so long climbs one of them, wherever something waits: never to critical

EDITION = re.compile(r"([a-z-]{1,40})/([1-9][0-9]{0,3})")  # of `schema_version`


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    bytes_max: ClassVar[int] = MESSAGE_BYTES_MAX


M = TypeVar("M", bound=Document)


def encode(document: Document) -> bytes:
    """Canonical JSON in UTF-8: sorted keys, no blanks, no NaN."""
    plain: Any = document.model_dump(mode="json")
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode(kind: type[M], data: bytes) -> M:
    """A stranger's message as a strict document, or Quarantined("message-invalid"): nothing of it is believed.

    "message-newer" instead where it calls itself a later edition: then the two sides are to be brought together.
    """
    if len(data) > kind.bytes_max:
        raise Quarantined("message-invalid", kind.__name__)
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        raise Quarantined("message-newer" if is_newer(kind, data) else "message-invalid", kind.__name__) from None


def is_newer(kind: type[Document], data: bytes) -> bool:
    """Whether bytes call themselves the same document in a later edition than the one that is understood here."""
    field = kind.model_fields.get("schema_version")
    told = head_of(data).get("schema_version")
    match = EDITION.fullmatch(told) if isinstance(told, str) else None
    own = EDITION.fullmatch(str(field.default)) if field is not None else None
    return match is not None and own is not None and match[1] == own[1] and int(match[2]) > int(own[2])


def head_of(data: bytes) -> Mapping[str, Any]:
    """The outermost fields of a document of any edition, unbelieved; empty for what is no JSON object."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
