"""An appliance and a centre on one machine that know each other's keys, for the demonstration and for tests.

It does in one step what `appliance enrol` and `central enrol-accept` do between two houses, and leaves the same files;
there are no certificates, because on loopback there is no TLS.
"""

import os
from pathlib import Path

from appliance.core.document import encode
from appliance.core.keys import CentreKeys, DeviceKeys, PrivateKeys, key_file, read_key_file
from appliance.world.keyring import CENTRE_FILE

KEY_BYTES = 32


def enrol_locally(appliance_keys: Path, centre_keys: Path, device_id: str) -> None:
    """Makes the keys of both sides where they are not there yet, and enrols the appliance; again it changes nothing."""
    (centre_keys / "devices").mkdir(parents=True, exist_ok=True)
    appliance_keys.mkdir(parents=True, exist_ok=True)
    centre = _kept(centre_keys / "centre-1.key")
    triage, uplink = _kept(appliance_keys / "triage.key"), _kept(appliance_keys / "uplink.key")
    device = DeviceKeys(device_id=device_id, triage=triage.public, uplink=uplink.public)
    (centre_keys / "devices" / f"{device_id}.json").write_bytes(encode(device))
    (appliance_keys / CENTRE_FILE).write_bytes(encode(CentreKeys(keys=(centre.public,))))


def _kept(path: Path) -> PrivateKeys:
    """The private keys in a file, made when there are none."""
    if not path.exists():
        keys = PrivateKeys(os.urandom(KEY_BYTES), os.urandom(KEY_BYTES))
        path.touch(0o600, exist_ok=False)
        path.write_bytes(key_file(keys))
        return keys
    return read_key_file(path.read_bytes(), path.name)
