"""What render.js makes of every real image that pydicom ships, against pydicom's own rendering: one grey level at most.

The images go the whole road: decoded and described by triage's functions, served by the page, fetched and rendered in
Chromium by the module that the viewer uses, under the page's own policy.
"""

import base64
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array
from seeding import Seeded, an_instance, digest, patient, put_decoded

from tests.core.test_pixels import BEYOND_REFERENCE, MORE_FILES, REAL, TEST_FILES, WRONG, lut, made

pytestmark = pytest.mark.filterwarnings("ignore")  # odd files make pydicom warn; what counts is what is rendered

FILES = [path for path in REAL if path.name not in WRONG]
NUMBER_OF_FIRST = 500_000  # of digests, apart from those of other rows

# Renders frames of one study: [image, frame, look or null] -> the server's description and RGBA bytes in base64.
RENDER = """async ([study, wanted]) => {
  const render = await import("/static/viewer/render.js");
  const frames = await import("/static/viewer/frames.js");
  const source = `/studies/${study}/images`;
  const { images } = await (await fetch(source)).json();
  const answers = [];
  for (const [number, frame, given] of wanted) {
    const image = images.find((each) => each.image === number);
    const entry = { source, image, frame };
    const stored = await frames.values(entry);
    const luts = await frames.voiTables(entry);
    const look = given ? { lut: null, invert: false, ...given } : render.isColour(image)
      ? { invert: false } : render.fileLook(image, stored, luts[0]);
    const bytes = render.rendered(image, stored, look);
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    answers.push({ image, luts: luts.length, rgba: btoa(text) });
  }
  return answers;
}"""


def rendered(page: Page, study: int, wanted: list[Any]) -> list[tuple[dict[str, Any], np.ndarray[Any, Any]]]:
    """The description and [row, column, 4] uint8 of each wanted [image, frame, look]."""
    answers = page.evaluate(RENDER, [study, wanted])
    found = []
    for answer in answers:
        image = answer["image"]
        rgba = np.frombuffer(base64.b64decode(answer["rgba"]), np.uint8).reshape(image["rows"], image["columns"], 4)
        found.append(({**image, "luts": answer["luts"]}, rgba))
    return found


@pytest.fixture(scope="module")
def gallery(seeded: Seeded) -> int:
    """One study with every file as an image, in the order of FILES."""
    who, instances = patient("DOE^GALLERY", "P-GALLERY"), []
    for at, path in enumerate(FILES):
        image = put_decoded(seeded.places, NUMBER_OF_FIRST + at, path.read_bytes())
        instances.append(
            replace(
                an_instance(NUMBER_OF_FIRST + at, who, study=500),
                sha256=digest(NUMBER_OF_FIRST + at),
                number_of_frames=image.frames,
                modality=str(pydicom.dcmread(path, stop_before_pixels=True).get("Modality", "OT")),
            )
        )
    return seeded.study_of("gallery", instances)


def reference(path: Path, frame: int) -> np.ndarray[Any, Any]:
    """pydicom's rendering in 8 bits, [row, column] or [row, column, 3], as float64; NaN where a pixel is padding."""
    with warnings.catch_warnings(action="ignore"):
        dataset = pydicom.dcmread(path)
        stored = pixel_array(dataset, index=frame)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            coloured = apply_color_lut(stored, dataset)[..., :3]
            return (coloured >> (8 * (coloured.dtype.itemsize - 1))).astype(np.float64)
        if stored.ndim == 3:
            return (stored >> (dataset.BitsStored - 8)).astype(np.float64)
        everything = pixel_array(dataset).reshape(-1, *stored.shape)
        padding = padding_of(dataset, everything)
        shown = eight_bits(dataset, stored, everything[~padding])
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 255 - shown
    return np.where(padding[frame], np.nan, shown)


