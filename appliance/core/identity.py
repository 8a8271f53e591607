"""Everything in a source object that says whose it is, so that the finished bytes can be searched for it.

It goes by value representation and keyword, never by the rules of the cleaner: what a rule forgets must still be on
this list. It refuses to judge: whether a word is too common to be searched for is the inspector's business.
The list is the most private thing in the house: it is made, used and dropped within one step, never stored or logged.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pydicom import config
from pydicom.charset import decode_bytes
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.values import convert_SQ

from appliance.errors import Quarantined

Kind = Literal["name", "id", "date", "time", "uid", "address", "phone", "institution", "text", "private"]

DEPTH_MAX = 32
ITEMS_MAX = 200_000
TEXT_CHARACTERS_MAX = 100_000  # of one value
OPAQUE_BYTES_MAX = 1 << 20  # of one value of unknown representation
TEXT_VRS = frozenset({"AE", "AS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
BINARY_VRS = frozenset({"OB", "OW", "UN", "OB or OW"})
# Text that names products, vocabularies or formats. It identifies nobody, and an honest output keeps it.
NOT_IDENTITY = frozenset(
    {
        "CodeMeaning",
        "CodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeName",
        "CodingSchemeVersion",
        "ConvolutionKernel",
        "DeidentificationMethod",
        "ImagedNucleus",
        "ImplementationClassUID",
        "ImplementationVersionName",
        "LongCodeValue",
        "MIMETypeOfEncapsulatedDocument",
        "Manufacturer",
        "ManufacturerModelName",
        "ModalityLUTType",
        "Radionuclide",
        "RescaleType",
        "SoftwareVersions",
        "StackID",
        "TimezoneOffsetFromUTC",
    }
)
# Standard bulk data: pictures and tables of numbers. What is written into a picture is another module's matter.
NOT_TEXT = re.compile(
    r"PixelData|PaletteColorLookupTableData|LUTData|WaveformData|OverlayData|ICCProfile|EncapsulatedDocument$"
)
_ID = re.compile(r"ID$|IDs$|Number|Identifier|Serial|ProcedureStepID|AccessionNumber")
_ADDRESS = re.compile(r"Address|Residence|Location|Country|Region")
_PHONE = re.compile(r"Telephone|Telecom")
_INSTITUTION = re.compile(r"Institution|Department|Organization|Station|Sponsor|SiteName|CenterName")
_PRINTABLE = re.compile(rb"[\x20-\x7e\x80-\xff]{5,}")
_STANDARD_UID = "1.2.840.10008."
# What pydicom raises on values that are not what they say: named once, for this module and for the inspector.
DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    EOFError,
    OSError,
    struct.error,
    BytesLengthException,
)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that identifies. text is as in the source; place is its keyword or tag."""

    kind: Kind
    text: str = field(repr=False)
    place: str


@dataclass(frozen=True, slots=True)
class Identity:
    """All that identifies in one source object; different items only.

    products  its texts about equipment and codes: an honest output keeps them, so a word of theirs that also stands in
              free text, such as the maker's name in a private block, is no leak. Names and identifiers are not excused.
    """

    items: tuple[Item, ...] = field(repr=False)
    products: tuple[str, ...] = field(default=(), repr=False)


def identity(dataset: Dataset) -> Identity:
    """What identifies in `dataset`, its file meta information and its preamble, at every nesting level.

    raises  Quarantined("deid-unsupported", path): more items than the limit, or a value that nobody can read
    """
    found: dict[Item, None] = {}
    products: set[str] = set()
    try:
        with config.disable_value_validation():
            for part in (dataset, getattr(dataset, "file_meta", None)):
                for item in _of_dataset(part, 0, products) if part is not None else ():
                    found[item] = None
                    if len(found) > ITEMS_MAX:
                        raise Quarantined("deid-unsupported", item.place)
    except DAMAGE:
        # The cause quotes values, so it is not kept.
        raise Quarantined("deid-unsupported", "header") from None
    preamble = getattr(dataset, "preamble", None) or b""
    found.update(dict.fromkeys(_of_opaque("preamble", preamble)))
    return Identity(tuple(found), tuple(sorted(products)))


