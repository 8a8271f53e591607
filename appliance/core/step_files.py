"""How word of a performed procedure step lies in incoming/steps/: receive files it there unread, triage reads it.

    <key>.create, <key>.000.set, <key>.001.set …   as they came, until triage has read them
    known/<key>, over/<key>                         that triage has read of the step, and that it ended: empty files

The key is a digest of the step's SOP Instance UID. Receive can thus answer what is known without reading a data set.
"""

import hashlib
from typing import Literal

Kind = Literal["create", "set"]
FOLDER, KNOWN, OVER = "steps", "known", "over"
CREATE, SET = ".create", ".set"
SETS_MAX = 1000  # of one step that triage has not read; three digits, so that names sort as the messages came
STEPS_MAX = 20_000  # known at a time
KEEP_S = 30 * 86_400.0  # longer than any study grows; then a step is forgotten


def key_of(sop_instance_uid: str) -> str:
    return hashlib.sha256(sop_instance_uid.encode()).hexdigest()


def create_name(key: str) -> str:
    return f"{key}{CREATE}"


def set_name(key: str, number: int) -> str:
    assert 0 <= number < SETS_MAX, "receive refuses more"
    return f"{key}.{number:03d}{SET}"


def set_number(name: str) -> int:
    """Of a name that set_name made."""
    return int(name.removesuffix(SET).rpartition(".")[2])
