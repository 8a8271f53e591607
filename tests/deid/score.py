"""The scorer: a corpus, its key, what came out; a tally by category and what was refused with which code."""

import shutil
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.deid import score_pixels, score_study, score_valid
from tests.deid.answer_key import MODIFIED_DATES, Item, Key, by_file
from tests.deid.product import Choice, Told, deidentified
from tests.deid.score_text import Opened, kept, leaks, stands_at
from tests.deid.tally import Tally

CODES = {
    "clean-pixel-data": "113101",
    "clean-recognizable-visual-features": "113102",
    "clean-graphics": "113103",
    "clean-structured-content": "113104",
    "clean-descriptors": "113105",
    "retain-longitudinal-full-dates": "113106",
    "retain-longitudinal-modified-dates": "113107",
    "retain-patient-characteristics": "113108",
    "retain-device-identity": "113109",
    "retain-uids": "113110",
    "retain-safe-private": "113111",
    "retain-institution-identity": "113112",
}
# Categories that count what must stay; every other one counts what must go.
UTILITY = {
    *("retain_std", "retain_clinical_words", "retain_safe_private", "retained_by_option", "delivered_or_refused"),
    *("pixels_identical", "pixels_same_outside", "pixels_outside", "pixels_shape", "frames_identical"),
    *("markers_kept", "technique_kept", "clean_graphics_kept", "clean_content_kept", "patient_consistent"),
    *("references_resolve", "uid_one_to_one", "uid_valid", "uid_meta_matches", "uid_study_whole"),
    *("mark_identity_removed", "mark_longitudinal", "mark_method_codes", "valid_no_new_error"),
    *("dates_full", "dates_shifted", "dates_one_offset", "idempotent", "idempotent_pixels"),
}


@dataclass(slots=True)
class Result:
    """One choice of options on one corpus."""

    choice: Choice
    files: int
    tally: Tally = field(default_factory=Tally)
    refused: list[Told] = field(default_factory=list)
    clean: int = 0

    def codes(self) -> Counter[str]:
        return Counter(told.code for told in self.refused)


def scored(key: Key, folder: Path, output: Path, told: Mapping[str, Told], choice: Choice, validate: int = 1) -> Result:
    """Every check of the benchmark on what lies in `output`; a file without a word of its own is a failure.

    validate  every how many-th file goes to the validator, 0 none: it is slower than all the rest
    """
    result = Result(choice, len(key.files))
    tally, before, after = result.tally, {}, {}
    result.refused = [row for row in told.values() if row.code]
    for note in key.files:
        out = output / note.file
        silent = note.file not in told or (not told[note.file].code) != out.exists()
        tally.note("delivered_or_refused", note.file, "", silent)
        if out.exists():
            before[note.file] = Opened.of((folder / "in" / note.file).read_bytes())
            after[note.file] = Opened.of(out.read_bytes())
    items = by_file(key.items)
    for file, opened in after.items():
        clean = True
        for item in items.get(file, []):
            clean &= not _item(item, before[file], opened, choice, tally)
        result.clean += clean
    score_study.uids(key, after, choice.options, tally)
    score_study.patients(key, after, tally)
    score_study.dates(key, before, after, choice.options, tally)
    score_study.marks(after, choice.options, CODES, tally)
    masks = dict(np.load(folder / "masks.npz"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what is odd in its own test files
        score_pixels.scored(key, masks, folder / "in", output, set(after), tally)
    if validate:
        for file in list(after)[::validate]:
            new = score_valid.new_errors(folder / "in" / file, output / file)
            tally.note("valid_no_new_error", file, "; ".join(new)[:300], bool(new))
    return result


def _item(item: Item, before: Opened, after: Opened, choice: Choice, tally: Tally) -> bool:
    """Counts one item; True where it leaks."""
    if item.kind in ("keep", "word"):
        if item.must_stay(choice.options):
            tally.note(item.category, item.file, item.place, not kept(before, after, item))
        return False
    if item.kind == "highbits":
        bad = score_pixels.high_bits(after.data, int(item.value))
        tally.note(item.category, item.file, item.place, bad)
        return bad
    if item.must_stay(choice.options) and not (item.moved_by and MODIFIED_DATES in choice.options):
        stays = stands_at(after, item)
        if stays or "[" not in item.place:  # inside a sequence that had to go, nothing can stay
            tally.note("retained_by_option", item.file, item.place, not stays)
        return False
    bad = leaks(after, item, choice.options)
    tally.note(item.category, item.file, item.place, bad)
    return bad


def run(key: Key, folder: Path, choice: Choice, validate: int = 1, jobs: int = 0) -> Result:
    """Cleans the corpus with the product and scores it; `validate` as for scored()."""
    output = folder / choice.name
    shutil.rmtree(output, ignore_errors=True)
    told = deidentified(folder / "in", output, choice, jobs=jobs)
    return scored(key, folder, output, told, choice, validate)


def again(folder: Path, choice: Choice, result: Result) -> None:
    """Idempotence: a second pass refuses nothing, loses nothing, blackens nothing more."""
    first, second = folder / choice.name, folder / f"{choice.name}-again"
    shutil.rmtree(second, ignore_errors=True)
    told = deidentified(first, second, choice)
    for name, row in told.items():
        if row.code:
            result.tally.note("idempotent", name, row.code, True)
            continue
        old, new = (Opened.of((where / name).read_bytes()) for where in (first, second))
        lost = [
            place for place in old.values if place not in new.values and not place.startswith(("0012", "meta", "7FE0"))
        ]
        result.tally.note("idempotent", name, ",".join(lost[:4]), bool(lost))
        changed = any(old.values[place] != new.values.get(place) for place in old.values if place.startswith("7FE0"))
        result.tally.note("idempotent_pixels", name, "pixels", changed and not _same_picture(old.data, new.data))


def _same_picture(old: bytes, new: bytes) -> bool:
    first, second = score_pixels.decoded(old), score_pixels.decoded(new)
    return first is not None and second is not None and np.array_equal(first, second)
