"""How an appliance and a centre come to know each other's keys: a request, an answer, and what a person compares.

The request is signed by the very keys it brings, so nobody can enrol keys that he does not hold; whose they are, only
two people who read a fingerprint to each other can say. The answer is signed by the centre and says what it knows of
the appliance. It reads no file and makes no key.
sources: RFC 2986 (certificate requests), RFC 5280 (certificates).
"""

import hashlib
import json
from typing import Annotated, ClassVar, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from appliance.core import signature
from appliance.core.document import Document, encode
from appliance.core.document import Signature as SignatureHex
from appliance.core.keys import CentreKeys, DeviceKeys, PrivateKeys, PublicKeys
from appliance.errors import Quarantined

FINGERPRINT_DIGITS = 32
PEM_LENGTH_MAX = 8 * 1024
ROOT_LENGTH_MAX = 24 * 1024
WISH, GRANT = b"edge enrolment request 1\0", b"edge enrolment answer 1\0"

Pem = Annotated[str, Field(max_length=PEM_LENGTH_MAX, pattern=r"^-----BEGIN [A-Z ]+-----\n[A-Za-z0-9+/=\n-]+")]


class Wish(Document):
    """What an appliance asks for: its public keys be known, and a certificate for the line.

    csr  PKCS #10, PEM; its own signature proves that the appliance holds the key of the line
    """

    keys: DeviceKeys
    csr: Pem

    @property
    def digest(self) -> str:
        return hashlib.sha256(encode(self)).hexdigest()


class EnrolmentRequest(Document):
    """A wish, signed by both parties of the appliance."""

    schema_version: Literal["enrolment-request/1"] = "enrolment-request/1"
    wish: Wish
    triage: SignatureHex
    uplink: SignatureHex


class Grant(Document):
    """What the centre grants.

    keys          what the centre now knows of the appliance
    certificate   for the line, in the device's name, PEM
    authority     who signed the brokers' certificates, PEM
    updates_root  the root of the repository of updates, JSON as it was signed; None, and not written: the centre names
                  none, as no centre of before could
    """

    keys: DeviceKeys
    centre: CentreKeys
    certificate: Pem
    authority: Pem
    updates_root: Annotated[str, Field(max_length=ROOT_LENGTH_MAX)] | None = None

    @model_serializer(mode="wrap")
    def _as_before_there_was_a_root(self, plain: SerializerFunctionWrapHandler) -> dict[str, object]:
        told: dict[str, object] = plain(self)
        if self.updates_root is None:  # what was signed without it must stay what was signed
            told.pop("updates_root", None)
        return told


class EnrolmentAnswer(Document):
    """A grant, signed by the first of the centre's keys."""

    bytes_max: ClassVar[int] = 64 * 1024
    schema_version: Literal["enrolment-answer/1"] = "enrolment-answer/1"
    grant: Grant
    signature: SignatureHex


