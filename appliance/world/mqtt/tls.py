"""TLS to a broker: both sides show a certificate, and why there is none is told by a code of the catalogue.

The files are read anew for every connection, so a renewed certificate counts from the next one on. It refuses to
connect without checking the certificate of the broker and the name in it.
"""

import ssl
from typing import Any

from appliance.core.link import TlsFiles

OUR_CERTIFICATE = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED")  # in alerts (RFC 8446, 6.2)
X509_V_ERR_CERT_HAS_EXPIRED = 10  # x509_vfy.h of OpenSSL


class Socket(ssl.SSLSocket):
    """Remembers why TLS ended, which paho forgets: in TLS 1.3 a refusal comes after the handshake.

    fault  a code of the catalogue; "" while nothing went wrong
    """

    fault = ""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()  # paho would leave it open
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.fault = fault_of(error)
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.fault = fault_of(error)
            self._hear_the_last_word()
            raise

    def _hear_the_last_word(self) -> None:
        """A peer that hung up may have said why: what it said still lies in the receive queue."""
        try:
            super().recv(1)
        except OSError as error:
            if isinstance(error, ssl.SSLError):
                self.fault = fault_of(error)


def context(files: TlsFiles) -> ssl.SSLContext:
    """What every connection starts from. Raises OSError when a file is not there or is not what it should be."""
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.authority)
    made.minimum_version = ssl.TLSVersion.TLSv1_2  # 1.3 wherever the broker can
    made.load_cert_chain(files.certificate, files.key, password="")  # a key under a password is refused, not asked for
    made.sslsocket_class = Socket
    return made


def fault_of(error: OSError) -> str:
    """Whose certificate was at fault, as a code; "broker-away" for everything that is not TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "broker-expired" if error.verify_code == X509_V_ERR_CERT_HAS_EXPIRED else "broker-untrusted"
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "broker-away"
    reason = error.reason or ""
    if "CERTIFICATE_EXPIRED" in reason:
        return "certificate-expired"
    return "certificate-refused" if any(word in reason for word in OUR_CERTIFICATE) else "tls-failed"
