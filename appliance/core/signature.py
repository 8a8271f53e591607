"""Who vouches for bytes: Ed25519 signatures of packages, certificates and commands, and whose are believed.

A signature names its key by the key's own digest; which keys are believed is the caller's list. It refuses by saying
no: a key that is not on the list, bytes of another length and a signature that does not fit are all the same False.
source: RFC 8032.
"""

import hashlib
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.core.document import Document, KeyId
from appliance.core.document import Signature as SignatureHex

KEY_BYTES = 32
KEY_ID_DIGITS = 32


class Signature(Document):
    """A detached signature: whose, and over bytes that the reader must have."""

    key_id: KeyId
    signature: SignatureHex


def key_id(public: bytes) -> str:
    """The name of a public key (32 raw bytes): the first half of its SHA-256, hex."""
    return hashlib.sha256(public).hexdigest()[:KEY_ID_DIGITS]


def public_of(private: bytes) -> bytes:
    """The raw public key (32 bytes) of a raw private key (32 bytes)."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def sign(private: bytes, data: bytes) -> Signature:
    """Signs data with a raw private key of 32 bytes; the same data give the same signature."""
    made = Ed25519PrivateKey.from_private_bytes(private)
    name = key_id(made.public_key().public_bytes_raw())
    return Signature(key_id=name, signature=made.sign(data).hex())


def verified(data: bytes, signature: Signature | None, trusted: Mapping[str, bytes]) -> bool:
    """Whether one of the trusted keys, by key id, signed these very bytes."""
    public = None if signature is None else trusted.get(signature.key_id)
    if signature is None or public is None or len(public) != KEY_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(bytes.fromhex(signature.signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True
