"""One message that only its recipient can read and only its sender can have written; the broker sees where it goes.

    EDL1 | sender's key id, 16 B | recipient's key id, 16 B | Ed25519 signature, 64 B | HPKE ciphertext

The signature covers everything else and the place for which the letter was written (its topic, or what stands for one),
and so does the sealing: a letter cannot be moved to another device, kind or case. A letter says nothing about when it
was written: who must not obey twice keeps that book himself.
sources: RFC 9180 (HPKE, base mode: it hides, the signature says who), RFC 8032 (Ed25519).
"""

from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from appliance.core.keys import PrivateKeys, PublicKeys
from appliance.core.signature import Signature, sign, verified
from appliance.errors import Quarantined

MAGIC = b"EDL1"
KEY_ID_BYTES, SIGNATURE_BYTES = 16, 64
HEAD_BYTES = len(MAGIC) + 2 * KEY_ID_BYTES + SIGNATURE_BYTES
OVERHEAD_BYTES = HEAD_BYTES + 32 + 16  # and the encapsulated key and the tag
LETTER_BYTES_MAX = 160 * 1024
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def sealed(data: bytes, *, place: str, sender: PrivateKeys, recipient: PublicKeys) -> bytes:
    """A letter. The same data make another letter each time: what is sent again is kept, not sealed again."""
    public = X25519PublicKey.from_public_bytes(bytes.fromhex(recipient.sealing))
    ciphertext = SUITE.encrypt(data, public, place.encode())
    ids = bytes.fromhex(sender.public.signing_id) + bytes.fromhex(recipient.sealing_id)
    signature = sign(sender.signing, _signed(place, ids, ciphertext)).signature
    return MAGIC + ids + bytes.fromhex(signature) + ciphertext


def opened(letter: bytes, *, place: str, senders: Iterable[PublicKeys], recipients: Iterable[PrivateKeys]) -> bytes:
    """What a letter says.

    place       where it was found; it must have been written for that
    senders     who is believed; any of them
    recipients  our own keys; any of them
    raises      Quarantined("letter-invalid"): no letter, not from them, not for us, or not for here. Which of these it
                was is not told, because only an attacker would need to know.
    """
    if not OVERHEAD_BYTES <= len(letter) <= LETTER_BYTES_MAX or not letter.startswith(MAGIC):
        raise Quarantined("letter-invalid")
    ids = letter[len(MAGIC) : HEAD_BYTES - SIGNATURE_BYTES]
    signature, ciphertext = letter[HEAD_BYTES - SIGNATURE_BYTES : HEAD_BYTES], letter[HEAD_BYTES:]
    claimed = Signature(key_id=ids[:KEY_ID_BYTES].hex(), signature=signature.hex())
    trusted = {keys.signing_id: bytes.fromhex(keys.signing) for keys in senders}
    own = next((keys for keys in recipients if keys.public.sealing_id == ids[KEY_ID_BYTES:].hex()), None)
    if own is None or not verified(_signed(place, ids, ciphertext), claimed, trusted):
        raise Quarantined("letter-invalid")
    try:
        return SUITE.decrypt(ciphertext, X25519PrivateKey.from_private_bytes(own.sealing), place.encode())
    except (InvalidTag, ValueError):
        raise Quarantined("letter-invalid") from None


def sender_id(letter: bytes) -> str:
    """The key id a letter claims to be signed with, unverified; "" for what is no letter."""
    whole = len(letter) >= OVERHEAD_BYTES and letter.startswith(MAGIC)
    return letter[len(MAGIC) : len(MAGIC) + KEY_ID_BYTES].hex() if whole else ""


def _signed(place: str, ids: bytes, ciphertext: bytes) -> bytes:
    name = place.encode()
    return b"edge letter 1\0" + len(name).to_bytes(2, "big") + name + ids + ciphertext
