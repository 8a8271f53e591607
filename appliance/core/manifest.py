"""What a model package says of itself, and to which studies it applies.

A manifest comes from a stranger, so it is parsed strictly and every unknown key is refused. It is data: nothing in a
package is ever executed but the ONNX graph. Applicability fails closed: what a manifest does not name, it does not
cover, and a blank or odd header value is never taken for the expected one.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from appliance.core.prepare import PreparationSpec
from appliance.core.study import Instance

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ShortText = Annotated[str, Field(min_length=1, max_length=128)]
LongText = Annotated[str, Field(min_length=1, max_length=2000)]
AGE_STRING = re.compile(r"([0-9]{3})([DWMY])")
BIRTH_DATE_SLACK_YEARS = 1  # the age may be of another day than the study's
UNITS_IN_A_YEAR: dict[str, float] = {"D": 365.25, "W": 365.25 / 7, "M": 12, "Y": 1}


class Strict(BaseModel):
    """Strangers' values: no coercion, no unknown key, no infinity, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Input(Strict):
    """The graph's one input, float32 [1, 1, side_px, side_px], and the numbers of its preparation."""

    name: ShortText
    side_px: Annotated[int, Field(ge=16, le=1024)]
    low_percentile: Annotated[float, Field(ge=0, lt=50)]
    high_percentile: Annotated[float, Field(gt=50, le=100)]

    @property
    def spec(self) -> PreparationSpec:
        return PreparationSpec(self.side_px, self.low_percentile, self.high_percentile)


class Outputs(Strict):
    """Names of the graph's outputs. A logit outside its range is an odd output: nothing is decided on it."""

    logit: ShortText
    logit_low: float
    logit_high: float
    features: ShortText
    features_count: Annotated[int, Field(ge=1, le=4096)]


class AppliesTo(Strict):
    """Header values a study must have, each exactly; ages in completed years, both ends included."""

    modality: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=8)]
    sop_class_uid: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=16)]
    body_part_examined: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=8)]
    view_position: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=8)]
    patient_age_years_min: Annotated[int, Field(ge=0, le=130)]
    patient_age_years_max: Annotated[int, Field(ge=0, le=130)]
    side_px_min: Annotated[int, Field(ge=1, le=65535)]


class Label(Strict):
    """The finding a positive score stands for, coded, and what the training label really means."""

    name: ShortText
    code: Annotated[str, Field(pattern=r"^[0-9A-Za-z.-]{1,32}$")]
    scheme: Literal["SCT", "RADLEX"]
    meaning: LongText


class Nominal(Strict):
    """Thresholds on the logit that only ever say what the edge *would* have said; no lane opens by them."""

    clear_at_or_below: float
    flag_at_or_above: float


class Manifest(Strict):
    """manifest.json of a package. `files` are the SHA-256 of all that the appliance reads to decide."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    version: Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}$")]
    created: date
    intended_use: LongText
    licence: LongText
    training_data: LongText
    overlay: Literal["none", "on_request", "after_first_read"]
    files: Annotated[dict[ShortText, Sha256], Field(max_length=32)]
    input: Input
    outputs: Outputs
    applies_to: AppliesTo
    label: Label
    nominal: Nominal

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        wanted = {"model.onnx", "gates.json", "gates.npz", "golden.npz"}
        if not wanted <= self.files.keys():
            raise ValueError("files must name model.onnx, gates.json, gates.npz and golden.npz")
        if not self.nominal.clear_at_or_below < self.nominal.flag_at_or_above:
            raise ValueError("nominal thresholds are in the wrong order")
        if not self.outputs.logit_low < self.outputs.logit_high:
            raise ValueError("the logit's range is empty")
        return self

    @property
    def title(self) -> str:
        return f"{self.name}/{self.version}"


def age_years(patient_age: str) -> int | None:
    """Completed years of an AS value (PS3.5 6.2: three digits and D, W, M or Y); None where it is blank or odd."""
    match = AGE_STRING.fullmatch(patient_age)
    return None if match is None else int(int(match[1]) / UNITS_IN_A_YEAR[match[2]])


def _contradicted(age: int, instance: Instance) -> bool:
    """Whether birth date and study date, where both are dates (DA of PS3.5 6.2), tell another age in years."""
    told = (instance.patient.patient_birth_date, instance.patient.study_date)
    try:
        born, studied = (date.fromisoformat(value) for value in told)
    except ValueError:
        return False
    years = studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day))
    return abs(years - age) > BIRTH_DATE_SLACK_YEARS


def why_not_applicable(instances: Sequence[Instance], manifest: Manifest) -> str | None:
    """The code of the first reason (a key of decide.REASONS) why the package says nothing of a study; None: it applies.

    A study is covered when it is exactly one instance of one frame and every header fact is one the manifest names.
    """
    if len(instances) != 1:
        return "several-images"
    instance, covers = instances[0], manifest.applies_to
    age = age_years(instance.patient_age)
    checks: tuple[tuple[bool, str], ...] = (
        (instance.has_pixels, "no-image"),
        (instance.number_of_frames == 1 and instance.images_in_acquisition in (None, 0, 1), "several-images"),
        (instance.modality in covers.modality, "modality-not-covered"),
        (instance.sop_class_uid in covers.sop_class_uid, "sop-class-not-covered"),
        (instance.body_part_examined in covers.body_part_examined, "body-part-not-covered"),
        (instance.view_position in covers.view_position, "view-not-covered"),
        (age is not None, "age-unknown"),
        (age is None or not _contradicted(age, instance), "age-contradicted"),
        (
            age is not None and covers.patient_age_years_min <= age <= covers.patient_age_years_max,
            "age-not-covered",
        ),
        (min(instance.rows, instance.columns) >= covers.side_px_min, "image-too-small"),
    )
    return next((code for holds, code in checks if not holds), None)
