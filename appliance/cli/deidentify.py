"""`appliance deidentify IN… -o DIR`: de-identified copies, each passed by the inspector before it is written."""

import argparse
import json
import logging
import secrets
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import pydicom

from appliance.cli.files import bears_magic, named, quiet_libraries
from appliance.config import Config, secret
from appliance.core.deidentify import DAMAGE, deidentify
from appliance.core.identity import identity
from appliance.core.inspect import findings, inspect
from appliance.core.pseudonym import checked_key
from appliance.errors import Fault, Misconfigured, Quarantined, Refused
from appliance.loop import guarded
from appliance.world import archive

ACTION_WORDS = {  # PS3.15 E.1.1's letters, in words
    "X": "removed",
    "Z": "emptied",
    "D": "replaced by a dummy",
    "U": "UIDs replaced",
    "C": "cleaned",
    "ADD": "added",
}
TELLING = " - THE PATH ITSELF BEARS IDENTITY: rename it before it leaves"
PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one file: actions by number, or the code and place of the refusal.

    telling_path  the kept path itself bears identity of the object: whoever passes the file on must rename it first
    """

    file: str
    actions: dict[str, int]
    code: str = ""
    place: str = ""
    telling_path: bool = False


def run(config: Config, told: argparse.Namespace) -> int:
    """Status 1 if any file was refused; nothing is written that the inspector did not pass."""
    quiet_libraries()
    logging.getLogger("appliance").setLevel(logging.CRITICAL)  # what happens to a file is said in its own line
    key = _site_key(config, told.site_key)
    refused = 0
    written: set[Path] = set()
    for path, relative in named(told.inputs):
        target = told.output / relative
        if target.resolve() == path.resolve() or target in written:
            print(f"{path}: refused: {target} is in use; choose another -o or fewer inputs", file=sys.stderr)
            refused += 1
            continue
        done = _one(path, relative, told.output, told.profile, key)
        written.add(target)
        refused += bool(done.code)
        if told.json:
            print(json.dumps(asdict(done)))
        elif done.code:
            print(f"{done.file}: refused: {done.code}{f' at {done.place}' if done.place else ''}")
        else:
            words = (
                f"{done.actions[letter]} {word}" for letter, word in ACTION_WORDS.items() if letter in done.actions
            )
            print(f"{done.file}: {', '.join(words) or 'nothing to change'}{TELLING if done.telling_path else ''}")
    return 1 if refused else 0


def _site_key(config: Config, file: Path | None) -> bytes:
    if file is not None:
        try:
            return checked_key(file.read_bytes())
        except OSError:
            raise Misconfigured("deid-site-key", str(file)) from None
    key = secret("site-key", config.triage.site_key_file)
    if key is None:
        print("no site key: a random one is used, so the pseudonyms of this run will not come again", file=sys.stderr)
        key = secrets.token_bytes(32)
    return checked_key(key)


def _one(path: Path, relative: Path, output: Path, profile: str, key: bytes) -> Done:
    def work() -> Done:
        data = path.read_bytes()
        if not data:
            raise Refused("file-empty")
        if not bears_magic(data):
            raise Refused("file-not-dicom")
        try:
            source = pydicom.dcmread(BytesIO(data))
        except DAMAGE:
            raise Quarantined("header-unreadable") from None
        known = identity(source)
        if profile == "centre":
            for keyword in PIXEL_KEYWORDS:
                if keyword in source:
                    del source[keyword]
        cleaned = deidentify(source, key)
        inspect(cleaned.bytes, known)
        archive.put(output / relative, cleaned.bytes)
        telling = bool(findings(json.dumps(relative.parts).encode(), known))
        return Done(str(path), dict(Counter(change.action for change in cleaned.changes)), telling_path=telling)

    found = guarded("deidentify", work)
    if isinstance(found, Fault):
        assert isinstance(found, Refused | Quarantined), "nothing here waits for time"
        return Done(str(path), {}, found.code, found.place)
    return found