def request(
    device_id: str, triage: PrivateKeys, uplink: PrivateKeys, line_key: EllipticCurvePrivateKey
) -> EnrolmentRequest:
    """What the appliance hands to the centre. The same keys make the same wish but for the signature inside the CSR."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(line_key, SHA256())
    keys = DeviceKeys(device_id=device_id, triage=triage.public, uplink=uplink.public)
    wish = Wish(keys=keys, csr=csr.public_bytes(Encoding.PEM).decode())
    signed = WISH + encode(wish)
    return EnrolmentRequest(
        wish=wish,
        triage=signature.sign(triage.signing, signed).signature,
        uplink=signature.sign(uplink.signing, signed).signature,
    )


def wished(told: EnrolmentRequest) -> EllipticCurvePublicKey:
    """The key for the line, once everything about a request is proved that a machine can prove.

    raises  Quarantined("enrolment-invalid"): altered, or not signed by every key it brings, or another device's CSR
    """
    wish, signed = told.wish, WISH + encode(told.wish)
    if not _by(wish.keys.triage, told.triage, signed) or not _by(wish.keys.uplink, told.uplink, signed):
        raise Quarantined("enrolment-invalid", "signatures")
    if len({wish.keys.triage.signing, wish.keys.uplink.signing}) < 2 or wish.keys.triage == wish.keys.uplink:
        raise Quarantined("enrolment-invalid", "keys")  # one key for both would undo the wall between them
    for party in (wish.keys.triage, wish.keys.uplink):
        _can_be_sealed_to(party)
    try:
        csr = x509.load_pem_x509_csr(wish.csr.encode())
        public = csr.public_key()
        proved = csr.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise Quarantined("enrolment-invalid", "csr") from None
    if not isinstance(public, EllipticCurvePublicKey) or not isinstance(public.curve, SECP256R1):
        raise Quarantined("enrolment-invalid", "csr")
    if not proved or names(csr.subject) != [wish.keys.device_id]:
        raise Quarantined("enrolment-invalid", "csr")
    return public


def answer(grant: Grant, centre: PrivateKeys) -> EnrolmentAnswer:
    """What the centre hands back; `centre` is the first of the keys in the grant."""
    assert centre.public == grant.centre.keys[0], "an answer is signed by the key it puts first"
    return EnrolmentAnswer(grant=grant, signature=signature.sign(centre.signing, GRANT + encode(grant)).signature)


def granted(
    told: EnrolmentAnswer,
    own: DeviceKeys,
    line_key: EllipticCurvePublicKey,
    known: CentreKeys | None,
    *,
    now_s: float,
) -> Grant:
    """What an answer grants, once it is proved to be for this appliance.

    own       this appliance's public keys, as they are now
    line_key  the key for which a certificate was asked
    known     the centre this appliance already believes; None at the first enrolment, where a person compares
    raises    Quarantined: "enrolment-invalid" (altered, or its certificate is not what was asked for),
              "enrolment-foreign" (for other keys, or of another centre)
    """
    grant, signed = told.grant, GRANT + encode(told.grant)
    signers = grant.centre.keys[:1] if known is None else known.keys
    if not _by(grant.centre.keys[0], told.signature, signed):
        raise Quarantined("enrolment-invalid", "signature")
    if not any(_by(each, told.signature, signed) for each in signers):
        raise Quarantined("enrolment-foreign", "centre")
    if grant.keys != own:
        raise Quarantined("enrolment-foreign", "keys")
    try:
        certificate = x509.load_pem_x509_certificate(grant.certificate.encode())
        public = certificate.public_key()
        x509.load_pem_x509_certificate(grant.authority.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise Quarantined("enrolment-invalid", "certificate") from None
    if public != line_key or names(certificate.subject) != [own.device_id]:
        raise Quarantined("enrolment-foreign", "certificate")
    if certificate.not_valid_after_utc.timestamp() <= now_s:
        raise Quarantined("enrolment-invalid", "expired")
    if grant.updates_root is not None and not is_updates_root(grant.updates_root):
        raise Quarantined("enrolment-invalid", "updates-root")
    return grant


def is_updates_root(text: str) -> bool:
    """Whether this says that it is a root of The Update Framework. Whether it holds, its own signatures say later."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return False
    signed = told.get("signed") if isinstance(told, dict) else None
    return isinstance(signed, dict) and signed.get("_type") == "root" and bool(told.get("signatures"))


def ends_at(pem: bytes) -> float | None:
    """When the first certificate in a PEM file ends, seconds since 1970; None when there is none in it."""
    try:
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
    except ValueError:
        return None


def request_fingerprint(wish: Wish) -> str:
    """What the two people compare of an appliance: of its keys and of the certificate's key, as one."""
    return spelled(wish.digest)


def centre_fingerprint(keys: CentreKeys) -> str:
    """What they compare of a centre: of the key that signs its answers."""
    return spelled(hashlib.sha256(encode(keys.keys[0])).hexdigest())


def spelled(digest: str) -> str:
    """128 bits in groups of four, to be read aloud."""
    return " ".join(digest[start : start + 4] for start in range(0, FINGERPRINT_DIGITS, 4))


def same(fingerprint: str, told: str) -> bool:
    """Whether what a person typed is the fingerprint; blanks, hyphens and capitals do not matter."""
    return "".join(told.lower().replace("-", " ").split()) == fingerprint.replace(" ", "")


def names(subject: x509.Name) -> list[str]:
    """Every common name, of which there must be one; whatever else stands in a subject is one too many."""
    return [str(each.value) if each.oid == NameOID.COMMON_NAME else "?" for each in subject]


def _can_be_sealed_to(keys: PublicKeys) -> None:
    """Refuses the few points with which every exchange gives zero (RFC 7748, 6.1): sealing to one would fail later."""
    try:
        X25519PrivateKey.from_private_bytes(bytes(range(32))).exchange(
            X25519PublicKey.from_public_bytes(bytes.fromhex(keys.sealing))
        )
    except ValueError:
        raise Quarantined("enrolment-invalid", "keys") from None


def _by(keys: PublicKeys, made: str, data: bytes) -> bool:
    claimed = signature.Signature(key_id=keys.signing_id, signature=made)
    return signature.verified(data, claimed, {keys.signing_id: bytes.fromhex(keys.signing)})
