"""Bits outside Bits Stored inside a codestream: a lossless one of 16 bits can carry writing above 12 bits of image.

Decoders of images drop those bits and nobody sees them; so they are decoded here as they are. It refuses a codestream
that could hide something and cannot be decoded.
"""

import numpy as np

from appliance.core.codecs import codestream as told_by
from appliance.core.codecs import raw_frame, stored_values
from appliance.core.deidentify.cells import Cells
from appliance.core.pixel_header import Layout
from appliance.errors import Quarantined


def without_hidden_bits(frames: list[bytes], cells: Cells, syntax: str) -> bytes | None:
    """The frames as native little endian Pixel Data with those bits cleared; None where none are set.

    frames  codestreams, in order
    raises  Quarantined("deid-unsupported", "PixelData")
    source  PS3.5 8.1.1: Bits Allocated, Bits Stored, High Bit
    """
    if cells.samples != 1 or cells.bits_stored >= cells.bits_allocated:
        return None
    layout = Layout(
        keyword="PixelData",
        syntax=syntax,
        rows=cells.rows,
        columns=cells.columns,
        frames=cells.frames,
        samples=1,
        photometric="MONOCHROME2",
        bits_allocated=cells.bits_allocated,
        bits_stored=cells.bits_stored,
        signed=cells.signed,
        planar=False,
        real=False,
        swapped_words=False,
    )
    try:
        if all(told_by(frame, layout)[1].precision <= cells.bits_stored for frame in frames):
            return None
        kind = np.dtype(f"<{'i' if cells.signed else 'u'}{cells.bits_allocated // 8}")
        hidden, native = False, []
        for frame in frames:
            raw, _, _ = raw_frame(frame, layout)
            seen = stored_values(raw, cells.bits_stored, cells.signed)
            # As written, or sign-extended: both say nothing above Bits Stored.
            unsigned = stored_values(raw, cells.bits_stored, signed=False)
            hidden |= not any(np.array_equal(each.astype(raw.dtype), raw) for each in (seen, unsigned))
            native.append(seen.astype(kind).tobytes())
    except Quarantined:
        raise Quarantined("deid-unsupported", "PixelData") from None
    return b"".join(native) if hidden else None
