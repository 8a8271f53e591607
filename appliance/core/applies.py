"""Does a package speak of this study at all? Asked of the header, before anything is decoded.

It fails closed: what a manifest does not name it does not cover, a blank or odd value is never taken for the expected
one, and two statements that contradict each other cover nothing. Whether the picture is what its header says is asked
of the picture, by the gates.
"""

import math
from collections.abc import Sequence
from datetime import date

from appliance.core.manifest import AppliesTo, Manifest, age_years
from appliance.core.series import frames_to_see
from appliance.core.study import Instance
from appliance.core.transfer_syntax import JPEG_LOSSY, PERHAPS_LOSSY

BIRTH_DATE_SLACK_YEARS = 1  # the age may be of another day than the study's
# A film compressed harder than this no longer shows what the model was made to see; PS3.3 C.7.6.1.1.5.2.
LOSSY_RATIO_MAX = 20.0
# What photometric interpretation goes with: PS3.3 C.11.6.1.2 (shape), C.8.11.3.1.2 (sign of the intensity).
SHAPE_OF = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
SIGN_OF = {"MONOCHROME1": "1", "MONOCHROME2": "-1"}
OTHER_MODALITY = "modality-not-covered"
UPRIGHT = "L\\F"  # columns towards the patient's left, rows towards the feet: PS3.3 C.7.6.1.1.1

APPLIES_REASONS: dict[str, str] = {
    "several-images": "The study has more images than the model was made for.",
    "no-image": "The object holds no image.",
    OTHER_MODALITY: "The model was not made for this modality.",
    "sop-class-not-covered": "The model was not made for this kind of object.",
    "body-part-not-covered": "The model was not made for this body part, or the header does not name it.",
    "view-not-covered": "The model was not made for this view, or the header does not name it.",
    "age-unknown": "The header does not tell the patient's age.",
    "age-contradicted": "Birth date and study date in the header contradict the age, or one of them is no date.",
    "age-not-covered": "The model was not made for patients of this age.",
    "image-too-small": "The image has fewer rows or columns than the model needs.",
    "photometric-not-covered": "The model was not made for this kind of grey scale, or for colours.",
    "bit-depth-not-covered": "The model was not made for this bit depth or sign, or the header does not tell them.",
    "grey-scale-contradicted": "The header contradicts itself on what is shown bright and what dark.",
    "image-derived": "The header says that the image was derived from others or captured from a screen.",
    "not-for-reading": "The header says that the image is raw, or of a phantom or test object.",
    "burned-in-text": "The header says that text is written into the image.",
    "lossy-compression": "The image lost too much in compression, or the header does not tell how much.",
    "pixel-padding": "The header says that part of the image is no measurement.",
    "orientation-not-covered": "The header says that the film does not stand upright as it should.",
}


def why_not_applicable(instances: Sequence[Instance], manifest: Manifest) -> str | None:
    """The code of the first reason (a key of decide.REASONS) why the package says nothing of a study; None: it applies.

    A package that takes a frame covers a study of exactly one instance of one frame. One that takes key frames or a
    volume covers a study whose every instance it covers and whose frames make one whole series in order, so that
    nothing in the study goes unseen.
    """
    single = manifest.input.takes == "frame"
    if any(instance.modality not in manifest.applies_to.modality for instance in instances):
        return OTHER_MODALITY
    if single and len(instances) != 1:
        return "several-images"
    for instance in instances:
        code = _why_not_covered(instance, manifest.applies_to, single=single)
        if code is not None:
            return code
    frames = frames_to_see(instances, manifest.input.takes, manifest.input.frames)
    return frames if isinstance(frames, str) else None


