"""An independent validator, dicom3tools' dciodvfy: which errors the output has that its input had not."""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.deid.part10 import DEFLATED, body

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
TIMEOUT_S = 120


def errors(path: Path) -> Counter[str]:
    plain = _plain(path.read_bytes())
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        if plain:
            file.write(plain)
            file.flush()
        told = subprocess.run(
            [DCIODVFY, file.name if plain else path], capture_output=True, check=False, timeout=TIMEOUT_S
        )
    lines = (told.stderr + told.stdout).decode("utf-8", "replace").splitlines()
    return Counter(_bare(line) for line in lines if line.startswith("Error"))


def _plain(data: bytes) -> bytes:
    """A deflated file as Explicit VR Little Endian, which the validator can read; empty where it is not deflated."""
    whole, syntax = body(data)
    if syntax != DEFLATED:
        return b""
    uid, shorter = DEFLATED.encode(), b"1.2.840.10008.1.2.1\0"
    group = int.from_bytes(whole[140:144], "little") - len(uid) + len(shorter)
    at = whole.index(b"\x02\0\x10\0UI")
    head = whole[:140] + group.to_bytes(4, "little") + whole[144 : at + 6]
    return head + len(shorter).to_bytes(2, "little") + shorter + whole[at + 8 + len(uid) :]


def _bare(line: str) -> str:
    """Without the values, offsets and item numbers that differ between two runs of the same fault."""
    line = re.sub(r"(?<!Element=)(?<!Module=)<[^<>]*>", "<>", line)
    line = re.sub(r"\[\d+\]|\d+", "", line)
    return re.sub(r"value (`|')[^']*'", "value", line)


def new_errors(before: Path, after: Path) -> list[str]:
    """Kinds of error that only the output has."""
    return sorted(set(errors(after)) - set(errors(before)))