def padding_of(dataset: Any, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    value = dataset.get("PixelPaddingValue")
    if not isinstance(value, int) or dataset.get("ModalityLUTSequence"):
        return np.zeros(stored.shape, bool)
    ends = [value, dataset.get("PixelPaddingRangeLimit", value)]
    signed = [end - 2**16 if dataset.PixelRepresentation and end >= 2**15 else end for end in ends]
    return (stored >= min(signed)) & (stored <= max(signed))


def eight_bits(dataset: Any, stored: Any, everything: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = apply_modality_lut(stored, dataset)
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        return apply_voi_lut(values, dataset) * 255.0 / (2**bits - 1)
    groups = dataset.get("SharedFunctionalGroupsSequence") or dataset.get("PerFrameFunctionalGroupsSequence")
    group = groups[0] if groups else {}
    for macro in ("FrameVOILUTSequence", "PixelValueTransformationSequence"):  # pydicom looks at the top level only
        for item in group.get(macro) or []:
            dataset.update({each.tag: each for each in item})
    values = apply_modality_lut(stored, dataset)
    if dataset.get("WindowWidth") not in (None, ""):
        outside = [-(2.0**40), 2.0**40]  # what a window makes of these is black and white
        black, white = apply_voi_lut(np.array([outside]), dataset)[0]
        return (apply_voi_lut(values, dataset) - black) * 255.0 / (white - black)
    ends = apply_modality_lut(np.array([everything.min(), everything.max()]), dataset)
    low, high = float(ends.min()), float(ends.max())
    return (values - low) * 255.0 / ((high - low) or 1)


def difference(ours: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """The largest difference in grey levels; padding, which pydicom does not know, must be black."""
    assert (ours[..., 3] == 255).all()
    if expected.ndim == 3:
        return float(np.abs(ours[..., :3] - expected).max())
    assert (ours[..., 0] == ours[..., 1]).all()
    assert (ours[..., 0] == ours[..., 2]).all()
    padding = np.isnan(expected)
    assert (ours[..., 0][padding] == 0).all()
    apart = np.abs(ours[..., 0] - expected)[~padding]
    return float(apart.max()) if apart.size else 0.0


def test_there_are_as_many_real_images_as_pydicom_ships() -> None:
    assert len(FILES) > 150
    assert {TEST_FILES, MORE_FILES} <= {parent for path in FILES for parent in path.parents}


def test_every_real_image_is_rendered_as_pydicom_renders_it(signed_in: Page, address: str, gallery: int) -> None:
    signed_in.goto(address)
    wrong, compared = {}, 0
    for at, path in enumerate(FILES):
        frames = pydicom.dcmread(path, stop_before_pixels=True).get("NumberOfFrames") or 1
        chosen = sorted({0, int(frames) // 2, int(frames) - 1})
        if path.name in BEYOND_REFERENCE:
            continue  # no reference decodes them; their values are held against the uncompressed original elsewhere
        found = rendered(signed_in, gallery, [[at + 1, frame + 1, None] for frame in chosen])
        for frame, (_, rgba) in zip(chosen, found, strict=True):
            apart = difference(rgba, reference(path, frame))
            compared += 1
            if apart > 1:
                wrong[f"{path.name} {frame}"] = apart
    assert wrong == {}
    assert compared > len(FILES) - len(BEYOND_REFERENCE)


def test_the_comparison_can_fail(signed_in: Page, address: str, gallery: int) -> None:
    signed_in.goto(address)
    at = next(n for n, path in enumerate(FILES) if path.name == "MR_small.dcm")
    (_, rgba) = rendered(signed_in, gallery, [[at + 1, 1, {"fn": "LINEAR", "centre": 610, "width": 1600}]])[0]
    assert difference(rgba, reference(FILES[at], 0)) > 1


# The three functions, in numpy as PS3.3 words them.


def windowed(fn: str, values: np.ndarray[Any, Any], centre: float, width: float) -> np.ndarray[Any, Any]:
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2 with an output from 0 to 255."""
    x = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if fn == "SIGMOID":
            return 255 / (1 + np.exp(-4 * (x - centre) / width))
        c, w = (centre - 0.5, width - 1) if fn == "LINEAR" else (centre, width)
        inner = ((x - c) / w + 0.5) * 255
    return np.where(x <= c - w / 2, 0, np.where(x > c + w / 2, 255, inner))


def object_of(kind: str, **said: Any) -> tuple[bytes, np.ndarray[Any, Any]]:
    low, high = (-32768, 32767) if kind == "i2" else (0, 2 ** (8 * int(kind[1])) - 1)
    stored = np.linspace(low, high, 4096).astype(kind).reshape(64, 64)
    return made(stored, **said), stored


@pytest.fixture(scope="module")
def ramps(seeded: Seeded) -> tuple[int, list[np.ndarray[Any, Any]]]:
    """A study of ramps: signed, unsigned, eight bits, a slope below zero, MONOCHROME1."""
    rescale = {"RescaleSlope": "-0.5", "RescaleIntercept": "100"}
    offered = [
        ("i2", {}),
        ("u2", {}),
        ("u1", {}),
        ("i2", rescale),
        ("u2", {"PhotometricInterpretation": "MONOCHROME1"}),
    ]
    instances, values = [], []
    for at, (kind, said) in enumerate(offered):
        data, stored = object_of(kind, **said)
        put_decoded(seeded.places, 600_000 + at, data)
        instances.append(an_instance(600_000 + at, patient("DOE^RAMP", "P-RAMP"), study=600))
        values.append(stored * -0.5 + 100 if said is rescale else stored.astype(np.float64))
    return seeded.study_of("ramps", instances), values


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_each_function_is_the_standards(
    browser_page: Page, ramps: tuple[int, list[np.ndarray[Any, Any]]], data: st.DataObject
) -> None:
    study, values = ramps
    fn = data.draw(st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]))
    centre = data.draw(st.floats(-40_000, 70_000))
    width = data.draw(st.floats(1.0 if fn == "LINEAR" else 0.25, 70_000))
    look = {"fn": fn, "centre": centre, "width": width}
    for at, (image, rgba) in enumerate(rendered(browser_page, study, [[n + 1, 1, look] for n in range(len(values))])):
        expected = windowed(fn, values[at], centre, width)
        expected = 255 - expected if image["photometric"] == "MONOCHROME1" else expected
        assert difference(rgba, expected) <= 1


@pytest.fixture(scope="module")
def browser_page(browser: Any, address: str, session_cookies: list[Any]) -> Any:
    """One page for all examples of a property."""
    context = browser.new_context()
    context.add_cookies(session_cookies)
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()


def test_tables_ranges_and_inversion(browser_page: Page, seeded: Seeded) -> None:
    """A VOI table comes before a window; a range of padding is black in MONOCHROME1 too; invert leaves it black."""
    stored = np.arange(64, dtype="u2").reshape(8, 8)
    table = lut([16, 20, 8], [*range(0, 160, 10)])
    padded = {"PixelPaddingValue": 3, "PixelPaddingRangeLimit": 9, "PhotometricInterpretation": "MONOCHROME1"}
    objects = [
        made(stored, VOILUTSequence=[table], WindowCenter="30", WindowWidth="10"),
        made(stored, WindowCenter="32", WindowWidth="64", **padded),
    ]
    for at, each in enumerate(objects):
        put_decoded(seeded.places, 700_000 + at, each)
    who = patient("DOE^TABLE", "P-TABLE")
    study = seeded.study_of("tables", [an_instance(700_000 + at, who, study=700) for at in range(2)])
    look = {"fn": "LINEAR", "centre": 32, "width": 64}
    found = rendered(browser_page, study, [[1, 1, None], [2, 1, None], [2, 1, {**look, "invert": True}]])
    (shown, by_table), (_, as_file), (_, inverted) = found
    assert shown["luts"] == 1
    expected = np.clip((stored.astype(int) - 20) * 10, 0, 150)
    assert np.array_equal(by_table[..., 0], expected)
    inside = (stored >= 3) & (stored <= 9)
    straight = windowed("LINEAR", stored, 32, 64)
    assert difference(as_file, np.where(inside, np.nan, 255 - straight)) <= 1
    assert difference(inverted, np.where(inside, np.nan, straight)) <= 1
