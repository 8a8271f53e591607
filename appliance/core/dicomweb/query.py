"""A search of QIDO-RS (PS3.18 8.3.4, 10.6) out of its address, strictly.

A key that the ledger cannot match is refused and never left out: a search that forgot a key would answer with other
people's studies. Fuzzy matching is not done; it is asked for and said so, because the literal answer is a part of it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from appliance.errors import Refused

Level = Literal["study", "series", "instance"]
Kind = Literal["uid", "text", "name", "date", "code", "number"]
KEYS: dict[Level, dict[str, Kind]] = {
    "study": {
        "StudyInstanceUID": "uid",
        "PatientID": "text",
        "PatientName": "name",
        "PatientBirthDate": "date",
        "StudyDate": "date",
        "StudyDescription": "text",
        "AccessionNumber": "text",
        "ModalitiesInStudy": "code",
    },
    "series": {"SeriesInstanceUID": "uid", "Modality": "code"},
    "instance": {"SOPInstanceUID": "uid", "SOPClassUID": "uid", "InstanceNumber": "number"},
}
LIMIT, LIMIT_MAX, OFFSET_MAX = 100, 1_000, 1_000_000
PARAMETERS_MAX, VALUE_CHARACTERS_MAX, VALUES_MAX, WILDCARDS_MAX = 40, 64, 20, 8
TAG = re.compile(r"[0-9A-Fa-f]{8}")
UID = re.compile(r"[0-9.]{1,64}")
DATES = re.compile(r"([0-9]{8})|([0-9]{8})?-([0-9]{8})?")
CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Search:
    """A search that can be answered.

    keys     keyword -> the values of which one must match; a date as "from-to" with either end open
    include  keywords that were asked for beyond what is always told; everything is told that is known
    capped   the limit that was asked for is beyond LIMIT_MAX
    fuzzy    fuzzy matching was asked for
    """

    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    include: frozenset[str] = frozenset()
    limit: int = LIMIT
    offset: int = 0
    capped: bool = False
    fuzzy: bool = False


def search_of(level: Level, told: Iterable[tuple[str, str]]) -> Search:
    """The search that the parameters of an address ask for.

    raises  Refused("dicomweb-query"), the keyword or parameter as its place where it is one of the dictionary's
    """
    pairs = list(told)
    if len(pairs) > PARAMETERS_MAX:
        raise Refused("dicomweb-query")
    keys: dict[str, tuple[str, ...]] = {}
    include: set[str] = set()
    limit, offset, fuzzy = LIMIT, 0, False
    for name, value in pairs:
        if name == "limit":
            limit = _count(name, value, 1)
        elif name == "offset":
            offset = _count(name, value, 0)
        elif name == "fuzzymatching":
            if value not in ("true", "false"):
                raise Refused("dicomweb-query", name)
            fuzzy = value == "true"
        elif name == "includefield":
            include |= {_keyword(each) for each in value.split(",") if each != "all"}
        elif name != "accept":  # PS3.18 8.3.3.1: a media type, for whoever answers
            keyword = _keyword(name)
            if keyword not in KEYS[level] or keyword in keys:
                raise Refused("dicomweb-query", keyword)
            values = _values(keyword, KEYS[level][keyword], value)
            if values:
                keys[keyword] = values
    if offset > OFFSET_MAX:
        raise Refused("dicomweb-query", "offset")
    return Search(keys, frozenset(include), min(limit, LIMIT_MAX), offset, limit > LIMIT_MAX, fuzzy)


def _count(name: str, value: str, least: int) -> int:
    if not NUMBER.fullmatch(value) or int(value) < least:
        raise Refused("dicomweb-query", name)
    return int(value)


def _keyword(name: str) -> str:
    """The dictionary's keyword of an attribute that is named by keyword or by tag (PS3.18 8.3.4.1)."""
    # Here and not above: only who searches pays for the dictionary.
    from pydicom.datadict import keyword_for_tag, tag_for_keyword

    keyword = keyword_for_tag(int(name, 16)) if TAG.fullmatch(name) else name
    if not keyword or len(keyword) > 64 or tag_for_keyword(keyword) is None:
        raise Refused("dicomweb-query")
    return keyword


def _values(keyword: str, kind: Kind, value: str) -> tuple[str, ...]:
    """What a key asks for, () for universal matching (PS3.4 C.2.2.2.3)."""
    value = value.strip()
    if kind in ("uid", "code"):
        values = tuple(filter(None, (each.strip() for each in re.split(r"[,\\]", value))))
    else:
        values = (value,) if value.strip("*") else ()
    shape = {"uid": UID, "code": CODE, "date": DATES, "number": NUMBER}.get(kind)
    for each in values:
        fits = shape is None or shape.fullmatch(each)
        plain = each.isprintable() and len(each) <= VALUE_CHARACTERS_MAX and each != "-"
        if not fits or not plain or each.count("*") + each.count("?") > WILDCARDS_MAX:
            raise Refused("dicomweb-query", keyword)
    if len(values) > VALUES_MAX:
        raise Refused("dicomweb-query", keyword)
    return values


def dates(value: str) -> tuple[str, str]:
    """First and last day of a date or a range of dates; an open end is as far as dates go."""
    first, dash, last = value.partition("-")
    return (first or "00000000", last or "99999999") if dash else (value, value)


def like(value: str) -> str:
    """DICOM's wildcards as SQL's LIKE takes them, escaped by a backslash."""
    escaped = re.sub(r"([\\%_])", r"\\\1", value)
    return escaped.replace("*", "%").replace("?", "_")


def glob(value: str) -> str:
    """DICOM's wildcards as SQLite's GLOB takes them: the same two, but that a bracket means itself."""
    return value.replace("[", "[[]")
