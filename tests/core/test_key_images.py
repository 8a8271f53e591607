"""Which pictures of a study leave, and that each shows what its values mean."""

import base64
import hashlib
from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from appliance.core import key_images as subject
from appliance.core.admit import admit
from appliance.core.case import CASE_BYTES_MAX, KEY_IMAGES_MAX, Case, Characteristics, KeyImage, decode_case, final
from appliance.core.compose import EMPTY_STAMP, Said, compose, folded, said_by, with_pictures
from appliance.core.document import encode
from appliance.core.key_images import chosen, decoded, encoded, key_images, rendered, shrunk, windowed
from appliance.core.picture import SIDE_PX_MAX, shape_of
from appliance.core.pixels import Image, decode
from appliance.core.study import Instance
from appliance.errors import Fault, Quarantined
from tests.core.planted_objects import REAL_FILES
from tests.tiny import tiny

UID = "2.25.987654321"


def ct(values: np.ndarray, **said: object) -> bytes:
    """A CT object with the given stored values and intercept -1000."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
    dataset.PatientID, dataset.PatientName, dataset.Modality, dataset.BodyPartExamined = "P", "N", "CT", "CHEST"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1000, "HU"
    dataset.PixelData = values.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in said.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def image_of(data: bytes) -> Image:
    return decode(data, pixels_max=2**24)


def an_instance(
    number: int, *, frames: int = 1, series: str = "1.2.7", modality: str = "MR", body: str = ""
) -> Instance:
    found = admit(tiny("1.2.826.0.1.9", number, "PAT-1", "MR", number))
    return replace(
        found,
        instance_number=number,
        number_of_frames=frames,
        series_instance_uid=series,
        modality=modality,
        body_part_examined=body,
    )


def picture(seed: int = 0, *shape: int, place: int = 1) -> KeyImage:
    grey = np.random.default_rng(seed).integers(0, 256, shape or (8, 8), dtype=np.uint8)
    data, media_type = encoded(grey)
    return KeyImage(
        id="I1",
        sop_instance_uid=UID,
        frame=1,
        place=place,
        rows=grey.shape[0],
        columns=grey.shape[1],
        window="header",
        media_type=media_type,
        sha256=hashlib.sha256(data).hexdigest(),
        data=base64.b64encode(data).decode(),
    )


def a_case(pictures: tuple[KeyImage, ...] = ()) -> Case:
    return compose(
        case_id="0" * 32,
        revision=1,
        said=Said("CT", "CHEST", "", Characteristics(age="004Y", sex="F", size_m=1.02, weight_kg=None)),
        images=9,
        frames=9,
        urgency="routine",
        reasons=("score-between",),
        would_be=None,
        scores=(),
        label="unknown",
        model=None,
        pictures=pictures,
    )


# Which frames.


def test_the_only_frame_is_the_key_image() -> None:
    (place,) = chosen([an_instance(1)])
    assert (place.instance.instance_number, place.frame, place.place, place.windows) == (1, 0, 0, ("header",))


@pytest.mark.parametrize("total", [2, 3, 5, 6, 7, 10, 11, 200, 201])
def test_a_series_is_shown_evenly_and_its_middle_first(total: int) -> None:
    places = chosen([an_instance(number) for number in reversed(range(1, total + 1))])
    at = [place.place for place in places]
    assert len(set(at)) == len(at) == min(total, KEY_IMAGES_MAX if total == KEY_IMAGES_MAX else 5)
    assert [place.instance.instance_number for place in places] == [each + 1 for each in at]
    assert at[0] == total // 2
    ordered = sorted(at)
    gaps = {after - before for before, after in pairwise(ordered)}
    assert max(gaps) - min(gaps) <= 1
    assert abs(ordered[0] - (total - 1 - ordered[-1])) <= 1


def test_frames_of_several_objects_and_series_are_one_row() -> None:
    places = chosen([an_instance(1, frames=60, series="1.2.9"), an_instance(2, frames=3), an_instance(3, frames=37)])
    seen = [(place.instance.instance_number, place.frame) for place in sorted(places, key=lambda each: each.place)]
    assert seen == [(3, 7), (3, 27), (1, 10), (1, 30), (1, 50)]
    assert [place.place for place in places] == [50, 30, 70, 10, 90]


@pytest.mark.parametrize(
    ("body", "windows", "count"),
    [("CHEST", ("lung", "mediastinum"), 3), ("HEAD", ("brain", "bone"), 3), ("ABDOMEN", ("soft-tissue",), 5)],
)
def test_ct_is_shown_in_the_windows_of_its_body_part(body: str, windows: tuple[str, ...], count: int) -> None:
    places = chosen([an_instance(number, modality="CT", body=body) for number in range(40)])
    assert len(places) == count
    assert {place.windows for place in places} == {windows}
    assert len(places) * len(windows) <= KEY_IMAGES_MAX


def test_without_an_image_there_is_none() -> None:
    assert chosen([replace(an_instance(1), has_pixels=False)]) == []
    assert chosen([an_instance(1, modality="SEG"), an_instance(2, modality="RTDOSE", frames=9)]) == []
    assert chosen([]) == []


# What they show.


def test_a_window_is_the_standard_s_to_the_grey_level() -> None:
    """PS3.3 C.11.2.1.2: below c - 0.5 - (w-1)/2 black, above white, linear between."""
    values = np.arange(-5, 15, dtype=np.float32)[None]
    told = windowed(values, 5, 10, "LINEAR")[0].astype(float)
    wanted = [255 * min(max((x - 4.5) / 9 + 0.5, 0), 1) for x in values[0]]
    assert np.abs(told - wanted).max() <= 0.5
    exact = windowed(values, 5, 10, "LINEAR_EXACT")[0].astype(float)
    assert np.abs(exact - [255 * min(max((x - 5) / 10 + 0.5, 0), 1) for x in values[0]]).max() <= 0.5
    bent = windowed(np.float32([[-1e9, 5, 1e9]]), 5, 10, "SIGMOID")[0]
    assert bent.tolist() == [0, 128, 255]


def test_ct_in_two_windows_shows_two_different_things() -> None:
    values = np.full((8, 8), 1050)
    values[:, 4:] = 200  # soft tissue at the left, lung at the right
    data = ct(values)
    (place,) = chosen([admit(data)])
    lung, soft = key_images(image_of(data), place, UID)
    assert (lung.window, soft.window) == ("lung", "mediastinum")
    tissue, air = 50, -800  # HU
    for shown, (center, width) in ((lung, (-600, 1500)), (soft, (50, 350))):
        wanted = [255 * min(max((hu - (center - 0.5)) / (width - 1) + 0.5, 0), 1) for hu in (tissue, air)]
        assert np.abs(decoded(shown)[0, [0, 7]].astype(float) - wanted).max() <= 0.5


def test_ct_of_an_unknown_part_takes_the_header_s_window_else_soft_tissue() -> None:
    values = np.arange(64).reshape(8, 8) * 30
    told = {"BodyPartExamined": "", "WindowCenter": "40", "WindowWidth": "100"}
    for said, window in ((told, "header"), ({"BodyPartExamined": ""}, "soft-tissue")):
        data = ct(values, **said)
        (place,) = chosen([admit(data)])
        (shown,) = key_images(image_of(data), place, UID)
        assert shown.window == window


def test_monochrome1_and_padding_are_shown_as_they_are_meant() -> None:
    values = np.arange(64).reshape(8, 8) + 10
    values[0] = 0
    plain = {"BodyPartExamined": "", "Modality": "CR", "RescaleIntercept": 0, "RescaleType": "US"}
    data = ct(values, **plain, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1")
    grey, window = rendered(image_of(data), 0, "header")
    assert window == "percentiles"
    assert grey[0].max() == 0, "padding is black, not the brightest"
    assert grey[1, 0] == 255
    assert grey[7, 7] == 0


def test_a_film_of_one_grey_and_one_that_is_all_padding_are_black_and_no_fault() -> None:
    for said in ({}, {"PixelPaddingValue": 5}):
        data = ct(np.full((8, 8), 5), BodyPartExamined="", Modality="CR", RescaleType="US", **said)
        assert rendered(image_of(data), 0, "header")[0].max() == 0


def test_colours_stay_colours() -> None:
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[..., 0] = 200
    data = ct(np.zeros((4, 6)), Modality="US")
    dataset = pydicom.dcmread(BytesIO(data))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelData = 7, colours.tobytes()
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    (place,) = chosen([replace(admit(out.getvalue()), modality="US")])
    (shown,) = key_images(image_of(out.getvalue()), place, UID)
    assert shown.window == ""
    assert (decoded(shown) == colours).all()


def test_a_large_picture_is_shrunk_and_a_small_one_is_not_enlarged() -> None:
    large = np.tile(np.arange(1800, dtype=np.uint16) // 8, (900, 1)).astype(np.uint8)
    assert shrunk(large).shape == (448, SIDE_PX_MAX)
    assert shrunk(large.T).shape == (SIDE_PX_MAX, 448)
    assert shrunk(large[:, :64]) is not None
    small = large[:64, :64]
    assert shrunk(small) is small
    assert shrunk(np.zeros((1, 5000), np.uint8)).shape == (1, SIDE_PX_MAX)


def test_a_small_picture_keeps_every_grey_level_and_a_large_one_keeps_within_its_bytes() -> None:
    small = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    data, media_type = encoded(small)
    assert media_type == "image/png"
    assert (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) == small).all()
    noise = np.random.default_rng(1).integers(0, 256, (600, 600), dtype=np.uint8)
    data, media_type = encoded(noise)
    assert media_type == "image/jpeg"
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.2)
    for bytes_max in (subject.JPEG_BYTES_MAX, 60 * 1024):
        assert bytes_max // 2 < len(encoded(smooth, bytes_max)[0]) <= bytes_max


def test_six_pictures_that_keep_to_their_shares_fit_into_one_case() -> None:
    places = chosen([an_instance(number, modality="CT", body="CHEST") for number in range(40)])
    each = subject.share(places)
    assert each == subject.PICTURES_BYTES // 6
    assert subject.share(places[:1]) == min(subject.JPEG_BYTES_MAX, subject.PICTURES_BYTES // 2)
    assert 6 * (-(-each // 3) * 4 + 600) < CASE_BYTES_MAX - 16 * 1024


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's complaints about odd files
def test_a_key_image_of_every_real_file_is_nothing_but_a_picture() -> None:
    """All files that pydicom and pydicom-data ship and that decode: 130 at least."""
    shown = 0
    for path in REAL_FILES:
        data = path.read_bytes()
        try:
            instance = admit(data)
            image = image_of(data) if instance.has_pixels else None
        except Fault:
            continue
        if image is None or image.stored.shape[0] != instance.number_of_frames:
            continue
        for place in chosen([instance]):
            for made in key_images(image, place, UID):
                assert shape_of(made.picture(), made.media_type)[:2] == (made.rows, made.columns)
                assert decoded(made).shape[:2] == (made.rows, made.columns)
                assert max(made.rows, made.columns) <= SIDE_PX_MAX
        shown += 1
    assert shown >= 120


# The case they join.


def test_pictures_are_numbered_in_the_order_of_their_places() -> None:
    case = a_case((picture(1, place=5), picture(2, place=2), picture(3, place=8)))
    assert [(each.id, each.place) for each in case.key_images] == [("I1", 2), ("I2", 5), ("I3", 8)]
    assert case.key_images_shed == 0


def test_a_case_too_large_sheds_pictures_from_the_end_and_still_has_room_for_its_stamp() -> None:
    large = tuple(picture(number, 560, 560, place=number + 1) for number in range(KEY_IMAGES_MAX))
    assert sum(len(each.data) for each in large) > CASE_BYTES_MAX
    case = a_case(large)
    assert 0 < len(case.key_images) < KEY_IMAGES_MAX
    assert len(case.key_images) + case.key_images_shed == KEY_IMAGES_MAX
    assert [each.place for each in case.key_images] == list(range(1, len(case.key_images) + 1))
    stamped = case.model_copy(update={"receipt": EMPTY_STAMP})
    assert len(final(stamped)) <= CASE_BYTES_MAX
    one_more = case.model_copy(update={"key_images": large[: len(case.key_images) + 1]})
    with pytest.raises(Quarantined, match="case-too-large"):
        final(one_more)
    assert with_pictures(case, ()).key_images == ()


def test_a_case_is_read_and_other_spellings_are_not() -> None:
    case = a_case((picture(),))
    assert decode_case(encode(case)) == case
    for odd in (
        encode(case) + b" ",
        encode(case).replace(b'"images":9', b'"images":9,"images":9'),
        encode(case).replace(b"case/3", b"case/2"),
        encode(case).replace(case.key_images[0].sha256.encode(), b"0" * 64),
        encode(case).replace(b'"rows":8', b'"rows":9'),
        encode(case).replace(b"image/png", b"image/jpeg"),
        encode(case).replace(b"image/png", b"image/webp"),
        encode(case).replace(case.key_images[0].data.encode(), case.key_images[0].data.encode()[:-4]),
        encode(case).replace(UID.encode(), b"1.2.840.113619.2.1"),
    ):
        with pytest.raises(Quarantined, match="message-invalid"):
            decode_case(odd)


def test_what_the_header_says_leaves_only_as_terms_and_bounded_numbers() -> None:
    header = Dataset()
    assert said_by(header) == Said("", "", "", Characteristics(age="", sex="", size_m=None, weight_kg=None))
    header.Modality, header.BodyPartExamined, header.ViewPosition = "CT", "DOE JANE", "AP"
    header.PatientAge, header.PatientSex, header.PatientSize, header.PatientWeight = "034Y", "F", "1.7249", "70"
    said = said_by(header)
    assert (said.modality, said.body_part, said.view) == ("CT", "", "AP")
    assert said.patient == Characteristics(age="034Y", sex="F", size_m=1.72, weight_kg=70.0)
    header.PatientSex, header.PatientSize, header.PatientWeight = "X", "172", "0"
    assert said_by(header).patient == Characteristics(age="034Y", sex="", size_m=None, weight_kg=None)


WHOLE = encode(a_case((picture(1), picture(2, 16, 16, place=2))))


@given(st.integers(0, len(WHOLE)), st.integers(0, 8), st.binary(max_size=8))
def test_no_bytes_make_a_case_of_another_spelling_or_end_in_another_fault(at: int, length: int, junk: bytes) -> None:
    odd = WHOLE[:at] + junk + WHOLE[at + length :]
    try:
        case = decode_case(odd)
    except Quarantined as fault:
        said, spelled = fault.code, odd
    else:
        said, spelled = "message-invalid", encode(case)
    assert (said, spelled) == ("message-invalid", odd)


@pytest.mark.parametrize(
    ("age", "leaves"),
    [
        ("004Y", "004Y"), ("089Y", "089Y"), ("090Y", "090Y"), ("101Y", "090Y"), ("999Y", "090Y"), ("006M", "006M"),
        ("999M", "999M"), ("012D", "012D"), ("", ""), ("34", ""), ("34Y", ""), ("034Y DOE", ""), ("old", ""),
    ],
)  # fmt: skip
def test_ages_over_89_are_one_age(age: str, leaves: str) -> None:
    assert folded(age) == leaves
    assert Characteristics(age=folded(age), sex="", size_m=None, weight_kg=None).age == leaves
