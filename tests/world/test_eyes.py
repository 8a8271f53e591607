"""The OCR models: the files that were measured and no others, read late, in pictures of any size."""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.errors import Misconfigured
from appliance.world import eyes as world_eyes
from appliance.world.eyes import FIRST_DETECTOR, FIRST_LETTERS, FIRST_RECOGNISER, OTHER_DETECTOR, OcrEyes, open_eyes


@pytest.fixture(scope="module")
def eyes() -> OcrEyes:
    return open_eyes()


def drawn(text: str, rows: int, columns: int, at: tuple[int, int], px: int = 28) -> NDArray[np.uint8]:
    picture = np.zeros((rows, columns, 3), np.uint8)
    cv2.putText(picture, text, at, (255, 255, 255), cv2.FontFace("sans"), px)
    return picture


@pytest.mark.parametrize("which", ["read", "read_again"])
def test_a_line_is_read_with_its_certainty(eyes: OcrEyes, which: str) -> None:
    reading = getattr(eyes, which)(drawn("Quelle 1947", 44, 190, (6, 32)))
    assert reading.text.replace(" ", "") == "Quelle1947"
    assert len(reading.certainty) == len(reading.text)
    assert min(reading.certainty) > 0.5
    assert "Quelle" not in repr(reading)


@pytest.mark.parametrize("which", ["find", "find_again"])
@pytest.mark.parametrize("shape", [(70, 333), (250, 1500), (1100, 65)])
def test_text_is_found_in_a_picture_of_any_size(eyes: OcrEyes, which: str, shape: tuple[int, int]) -> None:
    at = (shape[1] - 200 if shape[1] > 200 else 2, shape[0] // 2)
    picture = drawn("Quelle 1947" if shape[1] > 200 else "Qu", *shape, at)
    likelihood = getattr(eyes, which)(picture)
    assert likelihood.shape == shape
    assert likelihood.dtype == np.float32
    rows, columns = np.nonzero(likelihood > 0.5)
    assert len(rows)
    assert abs(np.median(rows) - (at[1] - 10)) < 8
    assert columns.min() >= at[0] - 4


def test_a_line_across_two_tiles_is_found_whole(eyes: OcrEyes) -> None:
    likelihood = eyes.find(drawn("Zwetschgenkern 1947", 64, 1600, (800, 40)))
    columns = np.flatnonzero((likelihood > 0.3).any(axis=0))
    assert columns.min() < 815
    assert columns.max() > 1040
    assert (np.diff(columns) < 20).all()


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    blind = OcrEyes(tmp_path)
    with pytest.raises(Misconfigured) as caught:
        blind.find(np.zeros((32, 32, 3), np.uint8))
    assert (caught.value.code, caught.value.place) == ("ocr-models", FIRST_DETECTOR.path)


@pytest.mark.parametrize("asset", [FIRST_DETECTOR, FIRST_RECOGNISER, FIRST_LETTERS, OTHER_DETECTOR])
def test_a_file_that_was_changed_is_refused(eyes: OcrEyes, tmp_path: Path, asset: world_eyes.Asset) -> None:
    there = tmp_path / asset.path
    there.parent.mkdir(parents=True)
    shutil.copy(eyes.folder / asset.path, there)
    assert len(world_eyes.checked(tmp_path, asset)) == there.stat().st_size
    data = bytearray(there.read_bytes())
    data[len(data) // 2] ^= 1
    there.write_bytes(data)
    with pytest.raises(Misconfigured) as caught:
        world_eyes.checked(tmp_path, asset)
    assert (caught.value.code, caught.value.place) == ("ocr-models", asset.path)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_eyes, "PACKAGE", "no_such_package_here")
    with pytest.raises(Misconfigured) as caught:
        open_eyes()
    assert (caught.value.code, caught.value.place) == ("ocr-models", "no_such_package_here")


def test_the_package_is_not_imported(eyes: OcrEyes) -> None:
    eyes.find(np.zeros((32, 32, 3), np.uint8))
    assert world_eyes.PACKAGE not in sys.modules
