"""What stands compressed or encoded inside bytes: deflate in its wrappings, bzip2, xz, base64, hexadecimal digits.

Limits on everything: what unfolds beyond them is refused, because nobody would have looked at the rest.
"""

import base64
import binascii
import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator

from appliance.core.inspect_read import Unreadable

STREAM_BYTES_MIN = 6
UNFOLDED_BYTES_MAX = 64 << 20  # of all streams of one object together
TRIES_MAX = 20_000
NESTED_MAX = 3
_MARKS = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08|PK\x03\x04|BZh[1-9]|\xfd7zXZ\0")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\r\n-]{12,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[ :]?){6,}")
_LETTER = re.compile(rb"[A-Za-z]")


class Budget:
    """How much may still be unfolded."""

    def __init__(self) -> None:
        self.bytes_left = UNFOLDED_BYTES_MAX
        self.tries_left = TRIES_MAX

    def take(self, count: int) -> None:
        self.bytes_left -= count
        self.tries_left -= 1
        if self.bytes_left <= 0 or self.tries_left <= 0:
            raise Unreadable("compressed streams")


def streams_in(data: bytes, budget: Budget, depth: int = 0) -> Iterator[bytes]:
    """What streams inside `data` hold, and the streams inside those.

    raises  Unreadable("compressed streams"): more than a limit, or nested deeper than one
    """
    for stream in (*_compressed(data, budget), *_encoded(data, budget)):
        if depth >= NESTED_MAX:
            raise Unreadable("compressed streams")
        yield stream
        yield from streams_in(stream, budget, depth + 1)


def _compressed(data: bytes, budget: Budget) -> Iterator[bytes]:
    for match in _MARKS.finditer(data):
        mark, start = match[0], match.start()
        if mark[:1] == b"\x78":
            unfold = zlib.decompressobj().decompress
        elif mark[:2] == b"\x1f\x8b":
            unfold = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
        elif mark == b"PK\x03\x04":
            unfold = zlib.decompressobj(-zlib.MAX_WBITS).decompress
            start += 30 + sum(int.from_bytes(data[start + at : start + at + 2], "little") for at in (26, 28))
        else:
            unfold = (bz2.BZ2Decompressor() if mark[:1] == b"B" else lzma.LZMADecompressor()).decompress
        text = _unfolded(unfold, memoryview(data)[start:], budget)
        if len(text) >= STREAM_BYTES_MIN:
            yield text


def _unfolded(unfold: Callable[[bytes, int], bytes], data: memoryview, budget: Budget) -> bytes:
    """As much as the stream gives before it ends or breaks."""
    text, at, step = b"", 0, 1 << 10
    try:
        while at < len(data):
            more = unfold(bytes(data[at : at + step]), budget.bytes_left)
            text += more
            budget.take(len(more))
            at, step = at + step, min(step * 2, 1 << 20)
    except (zlib.error, lzma.LZMAError, OSError, EOFError):
        budget.take(0)
    return text


def _encoded(data: bytes, budget: Budget) -> Iterator[bytes]:
    for match in _BASE64.finditer(data):
        run = re.sub(rb"\s", b"", match[0]).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
        # A number is no base64 that anybody wrote, and a word without digits and capitals is a word.
        if run.isdigit() or len(run) % 4 == 1:
            continue
        budget.take(len(run))
        yield base64.b64decode(run + b"=" * (-len(run) % 4))
    for match in _HEX.finditer(data):
        run = re.sub(rb"[ :]", b"", match[0])
        if not _LETTER.search(run) and len(run) < 2 * STREAM_BYTES_MIN:
            continue
        budget.take(len(run))
        try:
            yield binascii.unhexlify(run)
        except binascii.Error:
            continue
