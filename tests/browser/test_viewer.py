"""The viewer under a hand and a keyboard: scroll, window, lengths, letters, series, priors, cine; pictures are kept."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from seeding import Seeded, an_instance, patient, put_decoded, put_frames, ramp

from appliance import review
from appliance.core.study import Instance
from appliance.world import desk
from tests.core.test_pixels import lut, made

AXIAL = [1, 0, 0, 0, 1, 0]
SLICES = 100
PIXELS = """([left, top, width, height]) => {
  const pen = document.getElementById("canvas").getContext("2d");
  return Array.from(pen.getImageData(left, top, width, height).data.filter((_, at) => at % 4 === 0));
}"""
Keep = Callable[[str], None]


def drawn(page: Page) -> None:
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")


def stack(seeded: Seeded, key: str, first: int, count: int, **said: Any) -> int:
    """A CT series: slices whose grey grows with the place, so that a picture tells which one it is."""
    rows, columns = np.mgrid[0:256, 0:256]
    body = ((rows - 128) ** 2 + (columns - 128) ** 2 < 100**2) * 1064
    instances = []
    for at in range(count):
        stored = (body + (columns < 20) * 10 * at).astype("i2")
        n = first + at
        put_decoded(
            seeded.places,
            n,
            made(
                stored, Modality="CT", RescaleSlope="1", RescaleIntercept="-1024", RescaleType="HU", BitsStored=16,
                PixelSpacing=[0.5, 0.5], ImageOrientationPatient=AXIAL, ImagePositionPatient=[0, 0, 5.0 * at], **said,
            ),
        )  # fmt: skip
        instances.append(slice_of(n, at, study=first))
    instances = [instances[(7 * at) % count] for at in range(count)] if count % 7 else instances  # not in order
    return seeded.study_of(key, instances)


def slice_of(n: int, at: int, *, study: int) -> Instance:
    return replace(
        an_instance(n, patient(f"DOE^{study}", f"P-{study}"), study=study, modality="CT"),
        instance_number=at + 1,
        image_orientation_patient="1\\0\\0\\0\\1\\0",
        image_position_patient=f"0\\0\\{5.0 * at}",
    )


@pytest.fixture(scope="module")
def head(seeded: Seeded) -> int:
    return stack(seeded, "head", 1000, SLICES, WindowCenter=["40", "300"], WindowWidth=["80", "1500"])


def one(seeded: Seeded, n: int, data: bytes, modality: str = "DX") -> int:
    """A study of one decoded object."""
    put_decoded(seeded.places, n, data)
    who = patient(f"DOE^{n}", f"P-{n}")
    return seeded.study_of(f"one-{n}", [an_instance(n, who, study=n, modality=modality)])


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def sides(page: Page) -> str:
    port = page.locator("#port")
    return " ".join(port.locator(f".edge-{side}").text_content() or "" for side in ("top", "right", "bottom", "left"))


def test_the_first_image_shows_itself(signed_in: Page, address: str, head: int, keep: Keep) -> None:
    signed_in.goto(f"{address}studies/{head}")
    drawn(signed_in)
    expect(signed_in.locator("#place-words")).to_have_text(f"image 1 / {SLICES} · 0.0 mm")
    expect(signed_in.get_by_text("NOT FOR PRIMARY DIAGNOSIS").first).to_be_visible()
    keep("viewer-05-first-image")


def test_a_scroll_paints_every_slice_in_the_order_of_their_places(
    signed_in: Page, address: str, head: int, keep: Keep
) -> None:
    """Forth by key and back by wheel; the grey of the left edge tells which slice was painted."""
    signed_in.goto(f"{address}studies/{head}")
    drawn(signed_in)
    signed_in.locator("#preset").select_option("full")
    port, seen = signed_in.locator("#port"), []
    port.focus()
    box = signed_in.locator("#canvas").bounding_box()
    assert box is not None
    left = int((box["width"] - box["height"]) / 2) + 12
    for at in range(SLICES):
        expect(port).to_have_attribute("data-at", str(at))
        seen.append(signed_in.evaluate(PIXELS, [left, int(box["height"] / 2), 1, 1])[0])
        signed_in.keyboard.press("ArrowDown")
    assert seen == sorted(seen)
    assert len(set(seen)) > SLICES // 2
    port.hover()
    for at in range(SLICES - 2, SLICES - 12, -1):
        signed_in.mouse.wheel(0, -100)
        expect(port).to_have_attribute("data-at", str(at))
    press(signed_in, "PageUp")
    expect(port).to_have_attribute("data-at", str(SLICES - 21))
    press(signed_in, "Home", "End", "ArrowUp")
    expect(port).to_have_attribute("data-at", str(SLICES - 2))
    keep("viewer-06-scroll")


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("fn", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_canvas_shows_the_reference_pixel_by_pixel(
    signed_in: Page, address: str, seeded: Seeded, keep: Keep, fn: str, photometric: str
) -> None:
    """A known ramp at 1:1 under the file's window, read from the canvas itself."""
    stored = np.tile(np.arange(400, dtype="u2") * 5, (200, 1))
    n = 20_000 + len(seeded.numbers)
    said = {"WindowCenter": "1000", "WindowWidth": "1200", "VOILUTFunction": fn}
    number = one(seeded, n, made(stored, PhotometricInterpretation=photometric, **said))
    signed_in.goto(f"{address}studies/{number}")
    drawn(signed_in)
    signed_in.get_by_role("button", name="1:1").click()
    expect(signed_in.locator("#window-words")).to_contain_text("zoom 100 %")
    size = signed_in.evaluate("(({ width, height }) => [width, height])(document.getElementById('canvas'))")
    left, top = round(size[0] / 2 - 200), round(size[1] / 2 - 100)
    shown = np.array(signed_in.evaluate(PIXELS, [left, top + 20, 400, 1]))
    values = stored[0].astype(float)
    if fn == "SIGMOID":
        share = 1 / (1 + np.exp(-4 * (values - 1000) / 1200))
    else:
        centre, width = (999.5, 1199) if fn == "LINEAR" else (1000, 1200)
        share = np.clip((values - centre) / width + 0.5, 0, 1)
    expected = 255 * (1 - share if photometric == "MONOCHROME1" else share)
    assert np.abs(shown - expected).max() <= 1
    keep(f"viewer-07-{fn.lower()}-{photometric.lower()}")


