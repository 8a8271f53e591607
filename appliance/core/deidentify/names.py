"""The names in one object: what its harmless-looking values must not bear.

A patient's name typed into a code string, a hospital's into Manufacturer. Found by kind of value before anything is
cleaned. It refuses to be the inspector: it serves to clean more, never to pass something.
"""

import re
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom.charset import decode_bytes, python_encoding
from pydicom.datadict import keyword_for_tag

from appliance.core.elements import Element, vr_of
from appliance.errors import Quarantined

_CHARACTER_SET = 0x00080005
_HOUSES = re.compile(r"Institution|Organization|^PatientAddress$")  # a house that somebody lives in, too
_IDS = re.compile(r"^PatientID$|^OtherPatientIDs$")
_WORD = re.compile(r"[^\W_]{3,}")
TAGS_MAX = 20_000
WORDS_MAX = 1000  # of all names together: no honest object names so many people
_INSIDE_MIN = 6  # letters of a name that are looked for inside longer words too: Philip in Philips
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae", "œ": "oe", "ł": "l"})
_DELIMITERS = {0x5C, 0x5E, 0x3D}  # \ ^ = end a run in another character set, PS3.5 6.1.2.5.3


@dataclass(frozen=True, slots=True)
class Owned:
    """Words of names, patient identifiers and institutions in the source, casefolded."""

    people: frozenset[str] = field(default=frozenset(), repr=False)
    houses: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def words(self) -> frozenset[str]:
        return self.people | self.houses

    def bears_person(self, text: str) -> bool:
        """The text bears a word of a person's name or identifier, whole or inside a longer one."""
        return bool(self.people) and _bears(text, self.people)

    def bears(self, text: str) -> bool:
        """The same, of an institution's too."""
        return self.bears_person(text) or (bool(self.houses) and _bears(text, self.houses))


@lru_cache(4096)
def _bears(text: str, owned: frozenset[str]) -> bool:
    folded = text.casefold()
    if folded in owned or not owned.isdisjoint(_WORD.findall(folded)):
        return True
    squeezed = re.sub(r"[\W_]+", "", folded)
    return any(word in squeezed for word in _long(owned))


@lru_cache(64)
def _long(owned: frozenset[str]) -> tuple[str, ...]:
    return tuple(word for word in owned if len(word) >= _INSIDE_MIN)


def encodings_of(elements: list[Element], outer: tuple[str, ...]) -> tuple[str, ...]:
    """Python's names of the character sets of a data set, PS3.5 6.1.2; those of the outer one where it says none."""
    for element in elements:
        if element.tag == _CHARACTER_SET:
            told = element.value.strip(b"\0 ").decode("latin-1").split("\\")
            known = tuple(python_encoding[term.strip()] for term in told if term.strip() in python_encoding)
            return known or ("utf-8", "latin-1")  # declared as nothing that exists: the two that are always possible
    return outer


def decoded(value: bytes, encodings: tuple[str, ...]) -> str:
    """A text as its character sets say; wrongly declared bytes become replacement characters."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii").strip("\0 ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is wrongly declared; the warning would quote it
        return str(decode_bytes(value, list(encodings), _DELIMITERS)).strip("\0 ")


def owned_by(elements: list[Element]) -> Owned:
    """Everybody and every house that the object names. Raises Quarantined("deid-unsupported", "names"): too many."""
    people: set[str] = set()
    houses: set[str] = set()
    for of_house, text in _names(elements, ("ascii",)):
        folded = text.casefold()
        plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
        spelled = {folded} if folded.isascii() else {folded, plain, folded.translate(_GERMAN)}
        found = {word for form in spelled for word in (*_WORD.findall(form), form) if len(word) >= 3}
        (houses if of_house else people).update(found)
    if len(people) + len(houses) > WORDS_MAX:
        raise Quarantined("deid-unsupported", "names")
    return Owned(frozenset(people), frozenset(houses))


def _names(elements: list[Element], encodings: tuple[str, ...]) -> Iterator[tuple[bool, str]]:
    encodings = encodings_of(elements, encodings)
    known = _OWNERS.get
    for element in elements:
        if element.items is not None:
            for item in element.items:
                yield from _names(item, encodings)
            continue
        owner = known(element.tag)
        if owner is None:
            owner = _OWNERS[element.tag] = _owner(element.tag)
        if owner == "name" or (owner == "unknown" and element.vr == "PN"):
            for part in re.split(r"[\\=]", decoded(element.value, encodings)):
                yield False, part
        elif owner == "house" or owner == "person":
            yield owner == "house", decoded(element.value, encodings)


_OWNERS: dict[int, str] = {}


def _owner(tag: int) -> str:
    """What a value is by its tag: somebody's name, an identifier of the patient ("person"), an institution's name
    ("house"), unknown where only the file says its VR, else ""."""
    if len(_OWNERS) > TAGS_MAX:
        _OWNERS.clear()
    vr = vr_of(tag)
    if vr is None or vr == "PN":
        return "name" if vr else "unknown"
    if vr not in ("LO", "ST", "SH", "LT", "UT"):
        return ""
    keyword = keyword_for_tag(tag)
    return "person" if _IDS.search(keyword) else "house" if _HOUSES.search(keyword) else ""
