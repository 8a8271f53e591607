"""Whose keys sign and open what crosses the wire: two pairs for each party, Ed25519 to sign and X25519 to seal to.

Three parties: the centre and, on each appliance, triage and uplink. Triage signs cases and opens verdicts, uplink signs
and opens everything else, so that a captured uplink can neither forge a case nor read a verdict. It reads no file and
draws no random number: whoever makes a key brings the bytes.
sources: RFC 8032 (Ed25519), RFC 7748 (X25519).
"""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import Field

from appliance.core.document import Document, Hex64
from appliance.core.signature import KEY_BYTES, key_id
from appliance.errors import Misconfigured

CENTRE_KEYS_MAX = 3  # the present one, the next one, and one that still lies in a drawer
FILE = re.compile(rb"signing ([0-9a-f]{64})\nsealing ([0-9a-f]{64})\n")

DeviceId = Annotated[str, Field(pattern=r"^[a-z0-9-]{3,40}$")]


class PublicKeys(Document):
    """One party's public keys, raw, in hex.

    signing  Ed25519
    sealing  X25519
    """

    signing: Hex64
    sealing: Hex64

    @property
    def signing_id(self) -> str:
        """By which a letter names its sender."""
        return key_id(bytes.fromhex(self.signing))

    @property
    def sealing_id(self) -> str:
        """By which a letter names its recipient."""
        return key_id(bytes.fromhex(self.sealing))


class CentreKeys(Document):
    """What an appliance knows of its centre: letters are sealed to the first of these and believed of any."""

    schema_version: Literal["centre/1"] = "centre/1"
    keys: Annotated[tuple[PublicKeys, ...], Field(min_length=1, max_length=CENTRE_KEYS_MAX)]


class DeviceKeys(Document):
    """What the centre knows of one appliance."""

    schema_version: Literal["device/1"] = "device/1"
    device_id: DeviceId
    triage: PublicKeys
    uplink: PublicKeys


@dataclass(frozen=True, slots=True)
class PrivateKeys:
    """One party's private keys, 32 raw bytes each."""

    signing: bytes = field(repr=False)
    sealing: bytes = field(repr=False)

    def __post_init__(self) -> None:
        assert len(self.signing) == len(self.sealing) == KEY_BYTES, "a private key is 32 bytes"

    @property
    def public(self) -> PublicKeys:
        signing = Ed25519PrivateKey.from_private_bytes(self.signing).public_key().public_bytes_raw()
        sealing = X25519PrivateKey.from_private_bytes(self.sealing).public_key().public_bytes_raw()
        return PublicKeys(signing=signing.hex(), sealing=sealing.hex())


def key_file(keys: PrivateKeys) -> bytes:
    """The content of a file that holds private keys: two lines of hex."""
    return f"signing {keys.signing.hex()}\nsealing {keys.sealing.hex()}\n".encode()


def read_key_file(data: bytes, setting: str) -> PrivateKeys:
    """Private keys out of a file. Raises Misconfigured("keys-invalid"), never with anything of the content."""
    match = FILE.fullmatch(data)
    if match is None:
        raise Misconfigured("keys-invalid", setting)
    return PrivateKeys(bytes.fromhex(match[1].decode()), bytes.fromhex(match[2].decode()))
