"""dciodvfy, the validator of dicom3tools: a second judge of every object of ours, which knows nothing of its builder.

It is a program of its own, run on one file. What it says quotes values, so none of it is logged: the caller gets the
names of the attributes it objects to.
"""

import re
import subprocess
import sys
from pathlib import Path

from appliance.errors import Misconfigured, Unavailable

PROGRAM = Path(sys.executable).with_name("dciodvfy")
TIMEOUT_S = 60.0
NAMED = re.compile(r"(?:Element=<|attribute <|\()([^>)]{1,80})[>)]")


def objections(path: Path) -> list[str]:
    """What is wrong with a DICOM file: for each error the attribute (keyword, name or tag) it names, "" where none.

    raises  Misconfigured("validator-missing"), Unavailable("validator-slow")
    """
    try:
        done = subprocess.run([PROGRAM, path], capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
    except OSError:
        raise Misconfigured("validator-missing") from None
    except subprocess.TimeoutExpired:
        raise Unavailable("validator-slow") from None
    lines = done.stderr.decode("latin-1").splitlines()
    found = [line for line in lines if line.lstrip().startswith("Error")]
    if done.returncode and not found:
        return [""]
    return [match[1] if (match := NAMED.search(line)) else "" for line in found]
