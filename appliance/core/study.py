"""What the pipeline says of images: plain values, nothing of disk or wire."""

import re
from dataclasses import dataclass
from typing import Any, Literal

AGE_STRING = re.compile(r"([0-9]{3})([DWMY])")
UNITS_IN_A_YEAR: dict[str, float] = {"D": 365.25, "W": 365.25 / 7, "M": 12, "Y": 1}
Lane = Literal["cleared", "flagged", "escalated", "quarantined"]
LANES: tuple[Lane, ...] = ("cleared", "flagged", "escalated", "quarantined")
LANE_WORDS: dict[Lane, str] = {
    "cleared": "no flagged finding (does not rule out)",
    "flagged": "flagged here: read now",
    "escalated": "sent to the centre: needs a reader",
    "quarantined": "kept aside: a person must look",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a study stands where it stands: a stable code for machines, a sentence without patient data for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Patient:
    """Who is meant, as the header says it; PHI, never outside phi/. Keywords of PS3.3 C.7.1.1 and C.7.2.1."""

    patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_date: str
    study_description: str


@dataclass(frozen=True, slots=True)
class Instance:
    """One SOP Instance as admitted: header facts that later stages decide on.

    sha256                 of the bytes exactly as they came, hex
    patient_age            AS of PS3.5 6.2 ("004Y"), "" when absent
    number_of_frames       1 when absent
    images_in_acquisition  Images in Acquisition (0020,1002), evidence for completeness; None when absent
    has_pixels             the data set bears PixelData, FloatPixelData or DoubleFloatPixelData

    From photometric_interpretation on, facts are as the header words them, several values joined by a backslash; ""
    or None where it says nothing. They have defaults because the ledger holds instances that were admitted before
    they were read: of those they say nothing.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    sha256: str
    bytes_count: int
    patient: Patient
    modality: str
    body_part_examined: str
    view_position: str
    patient_age: str
    manufacturer: str
    manufacturer_model_name: str
    instance_number: int | None
    images_in_acquisition: int | None
    number_of_frames: int
    rows: int
    columns: int
    has_pixels: bool
    photometric_interpretation: str = ""
    bits_stored: int | None = None
    pixel_representation: int | None = None
    presentation_lut_shape: str = ""
    pixel_intensity_relationship_sign: str = ""
    rescale_slope: str = ""
    pixel_padding_value: str = ""
    image_type: str = ""
    burned_in_annotation: str = ""
    lossy_image_compression: str = ""
    lossy_image_compression_ratio: str = ""
    patient_orientation: str = ""
    presentation_intent_type: str = ""
    quality_control_image: str = ""
    frame_of_reference_uid: str = ""
    image_orientation_patient: str = ""
    image_position_patient: str = ""
    pixel_spacing: str = ""
    request_priority: str = ""


def instance_of(facts: dict[str, Any]) -> Instance:
    """An instance out of what `dataclasses.asdict` made of it, as the ledger keeps it."""
    return Instance(**{**facts, "patient": Patient(**facts["patient"])})


def age_years(patient_age: str) -> int | None:
    """Completed years of an AS value (PS3.5 6.2: three digits and D, W, M or Y); None where it is blank or odd."""
    match = AGE_STRING.fullmatch(patient_age)
    return None if match is None else int(int(match[1]) / UNITS_IN_A_YEAR[match[2]])


@dataclass(frozen=True, slots=True)
class Scores:
    """What one model said of one study; kept whatever the lane.

    calibrated  a probability under the site's calibration, None where there is none: then no percentage is shown
    exit        of the network, from 1: whose logit this is
    weights     "random": the numbers say nothing of the patient, and must be shown so or not at all
    failed      codes of the gates that the study failed at this exit
    """

    model: str
    logit: float
    calibrated: float | None
    gates: dict[str, float]
    exit: int = 1
    weights: Literal["trained", "random"] = "trained"
    failed: tuple[str, ...] = ()
