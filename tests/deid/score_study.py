"""What must hold across files: UIDs replaced one to one and valid, references that resolve, patients kept apart."""

import datetime
import re
from collections import defaultdict
from collections.abc import Collection, Mapping

from tests.deid.answer_key import FULL_DATES, MODIFIED_DATES, Key
from tests.deid.score_text import Opened
from tests.deid.tally import Tally

VALID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
OWN = ("00080018", "0020000D", "0020000E")


def text_at(opened: Opened, place: str) -> str | None:
    value = opened.values.get(place)
    return None if value is None else value.decode("latin-1").strip("\0 ")


def uids(key: Key, after: Mapping[str, Opened], options: Collection[str], tally: Tally) -> None:
    """One to one over all files, valid, and every reference to an object of the corpus still resolves."""
    new_of: dict[str, set[str]] = defaultdict(set)
    old_of: dict[str, set[str]] = defaultdict(set)
    for item in key.items:
        if item.kind != "uid" or item.file not in after:
            continue
        new = text_at(after[item.file], item.place)
        if not new:
            continue
        new_of[item.value].add(new)
        old_of[new].add(item.value)
        valid = bool(VALID.fullmatch(new)) and len(new) <= 64
        tally.note("uid_valid", item.file, item.place, not valid)
    for old, new in new_of.items():
        tally.note("uid_one_to_one", "", old, len(new) > 1 or any(len(old_of[one]) > 1 for one in new))
    known = {text_at(opened, place) for opened in after.values() for place in ("00080018", "0020000D")}
    known.discard(None)
    own = {item.value for item in key.items if item.place in ("00080018", "0020000D") and item.file in after}
    for item in key.items:
        # Whoever was refused cannot be referred to.
        if item.category == "uid_reference" and item.file in after and item.value in own:
            tally.note("references_resolve", item.file, item.place, text_at(after[item.file], item.place) not in known)
    for file, opened in after.items():
        meta = text_at(opened, "meta 00020003")
        tally.note("uid_meta_matches", file, "meta 00020003", meta != text_at(opened, "00080018"))
    if "retain-uids" in options:
        return
    for note in key.files:
        if note.file in after and note.kind == "study":
            tally.note("uid_study_whole", note.file, "0020000D", not text_at(after[note.file], "0020000D"))


def patients(key: Key, after: Mapping[str, Opened], tally: Tally) -> None:
    """One number a patient, one patient a number; and never the old one."""
    number_of: dict[str, set[str]] = defaultdict(set)
    for note in key.files:
        if note.file in after and note.kind != "table":  # the table's own rows name another issuer in each file
            number_of[note.patient].add(text_at(after[note.file], "00100020") or "")
    for patient, numbers in number_of.items():
        shared = any(numbers & others for other, others in number_of.items() if other != patient)
        wrong = len(numbers) != 1 or "" in numbers or patient in numbers or shared
        tally.note("patient_consistent", "", patient, wrong)


def dates(
    key: Key, before: Mapping[str, Opened], after: Mapping[str, Opened], options: Collection[str], tally: Tally
) -> None:
    """Under modified dates: whole weeks, one offset a patient, not zero. Under full dates: as they were."""
    if not {FULL_DATES, MODIFIED_DATES} & set(options):
        return
    patient_of = {note.file: note.patient for note in key.files}
    offsets: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for item in key.items:
        if item.kind != "date" or not item.moved_by or item.file not in after:
            continue
        new = (text_at(after[item.file], item.place) or "")[:8]
        if not new and "[" in item.place:
            continue  # its sequence may have had to go
        if FULL_DATES in options:
            tally.note("dates_full", item.file, item.place, new != item.value)
            continue
        try:
            old_day, new_day = (
                datetime.date.fromisoformat(f"{text[:4]}-{text[4:6]}-{text[6:]}") for text in (item.value, new)
            )
        except ValueError:
            tally.note("dates_shifted", item.file, item.place, True)
            continue
        days = (new_day - old_day).days
        tally.note("dates_shifted", item.file, item.place, days == 0 or days % 7 != 0)
        offsets[patient_of[item.file]][days].append(f"{item.file} {item.place}")
    for patient, found in offsets.items():
        tally.note("dates_one_offset", "", f"{patient} {[(k, v[:2]) for k, v in found.items()][:3]}", len(found) != 1)


def marks(after: Mapping[str, Opened], options: Collection[str], codes: Mapping[str, str], tally: Tally) -> None:
    """What PS3.15 E.1 wants written into the object about its cleaning."""
    temporal = "UNMODIFIED" if FULL_DATES in options else "MODIFIED" if MODIFIED_DATES in options else "REMOVED"
    wanted = {"113100"} | {codes[option] for option in options if option in codes}
    for file, opened in after.items():
        tally.note("mark_identity_removed", file, "00120062", text_at(opened, "00120062") != "YES")
        tally.note("mark_longitudinal", file, "00280303", text_at(opened, "00280303") != temporal)
        found = {
            text_at(opened, place)
            for place in opened.values
            if place.startswith("00120064[") and place.endswith("00080100")
        }
        tally.note("mark_method_codes", file, "00120064", not wanted <= found)
