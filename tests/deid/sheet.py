"""Planting: one data set in the making, and the answer key that grows with it."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.deid.answer_key import FileNote, Item, Key
from tests.deid.table import expectations
from tests.deid.words import Words

CT = "1.2.840.10008.5.1.4.1.1.2"
# Fields of one kind of value: a sentence there would be no plausible plant.
FORMS = (
    ("Address", "{} street 14"),
    ("Telecom", "{}"),
    ("InstitutionName", "{} Clinic"),
    ("Department", "{} ward"),
    ("Manufacturer", "{} Inc"),
    ("Name", "{}"),
    ("ID", "{}"),
    ("Number", "{}"),
    ("Location", "{} building"),
    ("Residence", "{}"),
    ("Label", "{}"),
    ("Occupation", "{}"),
    ("Rank", "{}"),
    ("Locator", "{}"),
    ("Issuer", "{}"),
    ("Model", "{} 5"),
    ("Make", "{}"),
    ("System", "{}_PACS"),
    ("Specification", "{} f/2"),
    ("Identifier", "{}"),
)
SENTENCES = (
    "{} told so",
    "seen by Dr {} today",
    "as {} had asked for",
    "please call {}",
    "for {}, by courier",
    "compare {} of last year",
)


# Coded values with enumerated terms: a word of ours would be no valid value.
CLOSED = {0x00100040: "F", 0x00102203: "ALTERED", 0x001021A0: "YES"}


@dataclass(frozen=True, slots=True)
class Person:
    family: str
    given: str
    id: str
    birth: str

    @property
    def name(self) -> str:
        return f"{self.family}^{self.given}"


@dataclass(slots=True)
class Field:
    """A corpus in the making."""

    seed: int
    folder: Path
    rng: random.Random = field(init=False)
    words: Words = field(init=False)
    key: Key = field(init=False)
    masks: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.words = Words(self.rng)
        self.key = Key(self.seed)
        self.folder.mkdir(parents=True, exist_ok=True)

    def person(self) -> Person:
        birth = self.words.day(0, 25_000).strftime("%Y%m%d")
        return Person(self.words.word(), self.words.word(4), "P" + self.words.digits(9), birth)


@dataclass(slots=True)
class Sheet:
    """One file in the making."""

    field: Field
    note: FileNote
    dataset: Dataset
    items: list[Item] = field(default_factory=list)

    @property
    def words(self) -> Words:
        return self.field.words

    @property
    def rng(self) -> random.Random:
        return self.field.rng

    def expect(self, category: str, place: str, kind: str, value: str, **more) -> None:
        self.items.append(Item(self.note.file, category, place, kind, value, **more))

    def put(self, category: str, tag: int, vr: str, inside: Dataset | None = None, place: str = "", **more) -> str:
        """A value of that representation with a token of its own; returns the token."""
        where = self.dataset if inside is None else inside
        here = f"{place}{int(tag):08X}"
        value, token, kind = self.made(vr, keyword_for_tag(tag))
        more = {**expectations(int(tag)), **more}
        if int(tag) in CLOSED:
            value, token, kind = CLOSED[int(tag)], CLOSED[int(tag)], "value"
        if vr == "AS" and int(token[:3]) > 89:  # folded, whatever is retained
            more = {**more, "spared_by": (), "wanted_by": ()}
        if vr == "SQ":  # the token is deep inside: its own place
            here += "[0].00080104"
        where[tag] = DataElement(Tag(tag), vr, value)
        self.expect(category, here, kind, token, **more)
        return token

    def made(self, vr: str, keyword: str = "") -> tuple[object, str, str]:
        """A value, the token in it, and the kind of its item."""
        words, rng = self.words, self.rng
        match vr:
            case "PN":
                token = words.word()
                form = rng.choice(("{}^{}", "{}^{}^^Dr", "{1}^{0}", "{0} {1}", "{0}, {1}"))
                return form.format(token, rng.choice(("Anna", "Peter", "Mei", "Ivan"))), token, "text"
            case "LO" | "ST" | "LT" | "UT" | "UC":
                token = words.word()
                form = next((form for part, form in FORMS if part in keyword), rng.choice(SENTENCES))
                return form.format(token), token, "text"
            case "SH":
                token = words.word()
                return token, token, "text"
            case "CS" | "AE":
                token = words.word().upper()
                return token, token, "text"
            case "UR":
                token = words.word().lower()
                return f"https://{token}.example/x", token, "text"
            case "DA":
                token = words.day().strftime("%Y%m%d")
                return token, token, "date"
            case "DT":
                token = words.day().strftime("%Y%m%d")
                return token + "101112.5", token, "date"
            case "TM":
                token = words.clock()
                return token, token, "value"
            case "AS":
                token = f"{rng.choice((rng.randint(18, 88), rng.randint(91, 99))):03}Y"
                return token, token, "value"
            case "DS":
                token = f"{rng.randint(100, 999)}.{words.digits(6)}"
                return token, token, "text"
            case "IS":
                token = words.digits(9)
                return token, token, "text"
            case "US":
                number = rng.randint(2_000, 60_000)
                return number, str(number), "value"
            case "UI":
                token = words.uid()
                return token, token, "uid"
            case "OB" | "OW" | "UN":
                token = words.word()
                text = f"by {token} of ward 7".encode()
                return text + b"\0" * (len(text) % 2), token, "text"
            case "SQ":
                token = words.word()
                return Sequence([code(f"{token} street")]), token, "text"
        raise AssertionError(f"no plant for {vr}")

    def done(self) -> None:
        """Hands the items over; what the file bore before counts only where nothing was planted over it."""
        planted = {item.place.partition("[")[0] for item in self.items if item.category != "native"}
        kept = [item for item in self.items if item.category != "native" or item.place not in planted]
        self.field.key.items += kept
        self.field.key.files.append(self.note)


def code(meaning: str, value: str = "99-1", scheme: str = "99LOCAL") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def reference(sop_class: str, uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item
