"""The centre's key folder: its own keys, and the public keys of every appliance it has enrolled.

Plain files, so that every worker reads the same without a database: `centre*.key`, the newest name first, and
`devices/<device id>.json`. A device whose file is gone is nobody: revoking takes effect at the next message.
"""

import re
from pathlib import Path

from appliance.core.document import decode
from appliance.core.keys import DeviceKeys, PrivateKeys, read_key_file
from appliance.errors import Misconfigured, Quarantined

DEVICE_ID = re.compile(r"[a-z0-9-]{3,40}")


def enrolled(folder: Path) -> set[str]:
    """The names of all enrolled devices, by their files; no key is read. Raises Misconfigured: no key folder."""
    devices = folder / "devices"
    if not devices.is_dir():
        raise Misconfigured("keys-missing", "--keys")
    return {path.stem for path in devices.glob("*.json") if DEVICE_ID.fullmatch(path.stem)}


class Registry:
    """Reads the folder; what a file said is kept until the file changes.

    own  the centre's keys: letters are signed with the first and opened with any
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = sorted(folder.glob("centre*.key"), key=lambda path: (len(path.name), path.name), reverse=True)
        if not files:
            raise Misconfigured("keys-missing", "--keys")
        self.own: tuple[PrivateKeys, ...] = tuple(read_key_file(path.read_bytes(), path.name) for path in files)
        self._known: dict[str, tuple[tuple[int, int], DeviceKeys]] = {}

    def device(self, device_id: str) -> DeviceKeys | None:
        """The public keys of an enrolled appliance; None for a stranger, a revoked one, or a file that is damaged."""
        if DEVICE_ID.fullmatch(device_id) is None:
            return None
        path = self.folder / "devices" / f"{device_id}.json"
        try:
            told = path.stat()
            stamp = (told.st_mtime_ns, told.st_ino)
            known = self._known.get(device_id)
            if known is None or known[0] != stamp:
                keys = decode(DeviceKeys, path.read_bytes())
                if keys.device_id != device_id:
                    return None
                known = self._known[device_id] = (stamp, keys)
        except (OSError, Quarantined):
            self._known.pop(device_id, None)
            return None
        return known[1]