def measured(page: Page, start: tuple[float, float], by: tuple[float, float]) -> str:
    """The words of a length that is drawn from a point of the canvas, in pixels of the screen."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.keyboard.press("l")
    page.mouse.move(box["x"] + start[0], box["y"] + start[1])
    page.mouse.down()
    page.mouse.move(box["x"] + start[0] + by[0], box["y"] + start[1] + by[1], steps=5)
    page.mouse.up()
    words = page.locator("#port .measure-words")
    expect(words).not_to_be_empty()
    return words.text_content() or ""


@pytest.mark.parametrize(
    ("said", "unit", "rule"),
    [
        ({"PixelSpacing": [0.4, 0.2], "Modality": "CT"}, "mm", "mm in the patient"),
        ({"ImagerPixelSpacing": [0.4, 0.2], "Modality": "DX"}, "mm at detector", "mm at the detector"),
        ({"Modality": "DX"}, "px", "lengths are in pixels"),
    ],
)
def test_a_length_on_a_phantom_is_its_length(
    signed_in: Page, address: str, seeded: Seeded, keep: Keep, said: dict[str, Any], unit: str, rule: str
) -> None:
    """150 columns and 40 rows at 1:1: 30 mm and 16 mm with non-square pixels, 34 mm; pixels where none is told."""
    number = one(seeded, 30_000 + len(seeded.numbers), made(np.tile(np.arange(400, dtype="u2"), (300, 1)), **said))
    signed_in.goto(f"{address}studies/{number}")
    drawn(signed_in)
    signed_in.get_by_role("button", name="1:1").click()
    expect(signed_in.locator("#window-words")).to_contain_text("zoom 100 %")
    tall = 2 if "mm" in unit else 1  # a row is twice as high as a column is wide
    words = measured(signed_in, (300, 200), (150, 40 * tall))
    value, told = words.split(" ", 1)
    assert told == unit
    per_pixel = 0.2 if "mm" in unit else 1
    assert float(value) == pytest.approx(np.hypot(150 * per_pixel, 40 * 0.4 if "mm" in unit else 40), abs=per_pixel)
    expect(signed_in.locator("#port .rule-words")).to_contain_text(rule)
    bar = signed_in.locator("#port").get_attribute("data-scale") or ""
    assert bar.endswith(("mm", "cm", "mm at detector")) if "mm" in unit else bar == ""
    keep(f"viewer-08-length-{unit.replace(' ', '-')}")
    press(signed_in, "Delete")
    expect(signed_in.locator("#port .measure-words")).to_be_empty()


@pytest.mark.parametrize(
    ("said", "upright", "flipped"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, "A L P R", "A R P L"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "H P F A", "H A F P"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "H L F R", "H R F L"),
        ({"PatientOrientation": ["L", "F"]}, "H L F R", "H R F L"),
    ],
    ids=["axial", "sagittal", "coronal", "projection"],
)
def test_letters_follow_the_picture(
    signed_in: Page, address: str, seeded: Seeded, keep: Keep, said: dict[str, Any], upright: str, flipped: str
) -> None:
    """The bright corner of the picture and the letters turn and flip together."""
    stored = np.full((200, 200), 100, "u2")
    stored[:60, :60] = 1000  # at the top, on the left
    number = one(seeded, 40_000 + len(seeded.numbers), made(stored, ImagePositionPatient=[0, 0, 0], **said), "MR")
    signed_in.goto(f"{address}studies/{number}")
    drawn(signed_in)
    assert sides(signed_in) == upright
    assert corner(signed_in) == "top left"
    signed_in.keyboard.press("h")
    expect(signed_in.locator("#port")).to_have_attribute("data-flip", "true")
    assert sides(signed_in) == flipped
    assert corner(signed_in) == "top right"
    keep(f"viewer-09-letters-{upright.replace(' ', '')}-flipped")
    press(signed_in, "h", "t")
    expect(signed_in.locator("#port")).to_have_attribute("data-turns", "1")
    top, right, bottom, left = upright.split()
    assert sides(signed_in) == f"{left} {top} {right} {bottom}"
    assert corner(signed_in) == "top right"
    press(signed_in, "r")
    expect(signed_in.locator("#port")).to_have_attribute("data-turns", "0")
    assert sides(signed_in) == upright


def corner(page: Page) -> str:
    """Which quarter of the drawn square is the bright one."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    side = min(box["width"], box["height"])
    middle, reach = (box["width"] / 2, box["height"] / 2), 0.35 * side
    found = {}
    for down, vertical in ((-1, "top"), (1, "bottom")):
        for across, horizontal in ((-1, "left"), (1, "right")):
            where = [int(middle[0] + across * reach), int(middle[1] + down * reach), 1, 1]
            found[f"{vertical} {horizontal}"] = page.evaluate(PIXELS, where)[0]
    return max(found, key=lambda each: found[each])


