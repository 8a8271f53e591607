"""Row: what decoding at an eighth of the size would save, by the libraries that can; ours decodes whole, on purpose.

Every frame of every image is decoded here whole, because a damaged one makes its study no routine one, because the
page shows all of its pixels, and because the picture that is decided on must be the one that is shown.
"""

import json
import sys
import time
from io import BytesIO

from bench.table.corpus import files
from bench.table.measured import Figure, How, Row, child, ms

NAME = "sub-resolution decode"
EIGHTH = 3


def measure(how: How) -> Row:
    figures = []
    for kind in ("CR j2k", "CR htj2k"):
        found = child(how, "-m", "bench.table.reduced", kind, str(how.repeats), str(how.seed))
        times = tuple(whole / part for whole, part in zip(found["ours"], found["eighth"], strict=True))
        beside = {"ours, whole": ms(found["ours"]), f"{found['by'][0]}, 1/8": ms(found["eighth"])}
        key = f"{kind.lower().replace(' ', '-')}-left-lying"
        figures.append(Figure(key, f"{kind}: ours whole / a library at 1/8", times, "x", beside))
    note = "Not done: the viewer needs every pixel, and a damaged frame must be seen before a decision (decision 0060)."
    return Row(NAME, tuple(figures), (note,))


def main() -> None:
    import imagecodecs
    import pydicom
    from PIL import Image
    from pydicom.encaps import generate_frames

    from appliance.core import pixel_header
    from appliance.core.codecs import decode_frame

    kind, repeats, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    dataset = pydicom.dcmread(BytesIO(next(files(kind, 1, seed))))
    layout = pixel_header.layout_of(dataset)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)

    def by_pillow() -> None:
        picture = Image.open(BytesIO(frame))
        picture.reduce = EIGHTH  # type: ignore[assignment]
        picture.load()

    def by_openjph() -> None:
        imagecodecs.htj2k_decode(frame, skipres=EIGHTH)

    part = by_openjph if "htj2k" in kind else by_pillow
    spent: dict[str, list[float]] = {"ours": [], "eighth": []}
    for _ in range(repeats):
        for name, call in (("ours", lambda: decode_frame(frame, layout)), ("eighth", part)):
            began = time.process_time()
            call()
            spent[name].append(time.process_time() - began)
    print(json.dumps({**spent, "by": ["OpenJPH" if "htj2k" in kind else "OpenJPEG by Pillow"]}))


if __name__ == "__main__":
    main()