def joined(*identities: Identity) -> Identity:
    """The identity of a study: that of all its objects."""
    items = dict.fromkeys(item for one in identities for item in one.items)
    return Identity(tuple(items), tuple(sorted({text for one in identities for text in one.products})))


def _of_dataset(dataset: Dataset, depth: int, products: set[str]) -> Iterator[Item]:
    if depth > DEPTH_MAX:
        raise Quarantined("deid-unsupported", "nesting")
    for tag in sorted(dataset.keys()):
        place = keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and _opaque(tag, raw):
            yield from _of_bytes(dataset, place, raw, depth, products)
            continue
        try:
            element = dataset[tag]
        except DAMAGE:
            # Not to be read as what it says it is: then its characters are what there is to search for.
            yield from _of_opaque(place, raw.value if isinstance(raw.value, bytes) else b"")
            continue
        if place in NOT_IDENTITY:
            products.update(_values(element))
        elif element.VR == "SQ" or isinstance(element.value, Sequence):
            for item in element.value:
                yield from _of_dataset(item, depth + 1, products)
        elif isinstance(element.value, bytes):
            if not NOT_TEXT.search(place):
                yield from _of_bytes(dataset, place, element, depth, products)
        else:
            yield from _of_text(place, element.VR, _values(element))


def _opaque(tag: BaseTag, raw: RawDataElement) -> bool:
    known = dictionary_has_tag(tag)
    return isinstance(raw.value, bytes) and (raw.VR == "UN" or (raw.VR is None and not known))


def _of_bytes(
    dataset: Dataset, place: str, element: DataElement | RawDataElement, depth: int, products: set[str]
) -> Iterator[Item]:
    """A value of unknown representation: what the dictionary says it is, a sequence if it reads as one, else words."""
    value: bytes = (element.value or b"")[:OPAQUE_BYTES_MAX]
    vr = dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else "UN"
    if vr == "PN" or vr in ("DA", "DT", "TM", "UI") or vr in TEXT_VRS:
        text = decode_bytes(value, _encodings(dataset), {0x5C})
        yield from _of_text(place, vr, text.split("\\"))
        return
    if value[:4] in (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"):
        for implicit in (True, False):
            try:
                items = convert_SQ(value, implicit, value[:2] == b"\xfe\xff")
                nested = [item for one in items for item in _of_dataset(one, depth + 1, products)]
            except DAMAGE:
                continue
            yield from nested
            return
    if vr in BINARY_VRS or vr == "SQ":
        yield from _of_opaque(place, value)


def _encodings(dataset: Dataset) -> list[str]:
    encodings = dataset._character_set
    return [encodings] if isinstance(encodings, str) else list(encodings)


def _values(element: DataElement) -> list[str]:
    value = element.value
    if value is None:
        return []
    return [str(part) for part in value] if isinstance(value, (MultiValue, list)) else [str(value)]


def _of_text(place: str, vr: str, texts: list[str]) -> Iterator[Item]:
    for whole in texts:
        text = whole[:TEXT_CHARACTERS_MAX].strip("\0 ")
        if not text:
            continue
        if vr == "PN":
            yield Item("name", text, place)
        elif vr == "UI":
            if not text.startswith(_STANDARD_UID):
                yield Item("uid", text, place)
        elif vr in ("DA", "DT"):
            if re.match(r"\d{4}[-.]?\d{2}[-.]?\d{2}", text):
                yield Item("date", re.sub(r"[-.]", "", text[:10])[:8], place)
        elif vr == "TM":
            yield Item("time", text.replace(":", ""), place)
        elif vr in TEXT_VRS:
            yield Item(_kind(place), text, place)


def _kind(place: str) -> Kind:
    if place.startswith("("):
        return "private"
    for kind, pattern in _KINDS:
        if pattern.search(place):
            return kind
    return "text"


_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("address", _ADDRESS),
    ("phone", _PHONE),
    ("institution", _INSTITUTION),
    ("id", _ID),
)


def _of_opaque(place: str, value: bytes) -> Iterator[Item]:
    """Runs of characters in bytes that nothing explains, in the two encodings that are always possible."""
    for run in _PRINTABLE.findall(value[:OPAQUE_BYTES_MAX]):
        yield Item("private", run.decode("utf-8", "ignore").strip(), place)
        if not run.isascii():
            yield Item("private", run.decode("latin-1").strip(), place)
