"""The frames cache's description of an image, read as a stranger's: every value has a type, a range and a length.

What does not fit is unknown to the viewer, which then shows no letters, no millimetres or no window of that kind; a
shape that does not fit is no image. Versions 1 and 2 are read: what version 1 did not say is unknown.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from appliance.core.transfer_syntax import RESCALE_UNITS

DESCRIPTION_BYTES_MAX = 64 * 1024
VERSIONS = (1, 2)
SAMPLE_BYTES = {"uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "rgb8": 3}
COUNT_MAX = 2**16 - 1  # of rows, columns and frames: Rows and Columns are 16 bits wide
WINDOWS_MAX, VOI_LUTS_MAX, LUT_ENTRIES_MAX = 16, 4, 2**16
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
PHOTOMETRICS = ("MONOCHROME1", "MONOCHROME2", "RGB")
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing")
RATES = ("RecommendedDisplayFrameRate", "CineRate", "FrameTime", "FrameTimeVector")
DIGEST = re.compile(r"[0-9a-f]{64}")
LETTERS = re.compile(r"[APLRHF]{1,3}")


def description(frames: Path, sha256: str) -> dict[str, Any] | None:
    """What triage said of an instance's frames; None when the cache does not hold it or it makes no sense."""
    assert DIGEST.fullmatch(sha256)
    try:
        said = json.loads(bounded(frames / sha256 / "frames.json", DESCRIPTION_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or _one_of(said.get("dtype"), tuple(SAMPLE_BYTES)) is None:
        return None
    if any(type(said.get(key)) is not int or not 1 <= said[key] <= COUNT_MAX for key in ("rows", "columns", "frames")):
        return None
    version = said.get("version", 1)
    if type(version) is not int or version not in VERSIONS:
        return None
    return {
        **{key: said[key] for key in ("rows", "columns", "frames", "dtype")},
        **_values(said),
        **_geometry(said),
        "frame_rate": _within(said.get("frame_rate"), 0.1, 240.0),
        "rate_source": _one_of(said.get("rate_source"), RATES) or "",
    }


def _values(said: dict[str, Any]) -> dict[str, Any]:
    """What the values mean and how they are windowed."""
    function = _one_of(said.get("voi_function"), FUNCTIONS) or "LINEAR"
    low, high = finite(said.get("padding")), finite(said.get("padding_limit"))
    extent = _numbers(said.get("extent"), 2)
    return {
        "slope": finite(said.get("slope")) or 1.0,
        "intercept": finite(said.get("intercept")) or 0.0,
        "values": "stored" if said.get("values") == "stored" else "modality",
        "unit": _one_of(said.get("unit"), tuple(RESCALE_UNITS)) or "",
        "photometric": _one_of(said.get("photometric"), PHOTOMETRICS) or "",
        "windows": _windows(said.get("windows"), 1.0 if function == "LINEAR" else 0.0),
        "voi_function": function,
        "voi_luts": _voi_luts(said.get("voi_luts")),
        "padding": None if low is None else [low, low if high is None else max(low, high)],
        "extent": extent if extent and extent[0] <= extent[1] else None,
    }


def _geometry(said: dict[str, Any]) -> dict[str, Any]:
    """How large a pixel is and where the plane lies."""
    spacing = _numbers(said.get("spacing"), 2)
    known = spacing is not None and min(spacing) > 0
    letters = said.get("patient_orientation")
    lettered = isinstance(letters, list) and len(letters) == 2 and all(_lettered(each) for each in letters)
    return {
        "spacing": spacing if known else None,
        "spacing_source": (_one_of(said.get("spacing_source"), SPACINGS) or "") if known else "",
        "spacing_at": (_one_of(said.get("spacing_at"), ("patient", "detector", "untold")) or "") if known else "",
        "aspect": _within(said.get("aspect"), 0.01, 100.0),
        "orientation": _numbers(said.get("orientation"), 6, within=1.01),
        "position": _numbers(said.get("position"), 3),
        "patient_orientation": letters if lettered else None,
    }


def _windows(told: object, width_min: float) -> list[list[float]]:
    """Pairs that the function can use: LINEAR needs a width of one or more (PS3.3 C.11.2.1.2.1)."""
    pairs = [_numbers(each, 2) for each in told[:WINDOWS_MAX]] if isinstance(told, list) else []
    return [pair for pair in pairs if pair is not None and pair[1] >= width_min and pair[1] > 0]


def _voi_luts(told: object) -> list[dict[str, int]]:
    """Tables by first value, bits and count; one that makes no sense ends the list, so that numbers stay right."""
    found: list[dict[str, int]] = []
    for each in told[:VOI_LUTS_MAX] if isinstance(told, list) else []:
        if not isinstance(each, dict) or any(type(each.get(key)) is not int for key in ("first", "bits", "entries")):
            break
        if not (1 <= each["bits"] <= 16 and 1 <= each["entries"] <= LUT_ENTRIES_MAX and abs(each["first"]) <= 2**16):
            break
        found.append({key: each[key] for key in ("first", "bits", "entries")})
    return found


def finite(value: object) -> float | None:
    """A number that JSON can hold, or None: headers hold NaN and infinity, and a browser's parser takes neither."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def _numbers(told: object, count: int, within: float = math.inf) -> list[float] | None:
    found = [finite(each) for each in told] if isinstance(told, list) and len(told) == count else [None]
    kept = [each for each in found if each is not None and abs(each) <= within]
    return kept if len(kept) == count else None


def _within(value: object, low: float, high: float) -> float | None:
    number = finite(value)
    return number if number is not None and low <= number <= high else None


def _one_of(value: object, allowed: tuple[str, ...]) -> str | None:
    return value if isinstance(value, str) and value in allowed else None


def _lettered(value: object) -> bool:
    return isinstance(value, str) and LETTERS.fullmatch(value) is not None


def bounded(path: Path, bytes_max: int) -> bytes:
    """A file's bytes. Raises OSError where it is not there or longer than the page takes."""
    with path.open("rb") as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise OSError("longer than the page takes")
    return data
