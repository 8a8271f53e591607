"""The same tree of elements, read by pydicom: big endian files, and those in which the quick reader sees something odd.

It is slower and more forgiving, and it is what the quick reader is held against. It refuses, as
Quarantined("deid-unsupported"), what pydicom cannot read either.
"""

import struct
import warnings
from io import BytesIO

import pydicom
from pydicom import config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.values import convert_SQ

from appliance.core.admit import file_meta
from appliance.core.elements import (
    DEPTH_MAX,
    ELEMENTS_MAX,
    PIXEL_DATA,
    Element,
    Object,
    Odd,
    inflated,
    is_part_10,
    items_in,
    vr_of,
)
from appliance.errors import Quarantined

# All that pydicom raises on a damaged header, by name. It converts values when they are first looked at.
DAMAGE = (
    ValueError,  # and UnicodeError
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
    InvalidDicomError,
    Odd,
)


def read(data: bytes) -> Object:
    """The elements of a file that pydicom can read, whatever its syntax.

    raises  Quarantined("deid-unsupported", place); Quarantined("header-unreadable"), ("header-truncated") of the file
            meta information
    """
    if is_part_10(data):
        syntax, start = file_meta(data)
        if syntax == DeflatedExplicitVRLittleEndian:
            try:
                inflated(data[start:])  # measured before pydicom unfolds it
            except Odd:
                raise Quarantined("deid-unsupported", "deflated data set") from None
    try:
        with config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd; a warning may quote it
            return of_dataset(pydicom.dcmread(BytesIO(data), force=True))
    except DAMAGE:
        # The cause quotes values, so it is not kept.
        raise Quarantined("deid-unsupported", "header") from None


def of_dataset(dataset: FileDataset) -> Object:
    """The elements of a data set as pydicom read it."""
    syntax = _transfer_syntax(dataset)
    held_big, wanted_big = dataset.original_encoding[1] is False, syntax == ExplicitVRBigEndian
    if held_big != wanted_big:
        raise Quarantined("deid-unsupported", "TransferSyntaxUID")
    elements = _elements(dataset, 0, [0])
    if UID(syntax).is_encapsulated:  # PS3.5 A.4: OB, whatever the file says
        for element in elements:
            element.vr = "OB" if element.tag == PIXEL_DATA else element.vr
    return Object(syntax, elements)


def _transfer_syntax(dataset: FileDataset) -> str:
    named = getattr(dataset.file_meta, "TransferSyntaxUID", None) if hasattr(dataset, "file_meta") else None
    if named:
        return str(named)
    # A file without meta information is in the encoding that it was read with, PS3.10 7 notwithstanding.
    syntaxes = {(True, True): ImplicitVRLittleEndian, (False, True): ExplicitVRLittleEndian}
    syntaxes[(False, False)] = ExplicitVRBigEndian
    if dataset.original_encoding not in syntaxes:
        raise Quarantined("deid-unsupported", "TransferSyntaxUID")
    return str(syntaxes[dataset.original_encoding])


def _elements(dataset: Dataset, depth: int, counter: list[int]) -> list[Element]:
    if depth > DEPTH_MAX:
        raise Odd
    counter[0] += len(dataset)
    if counter[0] > ELEMENTS_MAX:
        raise Odd
    return [_element(dataset.get_item(tag), depth, counter) for tag in sorted(dataset.keys())]


def _element(item: DataElement | RawDataElement, depth: int, counter: list[int]) -> Element:
    tag = int(item.tag)
    known = vr_of(tag)
    declared = item.VR or known or "UN"
    if isinstance(item.value, Sequence):
        return Element(tag, "SQ", b"", [_elements(each, depth + 1, counter) for each in item.value])
    if isinstance(item, RawDataElement):
        value = item.value or b""
        if declared == "UN" and known == "SQ":
            return Element(tag, "SQ", b"", items_in(value))
        if declared == "SQ":
            parsed = convert_SQ(value, item.is_implicit_VR, item.is_little_endian)
            return Element(tag, "SQ", b"", [_elements(each, depth + 1, counter) for each in parsed])
        return Element(tag, (known or "UN") if declared == "UN" else declared, value)
    # pydicom converts a few values while it reads, such as the character set.
    if isinstance(item.value, bytes):
        return Element(tag, declared, item.value)
    parts = list(item.value) if item.VM > 1 and item.value else [item.value]
    text = "\\".join("" if part is None else str(part) for part in parts).encode("ascii")
    return Element(tag, declared, text + b" " * (len(text) % 2))
