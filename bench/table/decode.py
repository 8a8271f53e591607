"""Row: decoding one frame as ours does, checks and all, beside every library here that can; one core."""

import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

from bench.table.corpus import ENCODERS, KINDS, files
from bench.table.measured import Figure, How, Row, child

NAME = "decode"
SOURCES = ("CT", "CR")


def measure(how: How) -> Row:
    figures, notes = [], []
    for source in SOURCES[: how.count(1, len(SOURCES))]:
        for syntax in ENCODERS:
            kind = f"{source} {syntax}"
            calls = how.count(5, 15) if source == "CT" else how.count(2, 5)
            found = child(how, "-m", "bench.table.decode", kind, str(calls), str(how.repeats), str(how.seed))
            fastest = min((name for name in found if name != "ours"), key=lambda name: statistics.median(found[name]))
            ratios = tuple(mine / least for mine, least in zip(found["ours"], found[fastest], strict=True))
            beside = {name: f"{1000 * statistics.median(spent):.3g} ms" for name, spent in found.items()}
            figures.append(Figure(kind.lower().replace(" ", "-"), f"{kind}: ours / {fastest}", ratios, "x", beside))
    notes.append(
        "OpenJPH is not used although it is fast: its binding hands out wrong pixels for a cut frame (decision 0006)."
    )
    left = [f"cr-{syntax}" for syntax in ENCODERS] if how.quick else []
    return Row(NAME, tuple(figures), tuple(notes), dict.fromkeys(left, "in a whole run only"))


def ways(kind: str, data: bytes) -> dict[str, Callable[[], Any]]:
    import imagecodecs
    import pydicom
    from pydicom.encaps import generate_frames
    from pydicom.pixels import get_decoder

    from appliance.core import pixel_header
    from appliance.core.codecs import decode_frame
    from bench.table.road_floor import BARE

    dataset = pydicom.dcmread(BytesIO(data))
    layout = pixel_header.layout_of(dataset)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    found: dict[str, Callable[[], Any]] = {"ours": lambda: decode_frame(frame, layout)}
    if KINDS[kind][1] == "htj2k":
        found["imagecodecs (OpenJPEG)"] = lambda: imagecodecs.jpeg2k_decode(frame)
    else:
        found["imagecodecs"] = lambda: BARE[KINDS[kind][1]](frame)
    if KINDS[kind][0] != "CT":  # the larger picture beside the fastest only
        return found
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    for plugin in decoder.available_plugins:
        found[f"pydicom ({plugin})"] = lambda plugin=plugin: decoder.as_array(dataset, decoding_plugin=plugin)  # type: ignore[misc]
    return found


def main() -> None:
    kind, calls, repeats, seed = sys.argv[1], *map(int, sys.argv[2:5])
    warnings.simplefilter("ignore")
    found = ways(kind, next(files(kind, 1, seed)))
    spent: dict[str, list[float]] = {name: [] for name in found}
    for name in list(found):
        try:
            found[name]()  # warm
        except Exception:  # noqa: BLE001 - somebody else's plug-in that cannot
            del found[name], spent[name]
    for _ in range(repeats):
        # The least of a few calls, sides in turn: what a busy machine adds is never negative.
        least = dict.fromkeys(found, math.inf)
        for _ in range(calls):
            for name, call in found.items():
                began = time.process_time()
                call()
                least[name] = min(least[name], time.process_time() - began)
        for name, took in least.items():
            spent[name].append(took)
    print(json.dumps(spent))


if __name__ == "__main__":
    main()
