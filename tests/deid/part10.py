"""Every element of a DICOM file as (place, vr, bytes), read without any library: the scorer's own eyes.

A UN value of undefined length, and any value that reads as a sequence to its end, is entered. It never raises on a
damaged file: it yields what it could read, and the byte search over the whole file sees the rest.
"""

import contextlib
import struct
import zlib
from collections.abc import Iterator

LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
KNOWN = LONG | set(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
DEFLATED, BIG, IMPLICIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2"
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
DEPTH_MAX = 40


class Unreadable(Exception):
    """What stands here is no data set."""


def body(data: bytes) -> tuple[bytes, str]:
    """The file with its data set inflated, and its transfer syntax."""
    meta_end, syntax = _meta(data)
    if syntax == DEFLATED:
        return data[:meta_end] + zlib.decompressobj(-15).decompress(data[meta_end:]), syntax
    return data, syntax


def _meta(data: bytes) -> tuple[int, str]:
    at, syntax = 132, IMPLICIT
    if data[128:132] != b"DICM":
        return 0, IMPLICIT
    while at + 8 <= len(data) and data[at : at + 2] == b"\x02\0":
        tag, _, start, length = _head(data, at, "<", False)
        if tag == 0x00020010:
            syntax = data[start : start + length].decode("ascii", "replace").strip("\0 ")
        at = start + length
    return at, syntax


def _head(data: bytes, at: int, order: str, implicit: bool) -> tuple[int, bytes, int, int]:
    if at + 8 > len(data):
        raise Unreadable
    group, element = struct.unpack_from(order + "HH", data, at)
    tag = group << 16 | element
    if group == 0xFFFE or implicit:
        return tag, b"", at + 8, struct.unpack_from(order + "I", data, at + 4)[0]
    vr = data[at + 4 : at + 6]
    if vr not in KNOWN:
        raise Unreadable
    if vr in LONG:
        if at + 12 > len(data):
            raise Unreadable
        return tag, vr, at + 12, struct.unpack_from(order + "I", data, at + 8)[0]
    return tag, vr, at + 8, struct.unpack_from(order + "H", data, at + 6)[0]


def elements(data: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Every leaf of the file; sequences are told by their leaves. The file meta's places begin with "meta "."""
    whole, syntax = body(data)
    meta_end, _ = _meta(data)
    at = 132
    while at < meta_end:
        tag, vr, start, length = _head(whole, at, "<", False)
        yield f"meta {tag:08X}", vr.decode(), whole[start : start + length]
        at = start + length
    found: list[tuple[str, str, bytes]] = []
    with contextlib.suppress(Unreadable):
        _data_set(whole, meta_end, len(whole), ">" if syntax == BIG else "<", syntax == IMPLICIT, "", found, 0)
    yield from found


def _data_set(
    data: bytes,
    at: int,
    end: int,
    order: str,
    implicit: bool,
    place: str,
    found: list[tuple[str, str, bytes]],
    depth: int,
) -> int:
    """Reads to `end` or to the item's delimiter; returns where it stopped."""
    while at < end:
        tag, vr, start, length = _head(data, at, order, implicit)
        if tag == ITEM_END:
            return start
        here = f"{place}{tag:08X}"
        if length == UNDEFINED:
            if tag == 0x7FE00010 and vr != b"SQ":
                at = _fragments(data, start, end, order, here, found)
                continue
            # PS3.5 6.2.2 note: a UN of undefined length is a sequence in Implicit VR Little Endian.
            nested = ("<", True) if vr == b"UN" else (order, implicit)
            at = _sequence(data, start, end, *nested, here, found, depth)
            continue
        if start + length > end:
            raise Unreadable
        at = start + length
        if vr == b"SQ" or (vr in (b"", b"UN") and length >= 8):
            inner: list[tuple[str, str, bytes]] = []
            for nested in ((order, implicit), ("<", True)):
                try:
                    inner.clear()
                    if _sequence(data, start, at, *nested, here, inner, depth) == at and inner:
                        break
                except Unreadable:
                    inner.clear()
            if inner:
                found += inner
                continue
        found.append((here, vr.decode(), data[start:at]))
    return at


def _sequence(data: bytes, at: int, end: int, order: str, implicit: bool, place: str, found: list, depth: int) -> int:
    if depth > DEPTH_MAX:
        raise Unreadable
    number = 0
    while at < end:
        if at + 8 > end:
            raise Unreadable
        group, element, length = struct.unpack_from(order + "HHI", data, at)
        tag = group << 16 | element
        at += 8
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM:
            raise Unreadable
        item_end = end if length == UNDEFINED else at + length
        if item_end > end:
            raise Unreadable
        at = _data_set(data, at, item_end, order, implicit, f"{place}[{number}].", found, depth + 1)
        number += 1
    return at


def _fragments(data: bytes, at: int, end: int, order: str, place: str, found: list) -> int:
    number = 0
    while at + 8 <= end:
        group, element, length = struct.unpack_from(order + "HHI", data, at)
        at += 8
        if group << 16 | element == SEQUENCE_END:
            return at
        if group << 16 | element != ITEM or at + length > end:
            raise Unreadable
        found.append((f"{place}({number})", "OB", data[at : at + length]))
        at, number = at + length, number + 1
    raise Unreadable


def inflated(data: bytes) -> bytes:
    """All zlib streams inside the bytes, unfolded, one after the other: PDF pages, compressed text."""
    out = []
    at = data.find(b"\x78")
    while at >= 0:
        if data[at + 1 : at + 2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
            try:
                text = zlib.decompressobj().decompress(data[at:], 1 << 22)
                if len(text) > 8:
                    out.append(text)
            except zlib.error:
                pass
        at = data.find(b"\x78", at + 1)
    return b"\n".join(out)
