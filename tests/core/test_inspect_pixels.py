"""The inspector of pictures: it refuses what a cleaner left, read rightly or not, and lets anatomy and marks pass."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from burned_in import BASELINE, anatomy, burned, glyphs, grey, made
from planted_objects import REAL_FILES
from pydicom.dataset import Dataset

from appliance.core.eyes import Reading
from appliance.core.identity import Identity, identity
from appliance.core.inspect_pixels import _left_over, _may_be, _words, inspect_pixels
from appliance.core.inspect_search import search_for
from appliance.core.redact import redact
from appliance.errors import Quarantined
from appliance.world.eyes import OcrEyes, open_eyes

pytestmark = pytest.mark.filterwarnings("ignore")

SHAPE = (256, 320)


def whose() -> Identity:
    source = Dataset()
    source.PatientName = "Zwetschgenkern^Balthasar"
    source.PatientID = "MRN-7731904"
    source.PatientBirthDate = "19470213"
    source.ReferringPhysicianName = "Li^Wu"
    return identity(source)


NOBODY = identity(Dataset())


@pytest.fixture(scope="module")
def eyes() -> OcrEyes:
    return open_eyes()


def showing(*texts: tuple[str, dict[str, Any]], level: float = 1.0) -> bytes:
    cover = sum((glyphs(SHAPE, text, **how) for text, how in texts), np.zeros(SHAPE))
    return made(grey(burned(anatomy(*SHAPE), cover, level)))


def refused(data: bytes, of: Identity, eyes: OcrEyes) -> tuple[str, str]:
    with pytest.raises(Quarantined) as caught:
        inspect_pixels(data, of, eyes)
    return caught.value.code, caught.value.place


LEFT = [
    ("Zwetschgenkern", {"at": (200, 60)}),
    ("BALTHASAR Z.", {"at": (20, 40), "px": 16}),
    ("7731904", {"at": (20, 40), "px": 26}),
    ("ID MRN-7731904", {"at": (20, 280), "px": 18, "turns": 1}),
    ("1947-02-13", {"at": (20, 280), "px": 20, "turns": 3}),
    ("13.02.1947", {"at": (120, 60), "px": 24, "turns": 2}),
    ("13 FEB 1947", {"at": (120, 60), "px": 24}),
    ("Wu, Li", {"at": (20, 40), "px": 30}),
]


@pytest.mark.parametrize(("text", "how"), LEFT, ids=[each[0] for each in LEFT])
def test_identity_left_in_the_picture_is_found(eyes: OcrEyes, text: str, how: dict[str, Any]) -> None:
    assert refused(showing((text, how)), whose(), eyes) == ("inspect-identity-found", "PixelData frame 1")


@pytest.mark.parametrize(("text", "how"), LEFT[:6], ids=[each[0] for each in LEFT[:6]])
def test_text_that_is_nobodys_is_refused_too(eyes: OcrEyes, text: str, how: dict[str, Any]) -> None:
    assert refused(showing((text, how)), NOBODY, eyes) == ("inspect-unreadable", "PixelData frame 1")


@pytest.mark.parametrize(("text", "how"), LEFT, ids=[each[0] for each in LEFT])
def test_after_redaction_it_passes(eyes: OcrEyes, text: str, how: dict[str, Any]) -> None:
    inspect_pixels(redact(showing((text, how)), eyes).bytes, whose(), eyes)


PLANTED = [
    ("OKONKWO, ANNA", {"at": (30, 30), "px": 13}),
    ("DOB 02/13/1947", {"at": (220, 20), "px": 15}),
    ("Acc 5519038", {"at": (20, 290), "px": 16, "turns": 1}),
    ("St Mary Hospital", {"at": (90, 40), "px": 28}),
    ("Dubois^Jean", {"at": (30, 20), "px": 44}),
    ("14:23:11", {"at": (20, 200), "px": 20}),
    ("Lindqvist", {"at": (150, 80), "px": 20, "turns": 2}),
    ("20250311", {"at": (40, 20), "px": 18, "turns": 3}),
    ("GARCIA M 1962", {"at": (230, 100), "px": 12}),
    ("Dr. Becker", {"at": (10, 10), "px": 24, "font": "italic"}),
]


@pytest.mark.parametrize("level", [1.0, 0.75])
def test_a_cleaner_that_does_nothing_is_caught(eyes: OcrEyes, level: float) -> None:
    for text, how in PLANTED:
        assert refused(showing((text, how), level=level), NOBODY, eyes)[0] == "inspect-unreadable", text


def test_a_single_overlooked_line_is_caught(eyes: OcrEyes) -> None:
    """A cleaner that takes one line and leaves another."""
    both = showing(("Zwetschgenkern", {"at": (200, 60)}), ("Balthasar", {"at": (20, 40)}))
    lines = redact(both, eyes)
    dataset = pydicom.dcmread(io.BytesIO(lines.bytes))
    kept = pydicom.dcmread(io.BytesIO(both))
    cells = np.frombuffer(dataset.PixelData, np.uint8).reshape(SHAPE).copy()
    cells[:100] = np.frombuffer(kept.PixelData, np.uint8).reshape(SHAPE)[:100]
    assert refused(made(cells), whose(), eyes) == ("inspect-identity-found", "PixelData frame 1")


def test_the_frame_is_named_and_never_the_text(eyes: OcrEyes) -> None:
    film = np.stack([grey(anatomy(*SHAPE, seed)) for seed in (1, 1, 2)])
    film[2] = grey(burned(anatomy(*SHAPE), glyphs(SHAPE, "Zwetschgenkern", (200, 60))))
    with pytest.raises(Quarantined) as caught:
        inspect_pixels(made(film), whose(), eyes)
    assert str(caught.value) == "inspect-identity-found at PixelData frame 3"


@pytest.mark.parametrize("text", ["L", "RIGHT", "R MLO", "10 cm", "AP", "SUPINE", "120 kV"])
def test_a_mark_passes(eyes: OcrEyes, text: str) -> None:
    inspect_pixels(showing((text, {"at": (20, 40), "px": 24})), whose(), eyes)


PASSING = ["CT_small.dcm", "MR_small.dcm", "693_J2KR.dcm", "bad_sequence.dcm", "JPEG-LL.dcm", "color-pl.dcm"]
PASSING += [
    "emri_small_RLE.dcm",
    "liver_1frame.dcm",
    "rtdose.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
]


@pytest.mark.parametrize("path", [each for each in REAL_FILES if each.name in PASSING], ids=lambda path: path.name)
def test_a_real_picture_without_text_passes(eyes: OcrEyes, path: Path) -> None:
    data = path.read_bytes()
    inspect_pixels(data, identity(pydicom.dcmread(io.BytesIO(data))), eyes)


@pytest.mark.parametrize("name", ["US1_UNCR.dcm", "OBXXXX1A_rle_2frame.dcm", "gdcm-US-ALOKA-16.dcm"])
def test_real_ultrasound_is_refused_as_it_is_and_passes_redacted(eyes: OcrEyes, name: str) -> None:
    data = next(each for each in REAL_FILES if each.name == name).read_bytes()
    of = identity(pydicom.dcmread(io.BytesIO(data)))
    assert refused(data, of, eyes)[0] in ("inspect-identity-found", "inspect-unreadable")
    inspect_pixels(redact(data, eyes).bytes, of, eyes)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        made(grey(anatomy()), raw=b"\1\2"),
        made(grey(anatomy()), BASELINE, [b"\xff\xd8 no jpeg \xff\xd9"]),
        made(np.eye(16, 33_000, dtype=np.uint8)),
    ],
    ids=["empty", "short", "no JPEG", "wide"],
)
def test_what_cannot_be_decoded_is_refused(eyes: OcrEyes, data: bytes) -> None:
    assert refused(data, whose(), eyes) == ("inspect-unreadable", "PixelData")


@pytest.mark.parametrize(
    "reading",
    [
        *("ZWETSCHGENKERN", "Zwetschgenkem", "Zwetschqenkern", "ZWETSCHGENKERNBALTHASAR", "8althasar", "BALTHA5AR"),
        *("Ba1thasar", "Balthazar", "MRN-773I9O4", "7731904", "77319O4"),
        *("1947-02-13", "I947-O2-I3", "13021947", "13FEB1947", "l3.O2.l947"),
    ],
)
def test_a_misread_identity_is_still_identity(reading: str) -> None:
    assert _may_be(_words(search_for(whose())), reading)


@pytest.mark.parametrize(
    "reading", ["10 cm", "SUPINE", "thorax", "wit", "1948-03-17", "Bal", "5519038", "W 350 L 40", ""]
)
def test_what_is_no_identity(reading: str) -> None:
    assert not _may_be(_words(search_for(whose())), reading)


def test_what_is_taken_for_a_text_left_over() -> None:
    sure, fair, guessed = (0.95,) * 3, (0.75,) * 6, (0.55,) * 6
    assert _left_over(Reading("Abc", sure))
    assert _left_over(Reading("Smith1", fair))
    assert not _left_over(Reading("Smith1", guessed))
    assert not _left_over(Reading("A-.", sure))
    assert not _left_over(Reading("LAT", sure))
    assert _left_over(Reading("1947", (0.95,) * 4))