def test_keys_act_and_are_inert_in_a_field_and_can_be_switched_off(
    signed_in: Page, address: str, head: int, keep: Keep
) -> None:
    signed_in.goto(f"{address}studies/{head}")
    drawn(signed_in)
    viewer, port = signed_in.locator("#viewer"), signed_in.locator("#port")
    press(signed_in, "3")
    expect(viewer).to_have_attribute("data-width", "1500")
    expect(viewer).to_have_attribute("data-centre", "-600")
    expect(signed_in.locator("#preset")).to_have_value("-600,1500")
    press(signed_in, "6")  # the file's first window, after the five of CT
    expect(viewer).to_have_attribute("data-centre", "40")
    press(signed_in, "i")
    expect(signed_in.locator("#invert")).to_have_attribute("aria-pressed", "true")
    press(signed_in, "Shift+ArrowUp")
    expect(signed_in.locator("#preset")).to_have_value("hand")
    press(signed_in, "r", "ArrowRight", "PageDown")
    expect(port).to_have_attribute("data-at", "11")
    expect(signed_in.locator("#invert")).to_have_attribute("aria-pressed", "false")
    keep("viewer-10-keys")
    note = signed_in.get_by_label("What is right instead")
    note.press_sequentially("3irlc")
    expect(note).to_have_value("3irlc")
    press(signed_in, "PageDown", "Home")
    signed_in.locator("input[value=agree]").focus()
    press(signed_in, "3", "i")
    expect(port).to_have_attribute("data-at", "11")
    expect(viewer).to_have_attribute("data-width", "80")
    expect(signed_in.locator("#invert")).to_have_attribute("aria-pressed", "false")
    signed_in.get_by_role("checkbox", name="Keys").uncheck()
    port.focus()
    press(signed_in, "3", "i", "End")
    signed_in.get_by_role("button", name="Further image").click()
    expect(port).to_have_attribute("data-at", "12")
    expect(viewer).to_have_attribute("data-width", "80")
    signed_in.get_by_role("checkbox", name="Keys").check()
    port.focus()
    press(signed_in, "3")
    expect(viewer).to_have_attribute("data-width", "1500")


