"""An independent validator, dicom3tools' dciodvfy: which errors the output has that its input had not."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
TIMEOUT_S = 120


def errors(path: Path) -> Counter[str]:
    told = subprocess.run([DCIODVFY, path], capture_output=True, check=False, timeout=TIMEOUT_S)
    lines = (told.stderr + told.stdout).decode("utf-8", "replace").splitlines()
    return Counter(_bare(line) for line in lines if line.startswith("Error"))


def _bare(line: str) -> str:
    """Without the values, offsets and item numbers that differ between two runs of the same fault."""
    line = re.sub(r"(?<!Element=)(?<!Module=)<[^<>]*>", "<>", line)
    line = re.sub(r"\[\d+\]|\d+", "", line)
    return re.sub(r"value (`|')[^']*'", "value", line)


def new_errors(before: Path, after: Path) -> list[str]:
    """Kinds of error that only the output has."""
    return sorted(set(errors(after)) - set(errors(before)))
