"""From what the cleaner says it did to the account of it in a receipt: names, rules and counts.

It takes no word on trust that could be a value: what is neither a keyword nor a tag is called "other".
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from pydicom._dicom_dict import RepeatersDictionary
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

from appliance.core import annex_e
from appliance.core.case import Case
from appliance.core.identity import Identity
from appliance.core.options import BASIC_CODE, CODES, Options
from appliance.core.receipt import (
    ATTRIBUTES_MAX,
    REGIONS_MAX,
    Account,
    Attribute,
    Box,
    ChosenOption,
    CleanedObject,
    DeidReceipt,
    Picture,
    Tally,
    Versions,
    content_sha256,
    key_id,
    signing_key,
    source_hmac,
)

TALLIES_MAX, PATH_CHARACTERS_MAX, RULE_CHARACTERS_MAX = 200, 400, 80  # of core.receipt


class Change(Protocol):
    """What the cleaner did in one place: core.deidentify's Change."""

    @property
    def path(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def rule(self) -> str: ...


class Region(Protocol):
    """A box that was blackened: core.redact's Region."""

    @property
    def frame(self) -> int: ...
    @property
    def row(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def rule(self) -> str: ...


class Cleaned(Protocol):
    """One object ready to leave, what was done to it and whose it was: core.outgoing's Outgoing.

    bytes is a whole Part 10 file.
    """

    @property
    def bytes(self) -> bytes: ...
    @property
    def changes(self) -> Sequence[Change]: ...
    @property
    def regions(self) -> Sequence[Region]: ...
    @property
    def options(self) -> Options: ...
    @property
    def sha256(self) -> str: ...
    @property
    def who(self) -> Identity: ...


@dataclass(frozen=True, slots=True)
class Accounted:
    """One cleaned object as a receipt tells of it; its bytes are not held."""

    entry: CleanedObject
    account: Account


def accounted(header: Dataset, cleaned: Cleaned, source_sha256: str, site_key: bytes) -> Accounted:
    """What a receipt tells of one object.

    header         of the cleaned object: what it still holds is listed by name
    source_sha256  of the file as it came, in hex
    """
    boxes = [_box(region) for region in cleaned.regions]
    entry = CleanedObject(
        sop_instance_uid=str(header.SOPInstanceUID),
        source_hmac=source_hmac(site_key, source_sha256),
        sha256=cleaned.sha256,
        bytes_count=len(cleaned.bytes),
        account=0,
        regions=tuple(boxes[:REGIONS_MAX]),
        regions_left_out=max(0, len(boxes) - REGIONS_MAX),
    )
    return Accounted(entry, _account(header, cleaned.changes))


def receipt_of(
    case: Case,
    objects: Sequence[Accounted],
    options: Options,
    *,
    site_key: bytes,
    decided_at: float,
    versions: Versions,
) -> DeidReceipt:
    """The receipt of a case.

    case        without a stamp
    objects     every object that went into it
    decided_at  wall clock, s since 1970
    """
    accounts: list[Account] = []
    entries = []
    for each in objects:
        if each.account not in accounts:  # the slices of a series have one account
            accounts.append(each.account)
        entries.append(each.entry.model_copy(update={"account": accounts.index(each.account)}))
    public_key = signing_key(site_key).public_key().public_bytes_raw()
    return DeidReceipt(
        case_id=case.case_id,
        content_sha256=content_sha256(case),
        decided_at=decided_at,
        profile_code=BASIC_CODE,
        options=tuple(ChosenOption(name=name, code=code) for name, code in CODES.items() if name in options),
        versions=versions,
        inspector=versions.product,
        inspected="passed",
        objects=tuple(entries),
        accounts=tuple(accounts),
        said=tuple(name for name, value in _said(case).items() if value),
        key_images=tuple(Picture(**image.model_dump(include=set(Picture.model_fields))) for image in case.key_images),
        public_key=public_key.hex(),
        key_id=key_id(public_key),
    )


def _said(case: Case) -> dict[str, object]:
    return {"modality": case.modality, "body_part": case.body_part, "view": case.view, **case.patient.model_dump()}


def _box(region: Region) -> Box:
    sides = {name: getattr(region, name) for name in ("frame", "row", "column", "rows", "columns")}
    return Box(**sides, rule=_rule(region.rule))


def _account(header: Dataset, changes: Sequence[Change]) -> Account:
    """Counts by rule, attributes by name, and what the cleaned header still holds of the source."""
    told = Counter((_named(change.path), change.action, _rule(change.rule)) for change in changes)
    tallies: Counter[tuple[str, str]] = Counter()
    for (_, action, rule), count in told.items():
        tallies[action, rule] += count
    changed = [_attribute(*what, count) for what, count in sorted(told.items())]
    kept = sorted(set(_paths(header)) - {path for path, _, _ in told})
    return Account(
        tallies=tuple(
            Tally(action=action, rule=rule, count=count) for (action, rule), count in sorted(tallies.items())
        )[:TALLIES_MAX],
        changed=tuple(changed[:ATTRIBUTES_MAX]),
        changed_left_out=max(0, len(changed) - ATTRIBUTES_MAX),
        kept=tuple(kept[:ATTRIBUTES_MAX]),
        kept_left_out=max(0, len(kept) - ATTRIBUTES_MAX),
    )


@lru_cache(4096)  # the same in every slice, and checked by the document's own rules once
def _attribute(path: str, action: str, rule: str, count: int) -> Attribute:
    return Attribute(path=path, action=action, rule=rule, count=count)


_ITEM = re.compile(r"\[[0-9]*\]")
_TAG = re.compile(r"\([0-9A-Fa-f]{4},[0-9A-Fa-fx]{2,4}\)")
# Of the table, some of whose rows pydicom's dictionary lacks; and of the repeating groups, which it looks up by mask.
_KEYWORDS = frozenset(rule.keyword for rule in annex_e.RULES) | {row[4] for row in RepeatersDictionary.values()}
_ENVELOPE = ("preamble", "file meta information")  # places of a file that are no attribute


@lru_cache(4096)  # the same attributes in every slice
def _named(path: str) -> str:
    """A change's place with its item numbers gone, and with "other" for whatever is neither keyword nor tag."""
    if path in _ENVELOPE:
        return path
    parts = _ITEM.sub("", path).split(".")
    return ".".join(each if _is_name(each) else "other" for each in parts)[:PATH_CHARACTERS_MAX]


def _is_name(text: str) -> bool:
    return text in _KEYWORDS or tag_for_keyword(text) is not None or _TAG.fullmatch(text) is not None


@lru_cache(1024)
def _rule(rule: str) -> str:
    return re.sub(r"[^A-Za-z0-9 .,:()/*+-]", " ", rule)[:RULE_CHARACTERS_MAX]


def _paths(header: Dataset, before: str = "") -> Iterable[str]:
    """The place of every attribute; values are left as they lie, but where a sequence may be one (PS3.5 6.2.2)."""
    for tag in header.keys():  # noqa: SIM118 - iterating over a data set converts every value
        path = before + (keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})")
        if header.get_item(tag).VR in (None, "SQ", "UN") and header[tag].VR == "SQ":
            for item in header[tag].value:
                yield from _paths(item, f"{path}.")
        yield path[:PATH_CHARACTERS_MAX]