def test_the_probe_reads_modality_values(signed_in: Page, address: str, head: int, seeded: Seeded) -> None:
    signed_in.goto(f"{address}studies/{head}")
    drawn(signed_in)
    signed_in.locator("#port").hover()
    expect(signed_in.locator("#port .probe-words")).to_have_text(
        re.compile("^x 12[78] y 12[78]: 40 HU$")
    )  # the middle is an edge between two
    padded = np.full((64, 64), 7, "u2")
    number = one(seeded, 50_000, made(padded, PixelPaddingValue=7))
    signed_in.goto(f"{address}studies/{number}")
    drawn(signed_in)
    signed_in.locator("#port").hover()
    expect(signed_in.locator("#port .probe-words")).to_have_text(re.compile("^x 3[12] y 3[12]: no measurement$"))


def test_the_point_under_the_wheel_stays_when_zoomed(signed_in: Page, address: str, head: int) -> None:
    signed_in.goto(f"{address}studies/{head}")
    drawn(signed_in)
    box = signed_in.locator("#canvas").bounding_box()
    assert box is not None
    probe = signed_in.locator("#port .probe-words")
    signed_in.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.3)
    before = probe.text_content()
    assert before
    signed_in.keyboard.down("Control")
    words = signed_in.locator("#window-words").text_content() or ""
    for _ in range(3):
        signed_in.mouse.wheel(0, -100)
    signed_in.keyboard.up("Control")
    expect(signed_in.locator("#window-words")).not_to_have_text(words)
    signed_in.mouse.move(box["x"] + box["width"] * 0.6 + 1, box["y"] + box["height"] * 0.3)
    assert probe.text_content() == before


def test_cine_runs_round_at_the_files_rate_and_pauses(
    signed_in: Page, address: str, seeded: Seeded, keep: Keep
) -> None:
    frames = np.stack([np.full((64, 64), 40 * at, "u1") for at in range(6)])
    number = one(seeded, 51_000, made(frames, NumberOfFrames=6, CineRate="25", Modality="US"), "US")
    signed_in.goto(f"{address}studies/{number}")
    drawn(signed_in)
    port = signed_in.locator("#port")
    signed_in.get_by_role("button", name="Cine").click()
    expect(signed_in.get_by_label("Frames a second")).to_have_value("25")
    for at in ("5", "0", "3"):  # round and round
        expect(port).to_have_attribute("data-at", at)
    expect(signed_in.locator("#cine")).to_have_attribute("aria-pressed", "true")
    press(signed_in, "c")
    expect(signed_in.locator("#cine")).to_have_attribute("aria-pressed", "false")
    keep("viewer-cine")
    stood = signed_in.locator("#viewer").get_attribute("data-at")
    signed_in.get_by_role("button", name="Further image").click()
    assert stood is not None
    expect(port).to_have_attribute("data-at", str(min(int(stood) + 1, 5)))


