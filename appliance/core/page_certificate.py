"""The certificates of the review page: an authority of this one appliance, and the leaf that the page shows.

The authority may sign for the page's own names only (name constraints, RFC 5280 4.2.1.10): whoever steals it from a
box and has readers who trust it still cannot be anybody else. The leaf is no authority, names every name in its SAN and
lasts no longer than browsers accept.
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS, LEAF_DAYS, RENEW_DAYS = 3650, 365, 30  # browsers refuse leaves of more than 397 days
EARLY_S = 3600  # a reader's clock may be behind ours
CURVE = ec.SECP256R1()

Name = x509.DNSName | x509.IPAddress


def authority(key: ec.EllipticCurvePrivateKey, house: str, names: Sequence[str], now: float) -> x509.Certificate:
    """A self-signed authority for these names and no others."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Review page of {house}")])
    permitted = [_network(each) for each in _general(names)]
    made = _begun(subject, subject, key.public_key(), now, AUTHORITY_DAYS)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = made.add_extension(_usage(signs_certificates=True), critical=True)
    made = made.add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
    return made.sign(key, hashes.SHA256())


def leaf(
    public: ec.EllipticCurvePublicKey,
    signer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    now: float,
) -> x509.Certificate:
    """The page's own certificate, signed by its authority."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Review page")])
    made = _begun(subject, signer.subject, public, now, LEAF_DAYS)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(_usage(signs_certificates=False), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    made = made.add_extension(x509.SubjectAlternativeName(_general(names)), critical=False)
    made = made.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
    )  # fmt: skip
    return made.sign(key, hashes.SHA256())


def serves(certificate: x509.Certificate, names: Sequence[str], now: float) -> bool:
    """Whether a leaf still does: it names exactly these names and has more than RENEW_DAYS left."""
    said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(said) == set(_general(names)) and _lasts(certificate, now, RENEW_DAYS)


def may_sign(certificate: x509.Certificate, names: Sequence[str], now: float) -> bool:
    """Whether an authority may sign a leaf for these names, and outlives it.

    A clock that stands before its beginning is a wrong clock: readers' trust is not thrown away for that.
    """
    permitted = certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    return {_network(each) for each in _general(names)} <= set(permitted) and _ends(certificate, now, LEAF_DAYS)


def days_left(certificate: x509.Certificate, now: float) -> int:
    return (certificate.not_valid_after_utc - datetime.fromtimestamp(now, UTC)).days


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 as browsers show it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _lasts(certificate: x509.Certificate, now: float, days: int) -> bool:
    return certificate.not_valid_before_utc.timestamp() <= now and _ends(certificate, now, days)


def _ends(certificate: x509.Certificate, now: float, days: int) -> bool:
    """Whether it ends later than in so many days."""
    return now < certificate.not_valid_after_utc.timestamp() - days * 86_400


def _begun(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: float, days: int
) -> x509.CertificateBuilder:
    moment = datetime.fromtimestamp(now, UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(seconds=EARLY_S))
        .not_valid_after(moment + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _general(names: Sequence[str]) -> list[Name]:
    return [_name(each) for each in names]


def _name(name: str) -> Name:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.lower())


def _network(name: Name) -> Name:
    """A name as name constraints want it: an address is a network of one."""
    return x509.IPAddress(ipaddress.ip_network(str(name.value))) if isinstance(name, x509.IPAddress) else name


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
