"""The last look before anything leaves: the finished bytes against the identity of their source.

It is handed bytes, not the cleaner's word, and shares no code with the cleaner. It parses what it is given to the
last element, searches values and bytes, and demands the structure of a de-identified object. It refuses what it
finds identity in and what it cannot read; it mends nothing. A finding names the place, never the value.
"""

import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pydicom import config, dcmread
from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_has_tag, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from appliance.core.identity import DAMAGE, Identity
from appliance.core.inspect_scan import in_bytes, in_number, in_text, in_uid, inflated
from appliance.core.inspect_search import Search, search_for
from appliance.errors import Quarantined

FINDINGS_MAX = 32
ELEMENTS_MAX = 500_000
DEPTH_MAX = 32
JSON_BYTES_MAX = 16 << 20
BODY_BYTES_MAX = 1 << 30
PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
FILE_META_ALLOWED = frozenset({0x0000, 0x0001, 0x0002, 0x0003, 0x0010, 0x0012, 0x0013})
_PATIENT_ID = re.compile(r"ANON[A-Z2-7]{16}|")
_PERSON = re.compile(r"ANON[A-Z2-7]{16}|REMOVED|")
_NUMBER_VRS = frozenset({"DS", "IS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})
_DAMAGE = (*DAMAGE, zlib.error, InvalidDicomError)


class Finding(NamedTuple):
    """One reason not to let go: where, and what kind of reason. Never a value."""

    place: str
    kind: str


def inspect(data: bytes, identity: Identity, vocabulary: frozenset[str] = frozenset()) -> None:
    """Returns if `data` may leave.

    data        a complete DICOM Part 10 file, or a JSON document in UTF-8
    identity    of every source object that went into it
    vocabulary  whole keys and values that a JSON document of this kind bears whoever the patient is: found as a whole
                string they tell nothing of a patient who happens to be called so; as part of a string they are searched
    raises      Quarantined("inspect-identity-found", place), Quarantined("inspect-unreadable", place)
    """
    found = findings(data, identity, vocabulary)
    if found:
        unreadable = found[0].kind == "unreadable"
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise Quarantined("inspect-unreadable" if unreadable else "inspect-identity-found", found[0].place + more)


def findings(data: bytes, identity: Identity, vocabulary: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """Every reason not to let go of `data`, at most FINDINGS_MAX; unreadable first. Same arguments as inspect()."""
    search = search_for(identity)
    if data[128:132] == b"DICM":
        reasons = _in_dicom(search, data)
    elif data[:1] in (b"{", b"["):
        reasons = _in_json(search, data, vocabulary)
    else:
        return (Finding("document", "unreadable"),)
    found: dict[Finding, None] = {}
    try:
        with config.disable_value_validation():
            for finding in reasons:
                found[finding] = None
                if len(found) >= FINDINGS_MAX:
                    break
    except _DAMAGE:
        return (Finding("document", "unreadable"), *found)
    return tuple(sorted(found, key=lambda one: one.kind != "unreadable"))


def _in_json(search: Search, data: bytes, vocabulary: frozenset[str]) -> Iterator[Finding]:
    if len(data) > JSON_BYTES_MAX:
        yield Finding("document", "unreadable")
        return

    def said(text: str) -> bool:
        return text not in vocabulary and in_text(search, text)

    yield from _in_value(search, said, "document", json.loads(data.decode("utf-8")), 0)
    for word in vocabulary:
        data = data.replace(f'"{word}"'.encode(), b'""')
    if in_bytes(search, data):
        yield Finding("document bytes", "identity")


def _in_value(search: Search, said: Callable[[str], bool], place: str, value: Any, depth: int) -> Iterator[Finding]:
    if depth > DEPTH_MAX:
        yield Finding("document", "unreadable")
    elif isinstance(value, dict):
        for number, (key, inner) in enumerate(value.items()):
            # A key may itself be a leak: then it does not name the place.
            if said(key):
                yield Finding(f"{place}.key[{number}]", "identity")
                yield from _in_value(search, said, f"{place}.key[{number}]", inner, depth + 1)
            else:
                yield from _in_value(search, said, f"{place}.{key[:40]}", inner, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _in_value(search, said, f"{place}[{number}]", inner, depth + 1)
    elif isinstance(value, str):
        if said(value):
            yield Finding(place, "identity")
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and in_number(search, repr(value)):
        yield Finding(place, "identity")


def _in_dicom(search: Search, data: bytes) -> Iterator[Finding]:
    dataset = dcmread(io.BytesIO(data))
    yield from _in_envelope(search, data, dataset)
    if str(dataset.get("PatientIdentityRemoved", "")) != "YES":
        yield Finding("PatientIdentityRemoved", "structure")
    bulk: list[bytes] = []
    yield from _in_dataset(search, "", dataset, 0, bulk)
    body = _body(data, dataset)
    for value in bulk:
        body = body.replace(value, b"", 1)
        if in_bytes(search, value, pictures=True):
            yield Finding("PixelData bytes", "identity")
    for stream in (body, *inflated(body)):
        if in_bytes(search, stream):
            yield Finding("file bytes", "identity")


def _in_envelope(search: Search, data: bytes, dataset: FileDataset) -> Iterator[Finding]:
    """Preamble and file meta information: PS3.10 7.1, replaced as a whole by PS3.15 E.1.1."""
    if data[:128] != bytes(128):
        yield Finding("preamble", "structure")
    for element in dataset.file_meta:
        if element.tag.group != 2 or element.tag.element not in FILE_META_ALLOWED:
            yield Finding(f"(0002,{element.tag.element:04X})", "structure")
        elif _wrong_value(search, element):
            yield Finding(f"(0002,{element.tag.element:04X})", "identity")
    if dataset.file_meta.get("MediaStorageSOPInstanceUID") != dataset.get("SOPInstanceUID"):
        yield Finding("MediaStorageSOPInstanceUID", "structure")


def _body(data: bytes, dataset: FileDataset) -> bytes:
    """The bytes to search: the data set inflated where the transfer syntax deflates it, PS3.5 A.5."""
    if dataset.file_meta.get("TransferSyntaxUID") != "1.2.840.10008.1.2.1.99":
        return data
    # (0002,0000) stands first, 12 bytes long, and counts the bytes of the group after itself.
    start = 144 + int(dataset.file_meta.FileMetaInformationGroupLength)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    text = unpacker.decompress(data[start:], BODY_BYTES_MAX)
    if unpacker.unconsumed_tail:
        raise ValueError("larger than the limit")
    return data[:start] + text + unpacker.unused_data


def _in_dataset(search: Search, place: str, dataset: Dataset, depth: int, bulk: list[bytes]) -> Iterator[Finding]:
    if depth > DEPTH_MAX:
        yield Finding(place.split(".")[0], "unreadable")
        return
    for tag in sorted(dataset.keys()):
        here = place + (keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})")
        element = dataset[tag]
        if reason := _misplaced(tag, element, depth):
            yield Finding(here, reason)
        elif element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from _in_dataset(search, f"{here}[{number}].", item, depth + 1, bulk)
        elif isinstance(element.value, bytes):
            if here in PIXEL_KEYWORDS or here == "WaveformData":
                bulk.append(element.value)
        elif reason := _wrong_value(search, element):
            yield Finding(here, reason)


def _misplaced(tag: BaseTag, element: DataElement, depth: int) -> str:
    """Attributes that no de-identified object bears, whatever their value."""
    if depth and element.keyword in PIXEL_KEYWORDS:
        return "structure"  # a picture inside an item is an icon, PS3.3 F.7: nobody looks at it
    if tag.is_private or tag.group >> 8 in (0x50, 0x60) or tag.group in (0x0004, 0xFFFA, 0xFFFC):
        return "structure"
    if element.VR == "UN" or not dictionary_has_tag(tag):
        return "structure"
    return ""


def _wrong_value(search: Search, element: DataElement) -> str:
    value = element.value
    texts = [str(part) for part in value] if isinstance(value, (MultiValue, list)) else [str(value)]
    if value is None:
        return ""
    if element.VR == "PN" and not all(_PERSON.fullmatch(text) for text in texts):
        return "structure"
    if element.keyword == "PatientID" and not all(_PATIENT_ID.fullmatch(text) for text in texts):
        return "structure"
    if len(texts) > 1 and element.VR not in _NUMBER_VRS and element.VR != "UI":
        texts.append(" ".join(texts))  # a name may be spread over the values
    for text in texts:
        if element.VR in _NUMBER_VRS:
            hit = in_number(search, text)
        elif element.VR == "UI":
            hit = text not in UID_dictionary and in_uid(search, text)
        elif element.VR in ("TM", "DT"):
            hit = text[:6] in search.times if element.VR == "TM" else text[:8] in search.dates
        else:
            hit = in_text(search, text)
        if hit:
            return "identity"
    return ""
