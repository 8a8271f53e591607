"""`appliance inspect DIR… --identity FILE`: the second checker by itself, on anybody's de-identified files.

It changes nothing and prints no value: a line a file, clean or where something was found. What merely differs from a
file that this product would have made is said to be structure, and `--identity-only` leaves it out.
"""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.cli.files import bears_magic, named, quiet_libraries
from appliance.core.identity import Identity, Item, identity_of, joined
from appliance.core.inspect import FINDINGS_MAX, Finding, findings
from appliance.core.inspect_kinds import Kind
from appliance.core.inspect_pixels import inspect_pixels
from appliance.core.options import Options, chosen
from appliance.errors import Fault, Misconfigured, Quarantined
from appliance.loop import guarded
from appliance.world.eyes import open_eyes

PixelLook = Callable[[bytes, Identity], None]


class Sought(BaseModel):
    """An identity as a person writes it down; every list may be left out."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    names: list[str] = Field(default=[], max_length=10_000)
    ids: list[str] = Field(default=[], max_length=10_000)
    dates: list[str] = Field(default=[], max_length=10_000)
    phones: list[str] = Field(default=[], max_length=10_000)
    addresses: list[str] = Field(default=[], max_length=10_000)
    institutions: list[str] = Field(default=[], max_length=10_000)
    uids: list[str] = Field(default=[], max_length=10_000)
    texts: list[str] = Field(default=[], max_length=10_000)


KINDS: dict[str, Kind] = {
    "names": "name",
    "ids": "id",
    "dates": "date",
    "phones": "phone",
    "addresses": "address",
    "institutions": "institution",
    "uids": "uid",
    "texts": "text",
}


def run(told: argparse.Namespace) -> int:
    """Status 1 if anything was found or could not be read; Misconfigured for a wrong identity file."""
    quiet_libraries()
    logging.getLogger("appliance").setLevel(logging.CRITICAL)  # what was found in a file is said in its own line
    sought = sought_in(told.identity)
    kept = chosen(told.profile, told.option)
    look = None if told.no_pixels else _pixel_look()
    said: Counter[str] = Counter()
    for path, relative in named(told.inputs):
        found = _in_file(path, relative, sought, kept, look)
        if told.identity_only:
            found = tuple(one for one in found if one.kind != "structure")
        verdict = found[0].kind if found else "clean"
        said[verdict] += 1
        if told.json:
            print(json.dumps({"file": str(path), "verdict": verdict, "findings": [one._asdict() for one in found]}))
        else:
            print(f"{path}: {_sentence(found)}")
    total = ", ".join(f"{said[verdict]} {verdict}" for verdict in ("clean", "identity", "structure", "unreadable"))
    print(f"{said.total()} files: {total}", file=sys.stderr)
    return 0 if said.total() == said["clean"] and said.total() else 1


def _sentence(found: tuple[Finding, ...]) -> str:
    if not found:
        return "clean"
    word = {"identity": "found at", "structure": "not as de-identified at", "unreadable": "unreadable at"}[
        found[0].kind
    ]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{word} {found[0].place}{more if len(found) < FINDINGS_MAX else ' and many more'}"


def _in_file(
    path: Path, relative: Path, sought: Identity, kept: Options, look: PixelLook | None
) -> tuple[Finding, ...]:
    def work() -> tuple[Finding, ...]:
        data = path.read_bytes()
        found = findings(data, sought, kept=kept)
        if findings(json.dumps(relative.parts).encode(), sought):
            found = (Finding("file name", "identity"), *found)
        if look is not None and bears_magic(data) and not any(one.kind == "unreadable" for one in found):
            found = (*found, *_in_pictures(look, data, sought))
        return found

    done = guarded("inspect", work)
    return (Finding("file", "unreadable"),) if isinstance(done, Fault) else done


def _in_pictures(look: PixelLook, data: bytes, sought: Identity) -> tuple[Finding, ...]:
    try:
        look(data, sought)
    except Quarantined as fault:
        return (Finding(fault.place, "unreadable" if fault.code == "inspect-unreadable" else "identity"),)
    return ()


def _pixel_look() -> PixelLook:
    """The reader of text in pictures; its models are loaded when the first picture is met."""
    eyes = open_eyes()
    return lambda data, sought: inspect_pixels(data, sought, eyes)


def sought_in(path: Path) -> Identity:
    """The identity to look for: of a DICOM file, of all DICOM files of a folder, or as a person wrote it down.

    raises  Misconfigured("inspect-identity-file", place): not there, none of these, or with nothing in it
    """
    try:
        data = [file.read_bytes() for file, _ in named([path])]
    except OSError:
        raise Misconfigured("inspect-identity-file", str(path)) from None
    objects = [one for one in data if bears_magic(one)]
    if objects:
        try:
            return joined(*(identity_of(one) for one in objects))
        except Quarantined as fault:
            raise Misconfigured("inspect-identity-file", fault.place) from None
    if not path.is_file():
        raise Misconfigured("inspect-identity-file", str(path))
    return _written_down(data[0])


def _written_down(data: bytes) -> Identity:
    try:
        sought = Sought.model_validate_json(data)
    except ValidationError as mistakes:
        # Its own words quote the input, which is a patient's: only the place is said.
        steps = mistakes.errors(include_input=False)[0]["loc"]
        known = not steps or steps[0] in KINDS
        place = (".".join(str(step) for step in steps) or "JSON") if known else f"a list beside {', '.join(KINDS)}"
        raise Misconfigured("inspect-identity-file", place) from None
    items = []
    for field, kind in KINDS.items():
        for number, text in enumerate(getattr(sought, field)):
            if kind == "date":
                text = text.replace("-", "")
                if len(text) != 8 or not text.isdigit():
                    raise Misconfigured("inspect-identity-file", f"dates.{number}")
            items.append(Item(kind, text, field))
    if not items:
        raise Misconfigured("inspect-identity-file", "nothing to look for")
    return Identity(tuple(items))
