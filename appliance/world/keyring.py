"""The key files of this appliance, as enrolment left them: read, never written, never shown."""

from typing import Literal

from appliance.config import Keys, Network, secret, secret_path
from appliance.core.document import decode
from appliance.core.enrolment import ends_at
from appliance.core.keys import CentreKeys, PrivateKeys, read_key_file
from appliance.core.link import TlsFiles
from appliance.errors import Misconfigured, Quarantined

Party = Literal["triage", "uplink"]
CENTRE_FILE = "centre.json"
LINE_FILE, AUTHORITY_FILE = "tls.pem", "tls-ca.pem"  # our certificate and its key; who signed the broker's


def own(settings: Keys, party: Party) -> PrivateKeys:
    """The private keys of one service. Raises Misconfigured: "not-enrolled" where there are none, or "keys-invalid"."""
    data = secret(f"{party}-key", settings.folder / f"{party}.key")
    if data is None:
        raise Misconfigured("not-enrolled", "keys.folder")
    return read_key_file(data, f"keys.folder/{party}.key")


def centre(settings: Keys) -> CentreKeys:
    """Whom cases are sealed to and whose answers are believed. Raises Misconfigured like `own`."""
    data = secret("centre", settings.folder / CENTRE_FILE)
    if data is None:
        raise Misconfigured("not-enrolled", "keys.folder")
    try:
        return decode(CentreKeys, data)
    except Quarantined:
        raise Misconfigured("keys-invalid", f"keys.folder/{CENTRE_FILE}") from None


def line(network: Network, settings: Keys) -> TlsFiles | None:
    """With what the broker is dialled; None for one in clear, on loopback. Raises Misconfigured("not-enrolled")."""
    if not network.broker_tls:
        return None
    own_file = secret_path("tls", settings.folder / LINE_FILE)
    authority = secret_path("tls-ca", settings.folder / AUTHORITY_FILE)
    if own_file is None or authority is None:
        raise Misconfigured("not-enrolled", "network.broker_tls")
    return TlsFiles(str(authority), str(own_file), str(own_file))


def line_ends_at(settings: Keys) -> float | None:
    """When our certificate for the line ends, seconds since 1970; None when there is none."""
    data = secret("tls", settings.folder / LINE_FILE)
    return None if data is None else ends_at(data)
