"""What lies here for one released version: the documents it made, what went over its line, and the code it reads by."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance.core.document import Document, encode

HERE = Path(__file__).parent
NAMES = ("05a8df0", "2f38db2")


def document(name: str, kind: str) -> bytes:
    """One document as that version made it. Raises FileNotFoundError where it made none of this kind."""
    return (HERE / name / f"{kind}.json").read_bytes()


def line(folder: Path) -> list[tuple[str, bytes]]:
    """(topic, payload) of all messages of one recording, in order."""
    told = json.loads((folder / "line.json").read_text())
    return [(each["topic"], base64.b64decode(each["payload"])) for each in told]


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def written(what: Document | bytes) -> dict[str, str]:
    """A document, as reading.py is asked for it; of one that is given as bytes it is a policy."""
    data = what if isinstance(what, bytes) else encode(what)
    return {"as": "Policy" if isinstance(what, bytes) else type(what).__name__, "data": text(data)}


def transfer(messages: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    """A manifest and its parts, likewise."""
    topic, manifest = next(each for each in messages if each[0].endswith("/manifest"))
    parts = [text(payload) for topic, payload in messages if topic.endswith("/part")]
    return {"topic": topic, "manifest": text(manifest), "parts": parts}


def read(name: str, asked: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """(why it is not believed, what is understood) of each, by that version's own code in a process of its own."""
    code = HERE / name / "code.zip"
    words = [sys.executable, "-P", str(HERE / "reading.py")]
    told = {**os.environ, "PYTHONPATH": str(code)}
    done = subprocess.run(
        words, input=json.dumps([*asked]), capture_output=True, text=True, env=told, cwd=HERE / name, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers.pop()["said"] == str(code / "appliance" / "errors.py"), "not the code of today"
    return [(each["code"], each["said"]) for each in answers]
