"""A colour profile without a history: what stands in place of a received ICC profile.

A profile names its maker, its device and often a person or a site, and has room for more; yet palette and true colour
objects must have one. This one says sRGB primaries and a gamma of 2.2 for an input device and nothing else.
"""

import struct

_SIGNATURES = (b"desc", b"cprt", b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")


def _fixed(*numbers: float) -> bytes:
    """s15Fixed16Number, ICC.1:2001-04 5.3.3."""
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def _description(text: bytes) -> bytes:
    """textDescriptionType, ICC.1:2001-04 6.5.17."""
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(78)


def srgb_profile() -> bytes:
    """A version 2.4 matrix profile of class scnr (ICC.1:2001-04), D50-adapted primaries of IEC 61966-2-1."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    colours = ((0.9642, 1.0, 0.8249), (0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
    values = [_description(b"sRGB"), b"text\0\0\0\0No copyright\0\0\0\0"]
    values += [b"XYZ \0\0\0\0" + _fixed(*colour) for colour in colours] + [curve] * 3
    values = [value + bytes(-len(value) % 4) for value in values]
    table, body, at = struct.pack(">I", len(values)), b"", 128 + 4 + 12 * len(values)
    for signature, value in zip(_SIGNATURES, values, strict=True):
        table += signature + struct.pack(">II", at + len(body), len(value))
        body += value
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"scnr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(0.9642, 1.0, 0.8249)
    return header + bytes(128 - len(header)) + table + body


SRGB_PROFILE = srgb_profile()
