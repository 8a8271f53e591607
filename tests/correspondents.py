"""Keys of an appliance and its centre for tests, and what the centre would read of what lies in a spool."""

import base64
import hashlib
from pathlib import Path

from sqlalchemy import Connection

from appliance.config import Config
from appliance.core.case import Verdict
from appliance.core.document import decode, encode
from appliance.core.enclosure import Sender, disclosed
from appliance.core.keys import CentreKeys, DeviceKeys, PrivateKeys, key_file
from appliance.core.letter import opened, sealed
from appliance.core.messages import topic_up, verdict_place
from appliance.core.transfer import Manifest
from appliance.triage.post import Post
from appliance.uplink import Ring
from appliance.world import wire

DEVICE = "appliance-1"


def keys(name: str) -> PrivateKeys:
    return PrivateKeys(*(hashlib.sha256(f"{name} {use}".encode()).digest() for use in ("signing", "sealing")))


TRIAGE, UPLINK, CENTRE = keys("triage"), keys("uplink"), keys("centre")
CENTRE_KEYS = CentreKeys(keys=(CENTRE.public,))
RING = Ring(UPLINK, CENTRE_KEYS)
SENDER = Sender(DEVICE, TRIAGE, CENTRE.public)
ENROLLED = DeviceKeys(device_id=DEVICE, triage=TRIAGE.public, uplink=UPLINK.public)


def post(config: Config) -> Post:
    """Triage's pen with the keys above."""
    return Post(config, lambda: (TRIAGE, CENTRE_KEYS))


def manifest(letter: bytes) -> Manifest:
    """A manifest as the centre reads it."""
    place = topic_up(DEVICE, "manifest")
    return decode(Manifest, opened(letter, place=place, senders=[TRIAGE.public], recipients=[CENTRE]))


def documents(c: Connection, parts: Path) -> dict[tuple[str, int], bytes]:
    """(case id, tier) to what the centre would read, of all that lies sealed in a spool."""
    found = {}
    for row in c.execute(wire.transfers.select()):
        path = parts / row.sha256
        if path.exists():
            found[row.case_id, row.tier] = disclosed(manifest(row.letter), path.read_bytes())
    return found


def verdict_letter(verdict: Verdict, rev: int | None = None) -> str:
    """A verdict as link.db keeps it: base64 of the centre's letter to triage."""
    place = verdict_place(DEVICE, verdict.case_id, verdict.rev if rev is None else rev)
    return base64.b64encode(sealed(encode(verdict), place=place, sender=CENTRE, recipient=TRIAGE.public)).decode()


def enrolled(folder: Path) -> None:
    """The centre's key folder with the appliance above enrolled."""
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "centre-1.key").write_bytes(key_file(CENTRE))
    (folder / "devices" / f"{DEVICE}.json").write_bytes(encode(ENROLLED))
