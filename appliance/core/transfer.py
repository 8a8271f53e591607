"""One sealed thing on its way to the centre: a manifest that only the centre can read, and parts of 48 KiB.

A transfer is encrypted once, under a key of its own that stands in its manifest, and stored; what is sent again is the
same bytes. Every part proves itself: it decrypts only as this part of this transfer, and only the last one as the last,
so that nothing can be left out, put in another order or cut off unseen (the STREAM construction of Hoang, Reyhanitabar,
Rogaway and Vizár, CRYPTO 2015). The nonce is the part's index: the key is never used for anything else.

    part message:  EDP1 | transfer id, 16 B | index, 4 B | AES-256-GCM ciphertext
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field, model_validator

from appliance.core.document import CaseId, Document, Hex64, Urgency
from appliance.errors import Quarantined

PART_BYTES = 48 * 1024  # of what is sealed: 6 s on a line of 64 kbit/s
TAG_BYTES = 16
SEALED_PART_BYTES = PART_BYTES + TAG_BYTES
PARTS_MAX = 32_768  # 1.5 GiB
MAGIC = b"EDP1"
PART_HEAD_BYTES = len(MAGIC) + 16 + 4
KEY_BYTES = 32

Tier = Literal[0, 1, 2]  # findings; findings and key images; the whole de-identified series
Codec = Literal["deflate", "tar+gzip"]  # a case document (RFC 1950); a gzipped tar of DICOM files (RFC 1952)


class Manifest(Document):
    """What the centre must know to take a transfer in: triage writes it, nobody between can read it.

    transfer_id  drawn at random, once
    sealed_bytes  of all sealed parts together; sha256 is over the same
    key          AES-256-GCM, of this transfer only
    """

    bytes_max: ClassVar[int] = 4096
    schema_version: Literal["manifest/1"] = "manifest/1"
    transfer_id: CaseId
    case_id: CaseId
    tier: Tier
    urgency: Urgency
    codec: Codec
    parts: Annotated[int, Field(ge=1, le=PARTS_MAX)]
    sealed_bytes: Annotated[int, Field(ge=TAG_BYTES, le=PARTS_MAX * SEALED_PART_BYTES)]
    sha256: Hex64
    key: Hex64

    @model_validator(mode="after")
    def _adds_up(self) -> "Manifest":
        """Raises ValueError, which pydantic makes its own."""
        if -(-self.sealed_bytes // SEALED_PART_BYTES) != self.parts or (self.codec == "tar+gzip") != (self.tier == 2):
            raise ValueError("parts, bytes and tier do not fit each other")
        return self


@dataclass(frozen=True, slots=True)
class Part:
    """One part message, read but not yet believed."""

    transfer_id: str
    index: int
    ciphertext: bytes


def sealed_parts(data: Iterable[bytes], *, transfer_id: str, key: bytes) -> Iterator[bytes]:
    """The sealed parts of a stream of bytes, in order; never holds more than one part and one piece of the stream.

    raises  Quarantined("case-too-large"): more than PARTS_MAX parts
    """
    cipher, index = AESGCM(key), 0
    buffer = bytearray()
    for piece in data:
        buffer += piece
        while len(buffer) > PART_BYTES:
            yield _encrypt(cipher, transfer_id, index, bytes(buffer[:PART_BYTES]), last=False)
            del buffer[:PART_BYTES]
            index += 1
            if index >= PARTS_MAX:
                raise Quarantined("case-too-large")
    yield _encrypt(cipher, transfer_id, index, bytes(buffer), last=True)


def opened_part(manifest: Manifest, index: int, ciphertext: bytes) -> bytes:
    """What one part holds. Raises Quarantined("part-invalid") for anything but exactly this part of this transfer."""
    if not 0 <= index < manifest.parts or len(ciphertext) != span(index, manifest.sealed_bytes)[1]:
        raise Quarantined("part-invalid")
    aad = _aad(manifest.transfer_id, index, last=index == manifest.parts - 1)
    try:
        return AESGCM(bytes.fromhex(manifest.key)).decrypt(_nonce(index), ciphertext, aad)
    except InvalidTag:
        raise Quarantined("part-invalid") from None


def span(index: int, sealed_bytes: int) -> tuple[int, int]:
    """Where a part lies among all sealed bytes: (offset, length)."""
    offset = index * SEALED_PART_BYTES
    return offset, min(SEALED_PART_BYTES, sealed_bytes - offset)


def part_message(transfer_id: str, index: int, ciphertext: bytes) -> bytes:
    return MAGIC + bytes.fromhex(transfer_id) + index.to_bytes(4, "big") + ciphertext


def read_part_message(payload: bytes) -> Part:
    """A part message as a stranger's. Raises Quarantined("part-invalid")."""
    length = len(payload) - PART_HEAD_BYTES
    if not TAG_BYTES <= length <= SEALED_PART_BYTES or not payload.startswith(MAGIC):
        raise Quarantined("part-invalid")
    index = int.from_bytes(payload[20:24], "big")
    if index >= PARTS_MAX:
        raise Quarantined("part-invalid")
    return Part(payload[4:20].hex(), index, payload[PART_HEAD_BYTES:])


def packed(document: bytes) -> bytes:
    """A document for the road. Pictures stand in it as base64, whose third too many this takes away again."""
    return zlib.compress(document, 6)


def unpacked(data: bytes, bytes_max: int) -> bytes:
    """A document as it was. Raises Quarantined("message-invalid"): no such stream, or one that unpacks to more."""
    inflate = zlib.decompressobj()
    try:
        document = inflate.decompress(data, bytes_max)
    except zlib.error:
        raise Quarantined("message-invalid") from None
    if not inflate.eof or inflate.unused_data or inflate.unconsumed_tail:
        raise Quarantined("message-invalid")
    return document


# Which parts are where, as a number whose bit i stands for part i: 1.5 GiB take 4 KiB.


def all_parts(parts: int) -> int:
    return (1 << parts) - 1


def missing(have: int, parts: int) -> Iterator[int]:
    """Indices of the parts that are not there, in order."""
    lacking = all_parts(parts) & ~have
    while lacking:
        lowest = lacking & -lacking
        yield lowest.bit_length() - 1
        lacking ^= lowest


def _encrypt(cipher: AESGCM, transfer_id: str, index: int, data: bytes, *, last: bool) -> bytes:
    return cipher.encrypt(_nonce(index), data, _aad(transfer_id, index, last=last))


def _nonce(index: int) -> bytes:
    return index.to_bytes(12, "big")


def _aad(transfer_id: str, index: int, *, last: bool) -> bytes:
    return MAGIC + bytes.fromhex(transfer_id) + index.to_bytes(4, "big") + bytes([last])
