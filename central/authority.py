"""Who may speak to a broker: two certificate authorities of the centre's own, one for appliances, one for itself.

Two, because each listener of the broker believes only one of them: an appliance cannot come in where the workers of the
centre do, and nothing that an appliance holds can stand for a broker. It keeps nothing and reads no clock; the keys it
makes come from the operating system's randomness.
source: RFC 5280 (certificates and revocation lists).
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import Misconfigured

AUTHORITY_DAYS = 3650
SLACK = timedelta(minutes=5)  # a certificate made now counts on a machine whose clock is a little behind
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True, slots=True)
class Authority:
    certificate: x509.Certificate
    key: EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def new_key() -> EllipticCurvePrivateKey:
    return generate_ec(SECP256R1())


def key_pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def found(name: str, now_s: float) -> Authority:
    """A new authority that signs itself."""
    key = new_key()
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _begun(name, key.public_key(), now_s, AUTHORITY_DAYS)
        .issuer_name(_name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(builder.sign(key, SHA256()), key)


def read(certificate: bytes, key: bytes, setting: str) -> Authority:
    """An authority out of its two files. Raises Misconfigured("keys-invalid")."""
    try:
        private = load_pem_private_key(key, password=None)
        public = x509.load_pem_x509_certificate(certificate)
    except (ValueError, TypeError):
        raise Misconfigured("keys-invalid", setting) from None
    if not isinstance(private, EllipticCurvePrivateKey) or private.public_key() != public.public_key():
        raise Misconfigured("keys-invalid", setting)
    return Authority(public, private)


def issue(
    authority: Authority,
    public: EllipticCurvePublicKey,
    name: str,
    *,
    now_s: float,
    days: int,
    hosts: Iterable[str] = (),
) -> x509.Certificate:
    """A certificate for a client called `name` or, where hosts are given, for a server that answers under them."""
    hosts = tuple(hosts)
    builder = (
        _begun(name, public, now_s, days)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([SERVER if hosts else CLIENT]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(each) for each in hosts]), critical=False)
    return builder.sign(authority.key, SHA256())


def revocations(authority: Authority, revoked: Iterable[tuple[int, float]], *, now_s: float) -> bytes:
    """The list of what no longer counts, PEM: pairs of serial number and time of revocation, s since 1970.

    It holds until its authority ends: a list that expires would shut every appliance out of the broker at once.
    """
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(_time(now_s) - SLACK)
        .next_update(authority.certificate.not_valid_after_utc)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    for serial, when_s in sorted(set(revoked)):
        each = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_time(when_s)).build()
        made = made.add_revoked_certificate(each)
    return made.sign(authority.key, SHA256()).public_bytes(Encoding.PEM)


def _begun(name: str, public: EllipticCurvePublicKey, now_s: float, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now_s) - SLACK)
        .not_valid_after(_time(now_s) + timedelta(days=days))
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _time(now_s: float) -> datetime:
    return datetime.fromtimestamp(int(now_s), UTC)


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
