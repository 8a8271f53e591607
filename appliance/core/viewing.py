"""What the viewer gets of an image: a frame's bytes, VOI tables, and a description that says what they hold.

Triage writes this into the frames cache; the page reads it from there and nothing else of an object. The description
holds numbers and code words, no free text and no identifier.
"""

import numpy as np

from appliance.core.codecs import Pixels
from appliance.core.display import VoiLut
from appliance.core.pixel_header import Rescale
from appliance.core.pixels import Image, looked_up
from appliance.core.transfer_syntax import RESCALE_UNITS

VERSION = 2  # of the description; what version 1 did not say is unknown to a reader of version 2
LEVELS = 2**16 - 1
# Defined terms of Rescale Type (PS3.3 C.11.1.1.2): another word there could be anything.


def frame_bytes(image: Image, n: int) -> bytes:
    """One frame, n from 0, as the review page's viewer reads it: little endian, row by row, in the dtype of
    frame_description. Colours have 8 bits a sample; what no viewer dtype holds is told in 65536 levels."""
    shown = _shown(image, n)
    return shown.astype(shown.dtype.newbyteorder("<"), copy=False).tobytes()


def voi_bytes(table: VoiLut) -> bytes:
    """A VOI table's entries, 16 bits each, little endian."""
    return table.entries.astype("<u2").tobytes()


def _shown(image: Image, n: int) -> Pixels:
    stored: Pixels = image.stored[n]
    if image.photometric == "RGB":
        spare = image.bits_stored - 8
        return (stored >> spare if spare > 0 else stored << -spare).astype(np.uint8)
    if image.modality_lut is not None:
        return looked_up(stored, image.modality_lut)
    if image.span is not None:
        low, step = image.span[0], _step(image.span)
        return np.rint((stored.astype(np.float64) - low) / step).astype(np.uint16)
    return stored


def _step(span: tuple[float, float]) -> float:
    return (span[1] - span[0]) / LEVELS or 1.0


def frame_description(image: Image) -> dict[str, object]:
    """What frame_bytes holds, as JSON can say it: all of it of every frame.

    slope, intercept  the viewer computes slope * value + intercept, and windows that itself
    values            "stored" where frames have rescales of their own: what the viewer reads out has no unit then
    padding           padding, padding_limit: in the viewer's values, None where it does not draw stored values
    extent            lowest and highest of the viewer's values over all frames, padding aside
    windows           empty where frames have rescales of their own: the viewer then draws stored values as they are
    """
    colour, through_table = image.photometric == "RGB", image.modality_lut is not None
    common = len(image.rescales) == 1
    rescale = image.rescales[0] if common else Rescale()
    slope, intercept = rescale.slope, rescale.intercept
    unit = image.modality_lut.unit if image.modality_lut is not None else rescale.unit
    plain = not colour and not through_table and image.span is None
    if image.span is not None and not colour:
        slope, intercept = slope * _step(image.span), intercept + slope * image.span[0]
    padding = image.padding if plain else None
    shown, luts = image.display, image.display.voi_luts if common else ()
    return {
        "version": VERSION,
        "frames": image.frames,
        "rows": int(image.stored.shape[1]),
        "columns": int(image.stored.shape[2]),
        "samples": 3 if colour else 1,
        "dtype": "rgb8" if colour else image.stored.dtype.name if plain else "uint16",
        "bits_stored": image.bits_stored,
        "photometric": image.photometric,
        "slope": slope,
        "intercept": intercept,
        "values": "modality" if common else "stored",
        "unit": unit if unit in RESCALE_UNITS else "",
        "windows": [list(pair) for pair in image.windows] if common else [],
        "voi_function": image.voi_function,
        "voi_luts": [{"first": each.first, "bits": each.bits, "entries": len(each.entries)} for each in luts],
        "padding": padding[0] if padding else None,
        "padding_limit": padding[1] if padding else None,
        "extent": None if colour else _extent(image, padding),
        "spacing": list(image.spacing_mm) if image.spacing_mm else None,
        "spacing_source": image.spacing_source,
        "spacing_at": shown.spacing_at if image.spacing_mm else "",
        "aspect": shown.aspect,
        "orientation": list(shown.orientation) if shown.orientation else None,
        "position": list(shown.position) if shown.position else None,
        "patient_orientation": list(shown.patient_orientation) if shown.patient_orientation else None,
        "frame_rate": shown.frame_rate,
        "rate_source": shown.rate_source,
        "decoder": image.decoder,
    }


def _extent(image: Image, padding: tuple[int, int] | None) -> list[int] | None:
    low: int | None = None
    high: int | None = None
    for n in range(image.frames):
        values = _shown(image, n)
        if padding is not None:
            values = values[(values < padding[0]) | (values > padding[1])]
        if values.size:
            low = int(values.min()) if low is None else min(low, int(values.min()))
            high = int(values.max()) if high is None else max(high, int(values.max()))
    return None if low is None or high is None else [low, high]
