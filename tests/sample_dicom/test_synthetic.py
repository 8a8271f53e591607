"""The synthetic scanner: films drawn from a seed, which say what they are, and which the product lets say so."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from appliance.cli.prove import synthetic
from appliance.cli.prove.synthetic import (
    CALIBRATION_SEEDS,
    MARK,
    PREVALENCE,
    SHIPPED,
    SIDE_PX,
    SPREAD,
    SUBTYPES,
    UNCLEAR_SHARE,
    Drawn,
    dicom,
    draw,
    draw_all,
    marked,
    seed_to_show,
)
from appliance.core.admit import admit
from appliance.core.eyes import Reading
from appliance.core.inspect_pixels import _readings
from appliance.core.options import PROFILES
from appliance.core.outgoing import outgoing
from appliance.core.redact import redact
from appliance.core.redact_find import lines
from appliance.core.redact_marks import benign
from appliance.errors import Misconfigured
from appliance.world.eyes import OcrEyes, open_eyes
from sample_dicom import scanner

DCIODVFY = Path(sys.executable).parent / "dciodvfy"
SITE_KEY = bytes.fromhex("6f1d0b52a9c47e38f0139b6ce2587ad1043fb6c89e21754db8e06a9f3c12d785")
SEEDS = range(4)


@pytest.fixture(scope="module")
def eyes() -> OcrEyes:
    return open_eyes()


class Still:
    """Stands in for the runtime where only what is drawn by lot matters; keeps the codes it was given."""

    def __init__(self) -> None:
        self.codes: list[np.ndarray] = []

    def run(self, _names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.codes.append(inputs["code"][0])
        return [np.full((1, 1, SIDE_PX, SIDE_PX), 0.5, np.float32)]


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Still:
    _, means, factors = synthetic._generator(SHIPPED)
    made = Still()
    monkeypatch.setattr(synthetic, "_generator", lambda _: (made, means, factors))
    return made


def same(one: Drawn, other: Drawn) -> bool:
    return np.array_equal(one.values, other.values) and (one.truth, one.subtype) == (other.truth, other.subtype)


def test_a_seed_is_a_film() -> None:
    film = draw(7)
    assert film.values.shape == (SIDE_PX, SIDE_PX)
    assert film.values.dtype == np.uint8
    assert same(film, draw(7))
    assert not np.array_equal(film.values, draw(8).values)
    assert draw(7, 0.0).truth == "normal"
    assert draw(7, 1.0).truth == "pneumonia"
    assert not np.array_equal(draw(7, 0.0).values, draw(7, 1.0).values)


def test_a_film_is_no_flat_picture_and_air_is_dark() -> None:
    for seed in SEEDS:
        values = draw(seed).values.astype(float)
        assert values.std() > 25
        assert values[30:, SIDE_PX // 2].mean() > 1.3 * values[30:, [0, -1]].mean()  # the spine, beside what is beside


@pytest.mark.usefixtures("still")
def test_the_finding_is_as_frequent_as_asked_for() -> None:
    for prevalence in (PREVALENCE, 0.6):
        films = [draw(seed, prevalence) for seed in range(300)]
        sick = [film for film in films if film.truth == "pneumonia"]
        assert len(sick) / 300 == pytest.approx(prevalence, abs=0.08)
        assert sum(film.subtype == "virus" for film in sick) / len(sick) == pytest.approx(0.5, abs=0.2)
        assert {film.subtype for film in films} == set(SUBTYPES)
        assert all((film.truth == "normal") == (film.subtype == "") for film in films)


def test_nine_films_in_ten_are_typical_of_what_they_were_drawn_as(still: Still) -> None:
    _, means, factors = synthetic._generator(SHIPPED)
    kinds = [SUBTYPES.index(draw(seed, 0.5).subtype) for seed in range(200)]
    apart = [np.linalg.solve(factors[k], code - means[k]).std() for k, code in zip(kinds, still.codes, strict=True)]
    wide = [each for each in apart if each > (1 + SPREAD) / 2]
    assert len(wide) == pytest.approx(200 * UNCLEAR_SHARE, abs=14)
    assert np.mean(wide) == pytest.approx(1.0, abs=0.06)
    assert np.mean([each for each in apart if each not in wide]) == pytest.approx(SPREAD, abs=0.06)


def test_two_processes_draw_what_one_draws_in_the_order_of_the_seeds() -> None:
    seeds = [5, 3, 9]
    alone, together = (list(draw_all(seeds, 0.5, processes)) for processes in (1, 8))
    assert [seed for seed, _ in together] == seeds
    assert all(same(one, other) for (_, one), (_, other) in zip(alone, together, strict=True))


def test_no_film_to_show_served_to_certify() -> None:
    assert not {seed_to_show(seed, n) for seed in range(3) for n in (0, 1, 999)} & set(range(0, 10**9, 10**8))
    assert all(seed_to_show(seed, n) not in CALIBRATION_SEEDS for seed in range(3) for n in (0, 1, 999))


def test_the_mark_moves_neither_end_of_the_film(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "marked", lambda values: values)
    for seed in SEEDS:
        plain = draw(seed).values
        with_mark = marked(plain)
        changed = np.argwhere(plain != with_mark)
        assert changed[:, 0].max() < 24
        assert changed[:, 1].max() < SIDE_PX // 2
        for percent in (0.5, 99.5):
            assert abs(np.percentile(plain, percent) - np.percentile(with_mark, percent)) <= 4


def test_a_generator_that_was_changed_draws_nothing(tmp_path: Path) -> None:
    (tmp_path / synthetic.PACKAGE).mkdir(parents=True)
    with pytest.raises(Misconfigured, match="model-package-damaged"):
        draw(1, source=SHIPPED._replace(models=tmp_path))


# What the header says


@pytest.fixture(scope="module")
def film() -> bytes:
    return dicom(draw(1), 1)


def test_the_header_says_what_it_is_wherever_one_may_look(film: bytes) -> None:
    told = pydicom.dcmread(io.BytesIO(film))
    assert told.SyntheticData == "YES"
    assert (told.Manufacturer, told.ManufacturerModelName) == ("Synthetic Scanner", "SX-224")
    for keyword in ("PatientName", "PatientID", "StudyDescription", "SeriesDescription", "ImageComments"):
        assert str(told[keyword].value).startswith("SYNTHETIC"), keyword
    assert list(told.ImageType)[:2] == ["ORIGINAL", "PRIMARY"]
    assert told.BurnedInAnnotation == "NO"
    assert told.ImagerPixelSpacing == [1.5, 1.5]
    assert np.array_equal(told.pixel_array, draw(1).values)


def test_it_is_of_the_one_group_that_a_certificate_of_its_site_may_name() -> None:
    ages = set()
    for seed in range(30):
        facts = admit(dicom(Drawn(np.zeros((SIDE_PX, SIDE_PX), np.uint8), "normal", ""), seed))
        assert (facts.modality, facts.body_part_examined, facts.view_position) == ("CR", "CHEST", "AP")
        assert (facts.photometric_interpretation, facts.bits_stored) == ("MONOCHROME2", 8)
        ages.add(facts.patient_age)
    assert ages == {f"00{age}Y" for age in range(1, 6)}


def test_another_validator_finds_no_error(film: bytes, tmp_path: Path) -> None:
    (tmp_path / "film.dcm").write_bytes(film)
    said = subprocess.run([DCIODVFY, tmp_path / "film.dcm"], capture_output=True, text=True, check=False)
    assert not [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]


# What the product's eyes make of it


@pytest.mark.parametrize("seed", SEEDS)
def test_both_pairs_of_eyes_read_the_mark_and_nothing_else(eyes: OcrEyes, seed: int) -> None:
    values = draw(seed, 0.5).values
    assert [line.reading.text for line in lines(values, eyes)] == [MARK]
    found = [reading for reading in _readings(values, eyes) if reading.characters >= 1]
    assert {reading.text for reading in found} == {MARK}


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("seed", SEEDS)
def test_it_leaves_as_it_was_drawn(eyes: OcrEyes, seed: int, profile: str) -> None:
    """Redacted, inspected in header and picture, and still marked, although the word stands in name and number."""
    drawn = draw(seed, 0.5)
    left = outgoing(dicom(drawn, seed), SITE_KEY, PROFILES[profile], eyes)
    assert left.regions == ()
    told = pydicom.dcmread(io.BytesIO(left.bytes))
    assert np.array_equal(told.pixel_array, drawn.values)
    assert told.SyntheticData == "YES"
    assert b"SYNTHETIC" not in left.bytes.upper()


def test_a_word_beside_the_mark_is_blackened_with_it(eyes: OcrEyes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "MARK", "TESTICHEN")
    synthetic._dots.cache_clear()
    values = draw(2).values
    synthetic._dots.cache_clear()
    looked = redact(dicom(Drawn(values, "normal", ""), 2), eyes)
    assert [region.rule for region in looked.regions] == ["text"]


def test_the_word_alone_is_allowed() -> None:
    def sure(text: str) -> Reading:
        return Reading(text, (0.99,) * len(text))

    assert benign(sure("SYNTHETIC"))
    assert benign(sure("SYNTHETIC AP"))
    assert not benign(sure("SYNTHETIC SMITH"))
    assert not benign(sure("SYNTHETICSMITH"))


# Load


def test_the_tool_drops_as_many_as_are_wanted_and_tells_the_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--synthetic", "3", "--out", str(tmp_path), "--prevalence", "1"]
    assert scanner.main(typed) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["truth"] for each in told] == ["pneumonia"] * 3
    assert {path.name for path in tmp_path.iterdir()} == {name for each in told for name in each["files"]}
    assert len({each["study_instance_uid"] for each in told}) == 3
    with pytest.raises(SystemExit):
        scanner.main([*typed, "--prevalence", "2"])
