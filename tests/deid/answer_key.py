"""The answer key of the de-identification benchmark: what was planted where, and what must become of it.

It knows nothing of the product. A key is written beside its files as JSON, so that any other cleaner can be scored
against it.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

FULL_DATES = "retain-longitudinal-full-dates"
MODIFIED_DATES = "retain-longitudinal-modified-dates"
ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Item:
    """One planted value.

    place      "00081140[0].00081155"; "meta 00020016" in the file meta information; "preamble"; "pixels"; "anywhere"
    kind       text: a unique token that must be nowhere in the file; value: must not stand at its place (too short to
               be sought elsewhere); date: as value, and sought everywhere; uid: as text, and replaced one to one;
               keep: must stand at its place unchanged; word: must still be part of the text at its place
    value      the token, as text
    encoding   the Python codec it was written with
    shared     the token stands in other places of the file too: only its own place counts here
    spared_by  options under which the value may stay
    wanted_by  options under which it must stay, ALWAYS for every choice
    moved_by   options under which a date must be shifted by whole weeks
    """

    file: str
    category: str
    place: str
    kind: str
    value: str
    encoding: str = "ascii"
    shared: bool = False
    spared_by: tuple[str, ...] = ()
    wanted_by: tuple[str, ...] = ()
    moved_by: tuple[str, ...] = ()

    def may_stay(self, options: Collection[str]) -> bool:
        return any(option in options for option in self.spared_by + self.moved_by)

    def must_stay(self, options: Collection[str]) -> bool:
        return any(option in options for option in self.wanted_by) or ALWAYS in self.wanted_by


@dataclass(slots=True)
class Text:
    """One text burned into the picture. Its mask lies in masks.npz under `mask`, uint8 [row, column] over `box`.

    box     frame, row, column, rows, columns
    glyphs  columns and rows of each glyph inside the box: (row, column, rows, columns)
    benign  a marker that a reader needs: it should stay
    """

    file: str
    text: str
    box: tuple[int, int, int, int, int]
    mask: str
    glyphs: tuple[tuple[int, int, int, int], ...]
    benign: bool
    height: int
    contrast: float
    turned: int
    look: str
    legible: bool = True  # as stored: a text that its own picture hides is no test of anybody


@dataclass(slots=True)
class FileNote:
    """One file of the corpus. pixels: "" no text at all, "own" what the camera wrote itself, "planted" ours."""

    file: str
    source: str
    kind: str
    patient: str = ""
    study: str = ""
    pixels: str = ""
    syntax: str = ""


@dataclass(slots=True)
class Key:
    seed: int
    files: list[FileNote] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)

    def of(self, file: str) -> list[Item]:
        return [item for item in self.items if item.file == file]

    def write(self, path: Path) -> None:
        told = {
            "seed": self.seed,
            "files": [asdict(note) for note in self.files],
            "items": [asdict(item) for item in self.items],
            "texts": [asdict(text) for text in self.texts],
        }
        path.write_text(json.dumps(told, ensure_ascii=False, indent=0), "utf-8")


def by_file(items: Iterable[Item]) -> dict[str, list[Item]]:
    sorted_out: dict[str, list[Item]] = {}
    for item in items:
        sorted_out.setdefault(item.file, []).append(item)
    return sorted_out
