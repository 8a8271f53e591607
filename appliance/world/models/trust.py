"""Whose packages, certificates and commands are believed: a folder of public keys, one a file; and what has changed.

A file that holds no key is named and believed for nothing; a folder that is not there trusts nobody.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from appliance.core.signature import key_id

KEYS_MAX = 64
FILES_LOOKED_AT_MAX = 10_000
KEY_FILE_BYTES_MAX = 256
PUBLIC_KEY = re.compile(rb"[0-9a-f]{64}\s*")


def trusted_keys(folder: Path) -> tuple[dict[str, bytes], list[Path]]:
    """Raw public keys by key id, and the *.pub files that hold none (64 hex digits are one)."""
    keys: dict[str, bytes] = {}
    odd = []
    for path in sorted(folder.glob("*.pub"))[:KEYS_MAX]:
        try:
            with path.open("rb") as file:
                told = file.read(KEY_FILE_BYTES_MAX)
        except OSError:
            told = b""
        if PUBLIC_KEY.fullmatch(told):
            public = bytes.fromhex(told.decode("ascii").strip())
            keys[key_id(public)] = public
        else:
            odd.append(path)
    return keys, odd


def look_of(folders: Sequence[Path]) -> frozenset[tuple[str, int, int]]:
    """Name, size and time of change of every file below the folders: equal as long as nobody touched one."""
    found = set()
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                told = path.lstat()
            except OSError:  # gone between the two
                continue
            found.add((str(path), told.st_size, told.st_mtime_ns))
            if len(found) >= FILES_LOOKED_AT_MAX:
                return frozenset(found)
    return frozenset(found)
