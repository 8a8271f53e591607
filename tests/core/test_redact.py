"""Redaction: text is gone from the stored values of every kind of picture, and nothing else is changed."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from burned_in import (
    BASELINE,
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_LS,
    NAME,
    RLE,
    anatomy,
    burned,
    glyphs,
    grey,
    jpeg,
    jpeg_ls,
    made,
    palette,
)
from numpy.typing import NDArray
from planted_objects import REAL_FILES
from pydicom.pixels.encoders import RLELosslessEncoder

from appliance.core import redact_find
from appliance.core.eyes import Likelihood, Picture, Reading
from appliance.core.pixels import decode
from appliance.core.redact import Redacted, redact
from appliance.core.redact_devices import banner_rows
from appliance.core.redact_marks import benign
from appliance.errors import Quarantined
from appliance.world.eyes import OcrEyes, open_eyes

pytestmark = pytest.mark.filterwarnings("ignore")  # odd files make pydicom warn

SHAPE = (256, 320)
# Real CT, MR, NM, SEG, RT dose and test pictures in which nobody finds a letter; none so large that it takes seconds.
TEXTLESS = {
    "693_J2KR.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "JPEG-LL.dcm", "MR-SIEMENS-DICOM-WithOverlays.dcm",
    "MR_small.dcm", "MR_small_bigendian.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_ybr_full_422_uncompressed.dcm",
    "bad_sequence.dcm", "color-pl.dcm", "emri_small_RLE.dcm", "explicit_VR-UN.dcm", "liver_1frame.dcm", "rtdose.dcm",
}  # fmt: skip
COVER = glyphs(SHAPE, NAME, (200, 60))
WRITTEN = COVER > 0.3


@pytest.fixture(scope="module")
def eyes() -> OcrEyes:
    return open_eyes()


def pixels(data: bytes) -> NDArray[Any]:
    return decode(data, pixels_max=2**27).stored


def gone(before: bytes, after: Redacted, cover: NDArray[np.bool_], frame: int = 0) -> None:
    """Nothing of the text is left, and outside the regions that were told nothing is changed."""
    assert after.bytes is not before
    was, now = pixels(before), pixels(after.bytes)
    assert was.shape == now.shape
    there = now[frame][cover].reshape(int(cover.sum()), -1)
    assert (there == there[0]).all()
    told = np.zeros(was.shape[:3], bool)
    for region in after.regions:
        assert region.rule in ("text", "banner")
        told[
            region.frame - 1,
            region.row : region.row + region.rows,
            region.column : region.column + region.columns,
        ] = True
    assert told[frame][cover].all()
    assert (was[~told] == now[~told]).all()
    assert told.mean() < 0.4


def ybr(picture: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.stack([grey(picture), np.full(SHAPE, 128, np.uint8), np.full(SHAPE, 120, np.uint8)], axis=-1)


def halved(whole: NDArray[np.uint8]) -> bytes:
    """YBR_FULL as Y1 Y2 Cb Cr (PS3.3 C.7.6.3.1.2)."""
    pairs = np.empty((SHAPE[0], SHAPE[1] // 2, 4), np.uint8)
    pairs[..., :2] = whole[..., 0].reshape(SHAPE[0], -1, 2)
    pairs[..., 2:] = whole[:, ::2, 1:]
    return pairs.tobytes()


def coloured(picture: NDArray[np.float64]) -> NDArray[np.uint8]:
    rgb = np.stack([grey(picture)] * 3, axis=-1)
    rgb[WRITTEN, 2] = 30  # yellow text
    return rgb


TEXT = burned(anatomy(*SHAPE), COVER)
DARK = burned(1 - anatomy(*SHAPE), COVER, 0.0)
NATIVE: dict[str, bytes] = {
    "8 bits": made(grey(TEXT)),
    "12 of 16 bits": made(grey(TEXT, "uint16", 12), BitsStored=12),
    "signed 16 bits, implicit": made(grey(TEXT, "int16", 16), IMPLICIT),
    "signed 12 bits, big endian": made(grey(TEXT, "int16", 12), BIG, BitsStored=12),
    "8 bits, big endian": made(grey(TEXT), BIG),
    "deflated": made(grey(TEXT, "uint16", 16), DEFLATED),
    "32 bits": made(grey(TEXT, "uint32", 20), BitsStored=20),
    "MONOCHROME1": made(grey(1 - TEXT), PhotometricInterpretation="MONOCHROME1"),
    "dark on bright": made(grey(DARK)),
    "palette": palette(grey(1 - TEXT)),
    "colour by pixel": made(coloured(TEXT)),
    "colour by plane": made(coloured(TEXT), raw=np.moveaxis(coloured(TEXT), -1, 0).tobytes(), PlanarConfiguration=1),
    "YBR_FULL": made(ybr(TEXT), PhotometricInterpretation="YBR_FULL"),
    "YBR_FULL_422": made(ybr(TEXT), raw=halved(ybr(TEXT)), PhotometricInterpretation="YBR_FULL_422"),
    "one bit": made(
        np.zeros(SHAPE, np.uint8),
        raw=np.packbits((COVER > 0.5).ravel(), bitorder="little").tobytes(),
        BitsAllocated=1,
        BitsStored=1,
    ),
}


@pytest.mark.parametrize("kind", NATIVE)
def test_text_is_gone_and_the_native_file_else_the_same(eyes: OcrEyes, kind: str) -> None:
    before = NATIVE[kind]
    after = redact(before, eyes)
    gone(before, after, WRITTEN)
    was, now = (pydicom.dcmread(io.BytesIO(each)) for each in (before, after.bytes))
    assert was.file_meta == now.file_meta
    raw = was.PixelData, now.PixelData
    assert len(raw[0]) == len(raw[1])
    del was.PixelData, now.PixelData
    assert was == now
    if kind != "deflated":
        at = before.find(raw[0])
        assert after.bytes[:at] == before[:at]
        assert after.bytes[at + len(raw[0]) :] == before[at + len(raw[0]) :]


def test_the_darkest_value_is_that_of_the_kind(eyes: OcrEyes) -> None:
    """Zero is white in MONOCHROME1, any colour in a palette, and no darkest value where values are signed."""
    row, column = np.argwhere(WRITTEN)[0]
    black = {}
    for kind in ("8 bits", "MONOCHROME1", "palette", "YBR_FULL", "signed 12 bits, big endian"):
        dataset = pydicom.dcmread(io.BytesIO(redact(NATIVE[kind], eyes).bytes))
        black[kind] = dataset.PixelData, dataset.BitsAllocated // 8 * dataset.SamplesPerPixel
    at = {kind: raw[(row * SHAPE[1] + column) * size :][:size] for kind, (raw, size) in black.items()}
    assert at["8 bits"] == bytes([grey(TEXT).min()])
    assert at["MONOCHROME1"] == bytes([grey(1 - TEXT).max()])
    assert at["palette"] == bytes([grey(1 - TEXT).max()])  # of the indices in use, the one with the darkest entry
    assert at["YBR_FULL"] == bytes([0, 128, 128])
    assert int.from_bytes(at["signed 12 bits, big endian"], "big", signed=True) == grey(TEXT, "int16", 12).min()


def rle(stored: NDArray[Any]) -> bytes:
    options = {
        "rows": stored.shape[0],
        "columns": stored.shape[1],
        "samples_per_pixel": stored.shape[2] if stored.ndim == 3 else 1,
        "bits_allocated": stored.dtype.itemsize * 8,
        "bits_stored": stored.dtype.itemsize * 8,
        "pixel_representation": 0,
        "number_of_frames": 1,
        "planar_configuration": 0,
        "photometric_interpretation": "RGB" if stored.ndim == 3 else "MONOCHROME2",
    }
    return bytes(RLELosslessEncoder.encode(stored.tobytes(), encoding_plugin="pydicom", **options))


COMPRESSED: dict[str, bytes] = {
    "JPEG colour": made(
        coloured(TEXT),
        BASELINE,
        [jpeg(coloured(TEXT))],
        PhotometricInterpretation="YBR_FULL_422",
        LossyImageCompression="01",
    ),
    "JPEG-LS 16 bits": made(grey(TEXT, "uint16", 16), JPEG_LS, [jpeg_ls(grey(TEXT, "uint16", 16))]),
    "RLE colour": made(coloured(TEXT), RLE, [rle(coloured(TEXT))]),
    "RLE palette": palette(grey(1 - TEXT), syntax=RLE, frames=[rle(grey(1 - TEXT))]),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_compressed_picture_becomes_native_as_it_was_decoded(eyes: OcrEyes, kind: str) -> None:
    before = COMPRESSED[kind]
    after = redact(before, eyes)
    gone(before, after, WRITTEN)
    was, now = (pydicom.dcmread(io.BytesIO(each)) for each in (before, after.bytes))
    assert now.file_meta.TransferSyntaxUID == EXPLICIT
    assert (now.BitsAllocated, now.get("PlanarConfiguration", 0)) == (was.BitsAllocated, 0)
    assert now.PhotometricInterpretation == ("RGB" if "colour" in kind else was.PhotometricInterpretation)
    assert now.get("LossyImageCompression") == was.get("LossyImageCompression")
    for each in (was, now):
        for keyword in ("PixelData", "PhotometricInterpretation"):
            del each[keyword]
    assert was == now


@pytest.mark.parametrize("path", [each for each in REAL_FILES if each.name in TEXTLESS], ids=lambda path: path.name)
def test_a_picture_without_text_comes_back_as_it_is(eyes: OcrEyes, path: Path) -> None:
    data = path.read_bytes()
    after = redact(data, eyes)
    assert after.bytes is data
    assert after.regions == ()


MARKS = [("L", 40), ("R", 24), ("RIGHT", 18), ("AP", 30), ("RMLO", 26), ("10 cm", 20), ("SUPINE", 22), ("LAT", 24)]


@pytest.mark.parametrize(("mark", "px"), MARKS)
def test_a_mark_of_side_view_or_scale_stays(eyes: OcrEyes, mark: str, px: int) -> None:
    data = made(grey(burned(anatomy(*SHAPE), glyphs(SHAPE, mark, (20, 24), px))))
    assert redact(data, eyes).bytes is data


def test_a_mark_stays_while_a_name_elsewhere_goes(eyes: OcrEyes) -> None:
    mark = glyphs(SHAPE, "RIGHT", (16, 16), 22)
    before = made(grey(burned(TEXT, mark)))
    after = redact(before, eyes)
    gone(before, after, WRITTEN)
    assert (pixels(after.bytes)[0][mark > 0] == pixels(before)[0][mark > 0]).all()


def test_a_letter_beside_a_name_is_no_mark(eyes: OcrEyes) -> None:
    cover = glyphs(SHAPE, "R", (100, 30), 24) + glyphs(SHAPE, "SCHMIDT", (100, 66), 24)
    before = made(grey(burned(anatomy(*SHAPE), cover)))
    gone(before, redact(before, eyes), cover > 0.3)


@pytest.mark.parametrize(
    "text",
    ["L", "r", "LEFT", "A P", "R MLO", "10 cm", "5mm", "1,5 CM", "120 kV", "85 kVp", "3.2 mAs", "MI 0.8", "TIS<0.4"],
)
def test_what_is_on_the_allow_list(text: str) -> None:
    assert benign(Reading(text, (0.99,) * len(text)))


@pytest.mark.parametrize(
    "text",
    [
        *("", "LI", "MA", "SMITH", "L SMITH", "PAUL", "Dr", "ИВАНОВ", "MR", "F 47", "R 1234", "LEFT LEFT LEFT LEFT"),
        *("1947", "20240101", "12.03.2024", "10 cm 1947", "12345 mm", "1234567 mAs", "KV55 1234567", "AP20240101"),
        "MI 0.8 Smith",
    ],
)
def test_what_is_not_on_the_allow_list(text: str) -> None:
    assert not benign(Reading(text, (0.99,) * len(text)))


def test_a_mark_that_is_not_read_with_certainty_is_none() -> None:
    assert benign(Reading("10 cm", (0.9, 0.9, 0.1, 0.9, 0.9)))  # a blank is no character
    assert not benign(Reading("L", (0.75,)))
    assert not benign(Reading("LAT", (1.0, 0.45, 1.0)))


HARD = [
    ("1947-02-13", {"at": (20, 280), "px": 20, "turns": 1}, 1.0),
    ("MRN 7731904", {"at": (20, 280), "px": 18, "turns": 3}, 0.9),
    ("Ohrwurmstein", {"at": (120, 60), "px": 24, "turns": 2}, 1.0),
    ("ACC5519038", {"at": (20, 10), "px": 10}, 1.0),
    ("Balthasar", {"at": (110, 10), "px": 60}, 0.9),
    ("Kunigunde", {"at": (20, 20), "px": 26}, 0.25),
    ("山田太郎", {"at": (20, 20), "px": 26, "font": "uni"}, 1.0),
    ("ИВАНОВ Иван", {"at": (20, 20), "px": 22, "font": "uni"}, 1.0),
    ("ΠΑΠΑΔΟΠΟΥΛΟΣ", {"at": (20, 20), "px": 22, "font": "uni"}, 1.0),
    ("김철수 박지영", {"at": (20, 20), "px": 30, "font": "uni"}, 1.0),
]


@pytest.mark.parametrize(("text", "how", "level"), HARD, ids=[each[0] for each in HARD])
def test_text_is_found_turned_small_large_faint_and_in_other_scripts(
    eyes: OcrEyes, text: str, how: dict[str, Any], level: float
) -> None:
    cover = glyphs(SHAPE, text, **how)
    before = made(grey(burned(anatomy(*SHAPE), cover, level), "uint16", 12), BitsStored=12)
    gone(before, redact(before, eyes), cover > 0.3)


def test_text_far_above_and_far_within_the_range_is_found(eyes: OcrEyes) -> None:
    """At the top of the words over a dim image, and faint where one bright spot takes all of the range."""
    dim = grey(anatomy(*SHAPE), "uint16", 8)
    dim[WRITTEN] = 65535
    spotted = grey(burned(anatomy(*SHAPE), COVER, 0.9), "uint16", 10)
    spotted[5:9, 5:9] = 65535
    for stored in (dim, spotted):
        before = made(stored)
        gone(before, redact(before, eyes), WRITTEN)


def test_every_frame_is_looked_at(eyes: OcrEyes) -> None:
    film = np.stack([grey(anatomy(*SHAPE, seed)) for seed in range(1, 5)])
    film[2] = grey(TEXT)
    before = made(film)
    after = redact(before, eyes)
    gone(before, after, WRITTEN, frame=2)
    assert {region.frame for region in after.regions} == {3}


class Counting:
    """The real eyes, blind from the n-th look of the first detector on."""

    def __init__(self, eyes: OcrEyes, blind_from: int = 10**6) -> None:
        self.eyes, self.looks, self.blind_from = eyes, 0, blind_from

    def find(self, picture: Picture) -> Likelihood:
        self.looks += 1
        return self.eyes.find(picture) * np.float32(self.looks < self.blind_from)

    def read(self, line: Picture) -> Reading:
        return self.eyes.read(line)

    def find_again(self, picture: Picture) -> Likelihood:
        return self.eyes.find_again(picture)

    def read_again(self, line: Picture) -> Reading:
        return self.eyes.read_again(line)


def test_equal_frames_are_looked_at_once(eyes: OcrEyes) -> None:
    counting = Counting(eyes)
    one = redact(made(grey(TEXT)), counting)
    looks = counting.looks
    five = redact(made(np.stack([grey(TEXT)] * 5)), counting)
    assert counting.looks == 2 * looks
    assert [region.frame for region in five.regions] == sorted([1, 2, 3, 4, 5] * len(one.regions))


def test_text_that_stands_still_goes_from_every_frame_that_shows_it(eyes: OcrEyes) -> None:
    """Also where the detector overlooks it: eyes that are blind for the second frame."""
    film = np.stack([grey(TEXT)] * 2)
    film[1, 20:60, 20:60] += 40
    before = made(film)
    gone(before, redact(before, Counting(eyes, blind_from=3)), WRITTEN, frame=1)


def test_blind_eyes_leave_the_text(eyes: OcrEyes) -> None:
    """The check of these tests can fail: without a detector the picture stays as it is."""
    before = made(grey(TEXT))
    with pytest.raises(AssertionError):
        gone(before, redact(before, Counting(eyes, blind_from=1)), WRITTEN)


def real(name: str) -> bytes:
    return next(each for each in REAL_FILES if each.name == name).read_bytes()


def test_a_line_in_the_banner_of_a_known_device_takes_the_whole_width(eyes: OcrEyes) -> None:
    after = redact(real("OBXXXX1A.dcm"), eyes)
    lines = [region for region in after.regions if region.rule == "banner"]
    assert lines
    assert all((each.column, each.columns) == (0, 800) and each.row + each.rows <= 61 for each in lines)


def test_regions_that_the_picture_does_not_bear_out_make_no_banner() -> None:
    philips = pydicom.dcmread(io.BytesIO(real("OBXXXX1A.dcm")))
    assert banner_rows(philips, 600, 800) == 60
    assert banner_rows(philips, 350, 800) == 0  # the picture was cut after the regions were written
    philips.Manufacturer = "Acme"
    assert banner_rows(philips, 600, 800) == 0
    del philips.SequenceOfUltrasoundRegions
    philips.Manufacturer = "PHILIPS"
    assert banner_rows(philips, 600, 800) == 0


def test_what_has_no_picture_comes_back_as_it_is(eyes: OcrEyes) -> None:
    data = real("reportsi.dcm")
    assert redact(data, eyes).bytes is data


def floating() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(made(grey(TEXT, "uint16", 8), BitsAllocated=32)))
    dataset.FloatPixelData = TEXT.astype("<f4").tobytes()
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        real("MR_truncated.dcm"),
        floating(),
        made(grey(TEXT), raw=b"\1\2"),
        made(grey(TEXT), BASELINE, [b"\xff\xd8 no jpeg \xff\xd9"]),
        made(grey(TEXT), "1.2.840.10008.1.2.4.102", [b"\0\0\1\xb3"]),
        made(np.eye(16, 33_000, dtype=np.uint8)),
        b"",
    ],
    ids=["truncated", "float", "short", "no JPEG", "video", "wide", "empty"],
)
def test_what_cannot_be_decoded_is_refused(eyes: OcrEyes, data: bytes) -> None:
    with pytest.raises(Quarantined) as caught:
        redact(data, eyes)
    assert (caught.value.code, caught.value.place) == ("deid-unsupported", "PixelData")


def test_a_picture_with_more_proposals_than_the_limit_is_refused(
    eyes: OcrEyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redact_find, "PROPOSALS_MAX", 3)
    texts = [glyphs(SHAPE, "NAME", (row, 40), 16) for row in range(20, 220, 40)]
    with pytest.raises(Quarantined) as caught:
        redact(made(grey(burned(anatomy(*SHAPE), np.sum(texts, axis=0)))), eyes)
    assert caught.value.code == "deid-unsupported"


CINES: dict[str, bytes] = {
    "8 bits": made(np.stack([grey(TEXT), grey(anatomy(*SHAPE, 2)), grey(TEXT)])),
    "signed 12 bits, big endian": made(
        np.stack([grey(TEXT, "int16", 12), grey(anatomy(*SHAPE, 2), "int16", 12), grey(TEXT, "int16", 12)]),
        BIG,
        BitsStored=12,
    ),
    "one bit": made(
        np.zeros((3, *SHAPE), np.uint8),
        raw=np.packbits(np.stack([COVER > 0.5] * 3).ravel(), bitorder="little").tobytes(),
        BitsAllocated=1,
        BitsStored=1,
    ),
    "JPEG colour": made(
        np.stack([coloured(TEXT)] * 3),
        BASELINE,
        [jpeg(coloured(TEXT)), jpeg(coloured(anatomy(*SHAPE, 2))), jpeg(coloured(TEXT))],
        PhotometricInterpretation="YBR_FULL_422",
    ),
    "RLE palette": palette(
        np.stack([grey(1 - TEXT), grey(1 - anatomy(*SHAPE, 2)), grey(1 - TEXT)]),
        syntax=RLE,
        frames=[rle(grey(each)) for each in (1 - TEXT, 1 - anatomy(*SHAPE, 2), 1 - TEXT)],
    ),
}


@pytest.mark.parametrize("kind", CINES)
def test_a_frame_that_nobody_will_see_is_blackened_whole_and_not_looked_at(eyes: OcrEyes, kind: str) -> None:
    before, counting, every = CINES[kind], Counting(eyes), Counting(eyes)
    after, all_seen = redact(before, counting, frozenset((2,))), redact(before, every)
    was, now, whole = pixels(before), pixels(after.bytes), pixels(all_seen.bytes)
    assert was.shape == now.shape
    assert (now[2] == whole[2]).all(), "what is shown is what it would be if all were"
    assert after.hidden == 2
    for hidden in now[:2]:
        assert (hidden == hidden[0, 0]).all()
    assert {region.frame for region in after.regions} == {3}
    assert 0 < counting.looks < every.looks or kind == "one bit"  # its frames are equal


def test_without_a_frame_to_show_nothing_is_looked_at_and_nothing_left(eyes: OcrEyes) -> None:
    counting = Counting(eyes)
    after = redact(NATIVE["8 bits"], counting, frozenset())
    assert counting.looks == 0
    assert (pixels(after.bytes) == pixels(after.bytes)[0, 0, 0]).all()
    assert (after.regions, after.hidden) == ((), 1)


def test_where_all_are_shown_the_bytes_are_those_of_before(eyes: OcrEyes) -> None:
    film = made(np.stack([grey(anatomy(*SHAPE, seed)) for seed in (1, 2)]))
    assert redact(film, eyes, frozenset((0, 1))).bytes is film