def test_series_stand_in_a_strip_and_open_beside_each_other(
    signed_in: Page, address: str, seeded: Seeded, keep: Keep
) -> None:
    who = patient("DOE^SERIES", "P-SERIES")
    instances = []
    for at in range(6):
        put_frames(seeded.places, 52_000 + at, [ramp(step=at + 1)], windows=[[200, 400]])
        plain = an_instance(52_000 + at, who, study=520, modality="CT" if at < 4 else "MR")
        instances.append(replace(plain, series_instance_uid=f"2.25.{at // 4}", instance_number=at))
    number = seeded.study_of("series", instances)
    signed_in.goto(f"{address}studies/{number}")
    drawn(signed_in)
    strip = signed_in.locator("#series button")
    expect(strip).to_have_count(2)
    expect(strip.nth(0)).to_have_attribute("aria-current", "true")
    expect(strip.nth(1)).to_have_text("Series 2 · MR · 2 images")
    expect(signed_in.locator("#place-words")).to_have_text("image 1 / 4")
    strip.nth(1).click()
    expect(signed_in.locator("#place-words")).to_have_text("image 1 / 2")
    signed_in.get_by_role("button", name="1×2").click()
    second = signed_in.locator(".port").nth(1)
    expect(second).to_be_visible()
    expect(second.locator(".place-words")).to_have_text("image 1 / 2")
    second.focus()
    strip.nth(0).click()
    expect(second.locator(".place-words")).to_have_text("image 1 / 4")
    expect(signed_in.locator("#place-words")).to_have_text("image 1 / 2")
    keep("viewer-series-1x2")
    signed_in.get_by_role("button", name="1×2").click()
    expect(second).to_be_hidden()


def test_a_prior_opens_beside_and_is_audited(signed_in: Page, address: str, seeded: Seeded, keep: Keep) -> None:
    who = patient("DOE^AGAIN", "P-AGAIN")
    former = replace(who, study_date="20250110")
    stranger = replace(who, patient_birth_date="19500101")
    for n in (53_000, 53_100, 53_200):
        put_frames(seeded.places, n, [ramp()], windows=[[475, 951]])
    old = seeded.study_of("prior", [an_instance(53_000, former, study=530)])
    now = seeded.study_of("present", [an_instance(53_100, who, study=531)])
    other = seeded.study_of("stranger", [an_instance(53_200, stranger, study=532)])
    signed_in.goto(f"{address}studies/{now}")
    drawn(signed_in)
    priors = signed_in.get_by_label("Other studies of this patient")
    expect(priors.locator("option")).to_have_count(2)
    priors.select_option(str(old))
    second = signed_in.locator(".port").nth(1)
    expect(second.locator(".prior-words")).to_contain_text(f"PRIOR · 2025-01-10 · CR · study no. {old}")
    expect(second.locator(".place-words")).to_have_text("image 1 / 1")
    for of_the_present in second.locator(".now-words").all():
        expect(of_the_present).to_be_hidden()
    keep("viewer-prior")
    rows = [each for each in seeded.desk_rows(desk.audit) if each.act == "prior-opened"]
    assert [each.subject for each in rows] == [f"study {old}"]
    for number, prior in ((now, other), (other, now), (now, now), (now, 2**70), (2**70, now), (99_999, now)):
        assert signed_in.request.get(f"{address}studies/{number}/priors/{prior}/images").status == 404


