"""TLS of the page: keys and certificates in the state folder, made at the first start and renewed while it runs.

The keys never leave review/keys. What readers are asked to trust is the authority of this one appliance, by the
fingerprint that the log and the administration page show; a site with an authority of its own gives its files instead.
"""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.config import Config, Places, secret_path
from appliance.core import page_certificate as rules
from appliance.errors import Misconfigured
from appliance.world import keyfile

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
LOG = logging.getLogger("appliance")


@dataclass(frozen=True, slots=True)
class Line:
    """Where the page's certificate and key lie; authority None where a hospital's own stands behind them."""

    certificate: Path
    key: Path
    authority: Path | None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, forward secret, authenticated encryption. Raises Misconfigured("tls-files")."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        made.set_ciphers(CIPHERS)
        self.load_into(made)
        return made

    def load_into(self, context: ssl.SSLContext) -> None:
        """Connections made from now on are shown the certificate that lies there now."""
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError):
            raise Misconfigured("tls-files", "review.tls_certificate_file") from None


def line_of(config: Config, places: Places, now: float) -> Line | None:
    """The page's line, made or renewed where that is due; None where the page is on loopback without TLS."""
    if config.review.tls == "off":
        return None
    if config.review.tls == "files":
        key = secret_path("review-tls-key", config.review.tls_key_file)
        if key is None:
            raise Misconfigured("tls-files", "review.tls_key_file")
        return Line(config.review.tls_certificate_file, key, None)
    keys = places.review_keys
    line = Line(keys / "page.pem", keys / "page.key", keys / "authority.pem")
    renew(line, config, now)
    signer = certificate(line.authority or line.certificate)
    if signer is not None:
        LOG.warning("the authority that readers of the page trust: SHA-256 %s", rules.fingerprint(signer))
    return line


def renew(line: Line, config: Config, now: float) -> bool:
    """Makes what is missing, too old or for other names; whether there is a new leaf. A given certificate is let be."""
    if line.authority is None:
        return False
    names = config.review.hosts()
    signer, found = certificate(line.authority), certificate(line.certificate)
    signing_key = line.authority.with_suffix(".key")
    if signer is None or not signing_key.exists() or not rules.may_sign(signer, names, now):
        made = ec.generate_private_key(rules.CURVE)
        keyfile.put(signing_key, _pem(made), private=True)
        signer = rules.authority(made, config.site.device_id, names, now)
        keyfile.put(line.authority, signer.public_bytes(serialization.Encoding.PEM))
    elif found is not None and line.key.exists() and _matches(found, signer) and rules.serves(found, names, now):
        return False
    by = serialization.load_pem_private_key(signing_key.read_bytes(), None)
    assert isinstance(by, ec.EllipticCurvePrivateKey)
    own = ec.generate_private_key(rules.CURVE)
    leaf = rules.leaf(own.public_key(), signer, by, names, now)
    line.certificate.unlink(missing_ok=True)  # a power cut between the two files leaves none, and both are made again
    keyfile.put(line.key, _pem(own), private=True)
    keyfile.put(line.certificate, leaf.public_bytes(serialization.Encoding.PEM))
    return True


def certificate(path: Path) -> x509.Certificate | None:
    """The first certificate of a file; None where it is not there or is none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _matches(leaf: x509.Certificate, signer: x509.Certificate) -> bool:
    """Whether this authority signed it: after a new one was made in haste, the leaf of the former is no use."""
    own = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    return leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