def _why_not_covered(instance: Instance, covers: AppliesTo, *, single: bool) -> str | None:
    age, ages, bits = age_years(instance.patient_age), covers.patient_age, instance.bits_stored
    one_frame = instance.number_of_frames == 1 and instance.images_in_acquisition in (None, 0, 1)
    checks: tuple[tuple[bool, str], ...] = (
        (instance.has_pixels, "no-image"),
        (one_frame or not single, "several-images"),
        (instance.sop_class_uid in covers.sop_class_uid, "sop-class-not-covered"),
        (instance.body_part_examined in covers.body_part_examined, "body-part-not-covered"),
        (instance.view_position in covers.view_position, "view-not-covered"),
        (age is not None or ages is None, "age-unknown"),
        (age is None or not _age_contradicted(age, instance), "age-contradicted"),
        (ages is None or (age is not None and ages.years_min <= age <= ages.years_max), "age-not-covered"),
        (min(instance.rows, instance.columns) >= covers.side_px_min, "image-too-small"),
        (instance.photometric_interpretation in covers.photometric, "photometric-not-covered"),
        (bits is not None and covers.bits_stored_min <= bits <= covers.bits_stored_max, "bit-depth-not-covered"),
        (not single or instance.pixel_representation == 0, "bit-depth-not-covered"),
        (not _grey_contradicted(instance), "grey-scale-contradicted"),
        (_taken_by_the_device(instance), "image-derived"),
        (instance.presentation_intent_type in ("", "FOR PRESENTATION"), "not-for-reading"),
        (instance.quality_control_image in ("", "NO"), "not-for-reading"),
        (instance.burned_in_annotation in ("", "NO"), "burned-in-text"),
        (_little_was_lost(instance), "lossy-compression"),
        (not single or instance.pixel_padding_value == "", "pixel-padding"),
        (not single or instance.patient_orientation in ("", UPRIGHT), "orientation-not-covered"),
    )
    return next((code for holds, code in checks if not holds), None)


def _age_contradicted(age: int, instance: Instance) -> bool:
    """Whether a birth date is told that does not bear out the age in years on the study date (DA of PS3.5 6.2).

    One that is no date, or has no study date beside it, bears out nothing: behind it could be an adult.
    """
    told = (instance.patient.patient_birth_date, instance.patient.study_date)
    if not told[0]:
        return False
    try:
        born, studied = (date.fromisoformat(value) for value in told)
    except ValueError:
        return True
    years = studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day))
    return abs(years - age) > BIRTH_DATE_SLACK_YEARS


def _grey_contradicted(instance: Instance) -> bool:
    """Whether anything told beside the photometric interpretation says the reverse of it, or nothing intelligible.

    MONOCHROME1 with INVERSE is one statement made twice: it is turned round once, by the preparation. A rescale of
    negative slope would turn the values round without any of them saying so.
    """
    kind = instance.photometric_interpretation
    slope = 1.0 if instance.rescale_slope == "" else number(instance.rescale_slope)
    return (
        instance.presentation_lut_shape not in ("", SHAPE_OF.get(kind, ""))
        or instance.pixel_intensity_relationship_sign not in ("", SIGN_OF.get(kind, ""))
        or not slope > 0
    )


def _taken_by_the_device(instance: Instance) -> bool:
    """Whether Image Type, where it is told, is ORIGINAL and PRIMARY (PS3.3 C.7.6.1.1.2)."""
    return instance.image_type == "" or instance.image_type.split("\\")[:2] == ["ORIGINAL", "PRIMARY"]


def _little_was_lost(instance: Instance) -> bool:
    """Whether the image came without loss, or with a loss that is told and small (PS3.3 C.7.6.1.1.5)."""
    told, syntax = instance.lossy_image_compression, instance.transfer_syntax_uid
    if (told == "00" and syntax not in JPEG_LOSSY) or (told == "" and syntax not in JPEG_LOSSY | PERHAPS_LOSSY):
        return instance.lossy_image_compression_ratio == ""
    ratios = [number(each) for each in instance.lossy_image_compression_ratio.split("\\")]
    return told == "01" and all(1 <= ratio <= LOSSY_RATIO_MAX for ratio in ratios)


def number(told: str) -> float:
    """A decimal string (DS of PS3.5 6.2) as a number; NaN, which is within no bounds, where it is none."""
    try:
        value = float(told)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and told.isascii() else math.nan