def test_a_large_film_is_windowed_at_screen_size_and_whole_on_release(
    signed_in: Page, address: str, seeded: Seeded, keep: Keep
) -> None:
    """3000x3000: while the hand moves the sheet is as large as the screen, on release as large as the film."""
    film = np.add.outer(np.arange(3000, dtype="u2"), np.arange(3000, dtype="u2"))
    number = one(seeded, 54_000, made(film, Modality="DX", WindowCenter="3000", WindowWidth="6000"))
    signed_in.add_init_script(
        "window.painted = []; const put = CanvasRenderingContext2D.prototype.putImageData;"
        "CanvasRenderingContext2D.prototype.putImageData = function (data, ...rest) {"
        "  window.painted.push(data.width); return put.call(this, data, ...rest); };"
    )
    signed_in.goto(f"{address}studies/{number}")
    drawn(signed_in)
    box = signed_in.locator("#canvas").bounding_box()
    assert box is not None
    signed_in.evaluate("() => { window.painted = []; }")
    signed_in.mouse.move(box["x"] + 400, box["y"] + 300)
    signed_in.mouse.down()
    signed_in.mouse.move(box["x"] + 440, box["y"] + 340, steps=6)
    expect(signed_in.locator("#preset")).to_have_value("hand")
    during = signed_in.evaluate("() => window.painted")
    keep("viewer-film-dragging")
    signed_in.mouse.up()
    count = len(during)
    signed_in.wait_for_function("count => window.painted.length > count", arg=count)
    after = signed_in.evaluate("() => window.painted")
    assert max(during) < 1500
    assert after[-1] == 3000
    keep("viewer-film")


def test_an_image_that_does_not_come_says_so_and_the_next_one_is_shown(
    signed_in: Page, watch: Any, address: str, head: int
) -> None:
    signed_in.route(re.compile(r"/images/1/frames/1$"), lambda route: route.abort())
    signed_in.goto(f"{address}studies/{head}")
    expect(signed_in.locator("#message")).to_contain_text("could not be fetched")
    expect(signed_in.locator("#viewer")).to_have_attribute("data-ready", "no")
    signed_in.get_by_role("button", name="Further image").click()
    drawn(signed_in)
    expect(signed_in.locator("#message")).to_be_empty()
    watch.complaints.clear()  # the browser notes the request that was cut off, which is meant


def test_a_lossy_image_is_marked(signed_in: Page, address: str, seeded: Seeded) -> None:
    put_frames(seeded.places, 55_000, [ramp()])
    plain = an_instance(55_000, patient("DOE^LOSSY", "P-LOSSY"), study=550)
    number = seeded.study_of("lossy", [replace(plain, lossy_image_compression="01")])
    signed_in.goto(f"{address}studies/{number}")
    expect(signed_in.locator("#place-words")).to_have_text("image 1 / 1 · lossy")


def test_frames_and_tables_are_given_only_where_they_fit_their_description(
    signed_in: Page, address: str, seeded: Seeded
) -> None:
    data = made(np.zeros((4, 4), "u2"), VOILUTSequence=[lut([3, 0, 16], [0, 1, 2])])
    number = one(seeded, 56_000, data)
    folder = seeded.places.frames / f"{56_000:064x}"

    def status(path: str) -> int:
        return signed_in.request.get(f"{address}studies/{number}/images/{path}").status

    assert [status(each) for each in ("1/frames/1", "1/luts/1")] == [200, 200]
    for absent in ("1/frames/0", "1/frames/2", "1/luts/0", "1/luts/2", "0/frames/1", "2/frames/1", f"{2**80}/luts/1"):
        assert status(absent) == 404, absent
    for name, path in (("frame-0001.raw", "1/frames/1"), ("voi-01.raw", "1/luts/1")):
        (folder / name).write_bytes(b"\0" * 31)
        assert status(path) == 409
        (folder / name).unlink()
        assert status(path) == 404


