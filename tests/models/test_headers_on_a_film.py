"""Each header gate is needed: a film that passes every other, held back by one wrong word of its header alone."""

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import SecondaryCaptureImageStorage

from appliance.cli.prove import synthetic
from appliance.core import applies
from appliance.core.admit import admit
from appliance.core.decide import Decision
from appliance.core.drawn_objects import person, radiograph
from appliance.core.study import Instance
from tests.models.lightbox import Lightbox

SITE = "harbour"
# What may still be said where a header's gate is taken out: the score's lane, or that the certificate is for others.
NO_GATE = {"cleared-under-certificate", "flagged-under-certificate", "score-between", "certificate-other-group"}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on every odd value
Change = Callable[[pydicom.Dataset], object]


@pytest.fixture(scope="module")
def box() -> Iterator[Lightbox]:
    found = Lightbox()
    yield found
    found.close()


@pytest.fixture(scope="module")
def film() -> NDArray[np.uint8]:
    """A film that every gate of the picture lets pass and that the certificate decides."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "marked", lambda values: values)
        return synthetic.draw(1_100_000_000).values


def changed(film: NDArray[np.uint8], change: Change) -> Instance:
    dataset = pydicom.dcmread(BytesIO(radiograph(film, person("header", 3), "header", view="AP")))
    change(dataset)
    out = BytesIO()
    dataset.save_as(out)
    return admit(out.getvalue())


def says(**elements: Any) -> Change:
    """Elements set; those told as None are taken out."""

    def change(dataset: pydicom.Dataset) -> None:
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return change


def of_another_class(dataset: pydicom.Dataset) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage


def padded(dataset: pydicom.Dataset) -> None:
    dataset.add_new("PixelPaddingValue", "US", 0)


# Without a number no age can be within bounds either: that check would stop the film as well.
ALSO = {"age-unknown": "age-not-covered"}
WRONG: tuple[tuple[str, Change], ...] = (
    ("no-image", says(PixelData=None)),
    ("several-images", says(ImagesInAcquisition=2)),
    ("several-images", says(NumberOfFrames=2)),
    ("sop-class-not-covered", of_another_class),
    ("body-part-not-covered", says(BodyPartExamined="HAND")),
    ("body-part-not-covered", says(BodyPartExamined=None)),
    ("view-not-covered", says(ViewPosition="LL")),
    ("view-not-covered", says(ViewPosition="")),
    ("age-unknown", says(PatientAge=None)),
    ("age-unknown", says(PatientAge="")),
    ("age-contradicted", says(PatientBirthDate="19700101")),
    ("age-contradicted", says(StudyDate=None)),
    ("age-not-covered", says(PatientAge="040Y", PatientBirthDate=None)),
    ("age-not-covered", says(PatientAge="006Y", PatientBirthDate=None)),
    ("age-not-covered", says(PatientAge="011M", PatientBirthDate=None)),
    ("image-too-small", says(Rows=127)),
    ("photometric-not-covered", says(PhotometricInterpretation="RGB")),
    ("photometric-not-covered", says(PhotometricInterpretation="PALETTE COLOR")),
    ("bit-depth-not-covered", says(BitsStored=7, HighBit=6)),
    ("bit-depth-not-covered", says(PixelRepresentation=1)),
    ("grey-scale-contradicted", says(PresentationLUTShape="INVERSE")),
    ("grey-scale-contradicted", says(PixelIntensityRelationshipSign=1)),
    ("image-derived", says(ImageType=["DERIVED", "SECONDARY", ""])),
    ("not-for-reading", says(PresentationIntentType="FOR PROCESSING")),
    ("not-for-reading", says(QualityControlImage="YES")),
    ("burned-in-text", says(BurnedInAnnotation="YES")),
    ("lossy-compression", says(LossyImageCompression="01")),
    ("lossy-compression", says(LossyImageCompression="01", LossyImageCompressionRatio="45")),
    ("pixel-padding", padded),
    ("orientation-not-covered", says(PatientOrientation=["R", "F"])),
    ("orientation-not-covered", says(PatientOrientation=["F", "L"])),
)


def decided(box: Lightbox, film: NDArray[np.uint8], instances: list[Instance]) -> Decision:
    return box.decided(instances, box.seen(film.astype(np.float32)), SITE)


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


def test_the_right_header_is_decided_on(box: Lightbox, film: NDArray[np.uint8]):
    found = decided(box, film, [changed(film, says())])
    assert found.lane in ("cleared", "flagged")


@pytest.mark.parametrize(("code", "change"), WRONG, ids=[f"{n} {code}" for n, (code, _) in enumerate(WRONG)])
def test_one_wrong_word_holds_a_good_film_back_and_nothing_else_would(
    box: Lightbox, film: NDArray[np.uint8], code: str, change: Change, monkeypatch: pytest.MonkeyPatch
):
    instance = changed(film, change)
    found = decided(box, film, [instance])
    assert found.lane == "escalated"
    assert codes(found) == ["no-model-applies", code]
    assert found.reasons[1].text == applies.APPLIES_REASONS[code]

    def all_but(failed: Iterable[str], default: None) -> str | None:
        """The first check that fails besides what is taken out."""
        return next((each for each in failed if each not in (code, ALSO.get(code))), default)

    monkeypatch.setattr(applies, "next", all_but, raising=False)
    if code == "several-images":
        monkeypatch.setattr(applies, "frames_to_see", lambda *_: ())
    without = decided(box, film, [instance])
    assert set(codes(without)) <= NO_GATE
    assert all(scores.failed == () for scores in without.scores)


def test_another_modality_holds_a_good_film_back(box: Lightbox, film: NDArray[np.uint8]):
    found = decided(box, film, [changed(film, says(Modality="MR"))])
    assert found.lane == "escalated"
    assert codes(found) == ["no-model-applies", applies.OTHER_MODALITY]


def test_a_second_film_of_the_study_holds_a_good_one_back(box: Lightbox, film: NDArray[np.uint8]):
    both = [changed(film, says()), changed(film, says(SOPInstanceUID="1.2.840.9", InstanceNumber=2))]
    found = decided(box, film, both)
    assert found.lane == "escalated"
    assert codes(found) == ["no-model-applies", "several-images"]


def test_every_reason_of_the_header_is_shown_by_a_film():
    assert {code for code, _ in WRONG} | {applies.OTHER_MODALITY} == set(applies.APPLIES_REASONS)
