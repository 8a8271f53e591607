"""A finished document becomes a transfer: packed, sealed part by part, and a manifest that only the centre opens.

Made once and stored: sealing again would give other bytes under another key. It inspects nothing: what comes here has
been inspected, and nobody can look inside afterwards.
"""

import hashlib
from dataclasses import dataclass, field

from appliance.core.case import CASE_BYTES_MAX
from appliance.core.document import Urgency, encode
from appliance.core.keys import PrivateKeys, PublicKeys
from appliance.core.letter import sealed
from appliance.core.messages import topic_up
from appliance.core.transfer import Manifest, Tier, opened_part, packed, sealed_parts, span, unpacked


@dataclass(frozen=True, slots=True)
class Sender:
    """Who seals and to whom: triage's own keys, the centre's public ones, and the device's name on the wire."""

    device_id: str
    own: PrivateKeys = field(repr=False)
    centre: PublicKeys


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A transfer ready to lie in the spool: what uplink must know of it, and the manifest it cannot read."""

    transfer_id: str
    case_id: str
    tier: Tier
    urgency: Urgency
    parts: int
    sealed_bytes: int
    sha256: str
    letter: bytes


def enclosed(
    document: bytes, *, case_id: str, tier: Tier, urgency: Urgency, transfer_id: str, key: bytes, sender: Sender
) -> tuple[Enclosed, Manifest, bytes]:
    """A case document as a transfer, what opens it (which never leaves phi/ but in its letter), and its sealed bytes.

    transfer_id  128 random bits in hex; key: 256 random bits. Both of this transfer only, ever
    """
    parts = list(sealed_parts((packed(document),), transfer_id=transfer_id, key=key))
    data = b"".join(parts)
    manifest = Manifest(
        transfer_id=transfer_id,
        case_id=case_id,
        tier=tier,
        urgency=urgency,
        parts=len(parts),
        sealed_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        codec="deflate",
        key=key.hex(),
    )
    return announced(manifest, sender), manifest, data


def announced(manifest: Manifest, sender: Sender) -> Enclosed:
    """A transfer whose parts are sealed already, with its manifest in a letter to the centre."""
    place = topic_up(sender.device_id, "manifest")
    letter = sealed(encode(manifest), place=place, sender=sender.own, recipient=sender.centre)
    return Enclosed(
        transfer_id=manifest.transfer_id,
        case_id=manifest.case_id,
        tier=manifest.tier,
        urgency=manifest.urgency,
        parts=manifest.parts,
        sealed_bytes=manifest.sealed_bytes,
        sha256=manifest.sha256,
        letter=letter,
    )


def disclosed(manifest: Manifest, data: bytes) -> bytes:
    """The document in sealed bytes, for whoever has the manifest.

    raises  Quarantined: "part-invalid" or "message-invalid"; these are not the bytes that were sealed
    """
    whole = bytearray()
    for index in range(manifest.parts):
        offset, length = span(index, manifest.sealed_bytes)
        whole += opened_part(manifest, index, data[offset : offset + length])
    return unpacked(bytes(whole), CASE_BYTES_MAX)