def test_the_modules_are_small_and_touch_no_markup() -> None:
    """No text of a header can become markup where nothing makes markup; nothing is evaluated, nothing is elsewhere."""
    modules = sorted((Path(review.__file__).parent / "static" / "viewer").glob("*.js"))
    text = {path.name: path.read_text("utf-8") for path in modules}
    assert sorted(text) == ["frames.js", "geometry.js", "main.js", "overlay.js", "render.js", "viewport.js"]
    assert sum(map(len, text.values())) < 49_000
    for name, source in text.items():
        for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "://"):
            assert word not in source, (name, word)
        if name in ("render.js", "geometry.js"):
            assert not re.search(r"\b(document|window|fetch)\b\s*[.(]", source), name


def test_a_slow_slice_never_replaces_a_newer_one(signed_in: Page, address: str, head: int) -> None:
    listed = signed_in.request.get(f"{address}studies/{head}/images").json()["images"]
    second = f"/images/{listed[1]['image']}/frames/1"
    held: list[Any] = []
    signed_in.route(re.compile(f"{second}$"), lambda route: held.append(route))
    signed_in.goto(f"{address}studies/{head}")
    drawn(signed_in)
    signed_in.locator("#port").focus()
    press(signed_in, "ArrowDown", "ArrowDown")
    expect(signed_in.locator("#port")).to_have_attribute("data-at", "2")
    expect(signed_in.locator("#place-words")).to_contain_text("image 3 /")
    with signed_in.expect_response(lambda answer: answer.url.endswith(second)) as came:
        held[0].continue_()
    came.value.finished()
    two_frames = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    signed_in.evaluate(two_frames)
    expect(signed_in.locator("#port")).to_have_attribute("data-at", "2")
    press(signed_in, "ArrowUp")
    expect(signed_in.locator("#port")).to_have_attribute("data-at", "1")


CACHE = """async ([count, side]) => {
  const frames = await import("/static/viewer/frames.js");
  const asked = [];
  const image = { rows: side, columns: side, dtype: "uint8", here: true };
  const entry = (_, at) => ({ source: "/x", image: { ...image, image: at }, frame: 1 });
  const entries = Array.from({ length: count }, entry);
  const others = window.fetch; // the page itself goes on asking how things stand
  window.fetch = async (where, how) => {
    if (!String(where).startsWith("/x/")) return others(where, how);
    asked.push(Number(where.split("/")[2]));
    return { ok: true, arrayBuffer: async () => new ArrayBuffer(side * side) };
  };
  return { frames, entries, asked };
}"""


def test_frames_are_fetched_ahead_on_both_sides_nearest_first(signed_in: Page, address: str) -> None:
    signed_in.goto(address)
    found = signed_in.evaluate(f"""async () => {{
      const {{ frames, entries, asked }} = await ({CACHE})([30, 8]);
      await frames.values(entries[10]);
      frames.fetchAround(entries, 10, -1);
      while (asked.length < 30) await new Promise(requestAnimationFrame);
      return asked;
    }}""")
    assert found[0] == 10
    assert set(found[1:6]) == {9, 8, 7, 6, 11}  # the hand goes down: four before, one behind
    assert sorted(found) == list(range(30))


def test_what_is_kept_has_a_limit_and_the_longest_unused_goes_first(signed_in: Page, address: str) -> None:
    """Forty frames of 8 MiB are more than 256 MiB hold: the first is fetched again, unless it was used in between."""
    signed_in.goto(address)
    found = signed_in.evaluate(f"""async () => {{
      const {{ frames, entries, asked }} = await ({CACHE})([40, 2896]);
      for (const entry of entries) {{
        await frames.values(entry);
        await frames.values(entries[0]);
      }}
      const first = asked.filter((at) => at === 0).length;
      asked.length = 0;
      for (const at of [39, 0, 20, 1]) await frames.values(entries[at]);
      return [first, ...asked];
    }}""")
    assert found == [1, 1]  # the first was asked for once in forty uses, the second has gone
