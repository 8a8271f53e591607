"""What parent and child of the inference say to each other: fixed heads, lengths with limits, bytes of arrays.

A request comes from ourselves. A reply comes from a process that may have been taken over by a graph, so it has no
structure to be parsed: a status, a short text and as many bytes as the parent already expects.
"""

import math
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

HEAD = struct.Struct("<BIQ")  # graph number or status, bytes of text, bytes of body
LOAD = 255  # instead of a graph number: the body is a graph, the text says what it must look like
DONE, REFUSED = 0, 1
TEXT_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 512 * 2**20
FLOAT32 = np.dtype("<f4")
TRUNK = "trunk"


def head(number: int, text: bytes, body_bytes: int) -> bytes:
    assert len(text) <= TEXT_BYTES_MAX
    assert body_bytes <= BODY_BYTES_MAX
    return HEAD.pack(number, len(text), body_bytes)


def lengths(data: bytes) -> tuple[int, int, int] | None:
    """(number or status, bytes of text, bytes of body) of a head; None where they are beyond the limits."""
    number, text, body = HEAD.unpack(data)
    return (number, text, body) if text <= TEXT_BYTES_MAX and body <= BODY_BYTES_MAX else None


def bytes_of(shapes: Sequence[tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes) * FLOAT32.itemsize


def arrays_of(shapes: Mapping[str, tuple[int, ...]], body: bytes | bytearray) -> dict[str, NDArray[np.float32]]:
    """float32 arrays by name, in the order of `shapes`; the body must have exactly their bytes."""
    found, at = {}, 0
    for name, shape in shapes.items():
        count = math.prod(shape)
        found[name] = np.frombuffer(body, FLOAT32, count, at).reshape(shape)
        at += count * FLOAT32.itemsize
    assert at == len(body)
    return found
