"""The de-identification receipt: what was done before a case left, signed, for an auditor of this house.

Not to be taken for the wire's `Receipt`, in which the centre says that it holds a case. This one stays here; of it
only a stamp travels. It holds attribute names, rules, counts, boxes and digests, and never a value. It cleans nothing
and judges nothing: that the finished bytes were searched and no identity was found is the inspector's word, quoted.

The key is derived from the site key, so whoever holds that key can make receipts; whoever holds only the public key
can tell that one was not altered.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Field

from appliance.core.case import KEY_IMAGES_MAX, Case, Stamp
from appliance.core.document import CaseId, Code, Document, Hex64, KeyId, Pseudonym, Signature, encode
from appliance.core.options import CODES

RECEIPT_BYTES_MAX = 2 * 1024 * 1024
ATTRIBUTES_MAX = 600  # named of one account; how many more there were is said
REGIONS_MAX = 200  # of one object
OBJECTS_MAX = KEY_IMAGES_MAX + 1  # those of the key images and the one whose header was read
SIGNING_PURPOSE = b"edge diagnostic appliance: de-identification receipts, Ed25519, 1"
SOURCE_PURPOSE = b"edge diagnostic appliance: source of a cleaned object, HMAC-SHA256, 1"

ACTION_WORDS = {  # PS3.15 E.1.1's letters, in words
    "X": "removed",
    "Z": "emptied",
    "D": "replaced by a dummy",
    "U": "replaced by a pseudonym",
    "C": "cleaned",
    "K": "kept by an option",
    "ADD": "added",
}
Action = Annotated[str, Field(pattern=r"^[A-Z]{1,4}$")]
Rule = Annotated[str, Field(pattern=r"^[A-Za-z0-9 .,:()/*+-]{0,80}$")]
Path = Annotated[str, Field(pattern=r"^[A-Za-z0-9 .,()]{1,400}$")]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
Seconds = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e11)]


class Tally(Document):
    """How often one rule did one thing."""

    action: Action
    rule: Rule
    count: Count


class Attribute(Document):
    """What became of an attribute, item numbers left out: keywords and tags, never a value."""

    path: Path
    action: Action
    rule: Rule
    count: Count


class Account(Document):
    """All that was done to the header of an object, and what stands in it as it came because no rule touches it.

    changed, kept            at most so many; the rest is counted in *_left_out
    """

    tallies: Annotated[tuple[Tally, ...], Field(max_length=200)]
    changed: Annotated[tuple[Attribute, ...], Field(max_length=ATTRIBUTES_MAX)]
    changed_left_out: Count
    kept: Annotated[tuple[Path, ...], Field(max_length=ATTRIBUTES_MAX)]
    kept_left_out: Count


class Box(Document):
    """Pixels that were blackened, counted from 0; the rule says why."""

    frame: Count
    row: Count
    column: Count
    rows: Count
    columns: Count
    rule: Rule


class CleanedObject(Document):
    """One object out of which something left.

    source_hmac  HMAC-SHA256 under a key derived from the site key, of the SHA-256 of the file as it came
    account      which of the receipt's accounts is this object's, from 0
    """

    sop_instance_uid: Pseudonym
    source_hmac: Hex64
    sha256: Hex64
    bytes_count: Annotated[int, Field(ge=1)]
    account: Annotated[int, Field(ge=0, lt=OBJECTS_MAX)]
    regions: Annotated[tuple[Box, ...], Field(max_length=REGIONS_MAX)]
    regions_left_out: Count


class ChosenOption(Document):
    """An option of PS3.15 E.3 that was in force, with its code of CID 7050."""

    name: Code
    code: Code


class Picture(Document):
    """A key image that left, by its name in the case."""

    id: Code
    sop_instance_uid: Pseudonym
    frame: Count
    rows: Count
    columns: Count
    sha256: Hex64


class Versions(Document):
    """What did it: product, edition and digest of the table of rules, detectors of text by file digest."""

    product: Code
    table_edition: Code
    table_sha256: Hex64
    detectors: Annotated[dict[Code, Hex64], Field(max_length=10)]


class DeidReceipt(Document):
    """What was removed, changed and kept before one case left, and by whom it was looked through.

    content_sha256  of the case's bytes as they would be without its stamp
    said            fields of the case that say something of patient and study out of the header, by name
    decided_at      when the study was decided, s since 1970: sealing again after a crash gives the same receipt
    inspector       the product whose inspector passed the finished bytes: no receipt is made of what it refused
    """

    bytes_max: ClassVar[int] = RECEIPT_BYTES_MAX
    schema_version: Literal["deid-receipt/1"] = "deid-receipt/1"
    case_id: CaseId
    content_sha256: Hex64
    decided_at: Seconds
    profile_code: Code
    options: Annotated[tuple[ChosenOption, ...], Field(max_length=len(CODES))]
    versions: Versions
    inspector: Code
    inspected: Literal["passed"]
    objects: Annotated[tuple[CleanedObject, ...], Field(min_length=1, max_length=OBJECTS_MAX)]
    accounts: Annotated[tuple[Account, ...], Field(min_length=1, max_length=OBJECTS_MAX)]
    said: Annotated[tuple[Code, ...], Field(max_length=10)]
    key_images: Annotated[tuple[Picture, ...], Field(max_length=KEY_IMAGES_MAX)]
    public_key: Hex64
    key_id: KeyId


@dataclass(frozen=True, slots=True)
class Signed:
    """A receipt's bytes and its stamp: both are kept, the stamp travels."""

    data: bytes
    stamp: Stamp


def content_sha256(case: Case) -> str:
    """The digest of a case's bytes without its stamp: what a receipt can name before the stamp is made."""
    return hashlib.sha256(encode(case.model_copy(update={"receipt": None}))).hexdigest()


def source_hmac(site_key: bytes, source_sha256: str) -> str:
    """The keyed digest of a file as it came: without the key nobody can tell which file of which patient it was."""
    key = _derived(site_key, SOURCE_PURPOSE)
    return hmac.digest(key, bytes.fromhex(source_sha256), hashlib.sha256).hex()


# The signature.


def _derived(site_key: bytes, purpose: bytes) -> bytes:
    """A key for one purpose (RFC 5869): nothing made with it tells of the site key or of another purpose's key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(site_key)


def signing_key(site_key: bytes) -> Ed25519PrivateKey:
    """The key that signs this site's receipts (RFC 8032), the same as long as the site key is."""
    return Ed25519PrivateKey.from_private_bytes(_derived(site_key, SIGNING_PURPOSE))


def key_id(public_key: bytes) -> str:
    """The name of a public key: the first half of its SHA-256 in hex."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def signed(receipt: DeidReceipt, site_key: bytes) -> Signed:
    """The receipt's bytes and its stamp. Ed25519 draws no randomness: the same receipt gives the same stamp."""
    data = encode(receipt)
    signature = signing_key(site_key).sign(data).hex()
    return Signed(data, Stamp(sha256=hashlib.sha256(data).hexdigest(), signature=signature, key_id=receipt.key_id))


def is_signed(receipt: DeidReceipt, data: bytes, signature: Signature) -> bool:
    """Whether the holder of the key named in the receipt signed exactly these bytes of it."""
    public_key = bytes.fromhex(receipt.public_key)
    if receipt.key_id != key_id(public_key) or encode(receipt) != data:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True
