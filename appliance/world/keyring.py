"""The key files of this appliance, as enrolment left them: read, never written, never shown."""

from typing import Literal

from appliance.config import Keys, secret
from appliance.core.document import decode
from appliance.core.keys import CentreKeys, PrivateKeys, read_key_file
from appliance.errors import Misconfigured, Quarantined

Party = Literal["triage", "uplink"]
CENTRE_FILE = "centre.json"


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
