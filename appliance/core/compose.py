"""A hard study as a case: what was measured, what a reader must know, and as many pictures as there is room for.

It chooses no picture and cleans nothing: pictures and header come out of cleaned objects. What the header says is
taken only as a defined term or a number in bounds; anything else leaves as empty, because a term that nobody defined
may be a name.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError
from pydicom.dataset import Dataset

from appliance.core.case import (
    BODY_PARTS,
    CASE_BYTES_MAX,
    MODALITIES,
    VIEWS,
    Case,
    Characteristics,
    Finding,
    KeyImage,
    Model,
    Stamp,
)
from appliance.core.document import Urgency, encode
from appliance.core.key_images import numbered
from appliance.core.study import Scores
from appliance.errors import Quarantined

AGE_YEARS_MAX = 89  # an older patient is one of few: 45 CFR 164.514(b)(2)(i)(C)
SIZE_M, WEIGHT_KG = (0.1, 3.0), (0.1, 700.0)
# What a stamp takes, whose place is kept free while pictures are fitted in: the case is stamped last.
EMPTY_STAMP = Stamp(sha256="0" * 64, signature="0" * 128, key_id="0" * 32)


@dataclass(frozen=True, slots=True)
class Said:
    """What the cleaned header of a study says of it, in defined terms."""

    modality: str
    body_part: str
    view: str
    patient: Characteristics


def said_by(header: Dataset) -> Said:
    """The defined terms and bounded numbers of a cleaned header (PS3.3 C.7.1.1, C.7.2.2, C.7.3.1, C.8.1.1)."""
    sex, age = str(header.get("PatientSex", "")), str(header.get("PatientAge", ""))
    return Said(
        modality=_term(header, "Modality", MODALITIES),
        body_part=_term(header, "BodyPartExamined", BODY_PARTS),
        view=_term(header, "ViewPosition", VIEWS),
        patient=Characteristics.model_validate(
            {
                "age": folded(age),
                "sex": sex if sex in ("M", "F", "O") else "",
                "size_m": _measure(header, "PatientSize", SIZE_M),
                "weight_kg": _measure(header, "PatientWeight", WEIGHT_KG),
            }
        ),
    )


def folded(age: str) -> str:
    """An age (AS of PS3.5 6.2) as it may leave: 090Y for anybody over 89 years, "" for what is no age."""
    match = re.fullmatch(r"([0-9]{3})([DWMY])", age)
    if match is None:
        return ""
    years = int(match[1]) / {"Y": 1, "M": 12, "W": 52, "D": 365}[match[2]]
    return age if years < AGE_YEARS_MAX + 1 else f"{AGE_YEARS_MAX + 1:03d}Y"


def _term(header: Dataset, keyword: str, listed: frozenset[str]) -> str:
    said = str(header.get(keyword, ""))
    return said if said in listed else ""


def _measure(header: Dataset, keyword: str, bounds: tuple[float, float]) -> float | None:
    """A number of the header within bounds, to two decimals; what is none is not said."""
    try:
        value = round(float(header.get(keyword, "")), 2)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and bounds[0] <= value <= bounds[1] else None


def compose(
    *,
    case_id: str,
    revision: int,
    said: Said,
    images: int,
    frames: int,
    urgency: Urgency,
    reasons: Sequence[str],
    would_be: Literal["cleared", "flagged", "escalated"] | None,
    scores: Sequence[Scores],
    label: str,
    model: Model | None,
    pictures: Sequence[KeyImage] = (),
    answer_within_s: int = 3600,
) -> Case:
    """A hard study as a case; raises Quarantined("message-invalid") if a value cannot be one, as NaN cannot.

    reasons   codes only: their sentences stay here
    scores    of the model named; one finding each
    pictures  the one most needed first: those from the end on are shed while the case is too large
    """
    findings = tuple(
        {"id": f"F{place}", "label": label, "logit": score.logit, "probability": score.calibrated}
        for place, score in enumerate(scores, 1)
    )
    gates = {name: value for score in scores for name, value in score.gates.items()}
    fields: dict[str, Any] = {
        "case_id": case_id,
        "revision": revision,
        "urgency": urgency,
        "answer_within_s": answer_within_s,
        "modality": said.modality,
        "body_part": said.body_part,
        "view": said.view,
        "patient": said.patient,
        "images": images,
        "frames": frames,
        "reasons": tuple(reasons),
        "would_be": would_be,
        "gates": gates,
        "model": model,
    }
    try:
        case = Case(**fields, findings=tuple(Finding.model_validate(finding) for finding in findings))
    except ValidationError:
        raise Quarantined("message-invalid", "Case") from None
    return with_pictures(case, pictures)


def with_pictures(case: Case, pictures: Sequence[KeyImage]) -> Case:
    """The case with as many of the pictures, from the first, as leave it within CASE_BYTES_MAX once it is stamped."""
    room = CASE_BYTES_MAX - len(encode(case.model_copy(update={"receipt": EMPTY_STAMP})))
    kept: list[KeyImage] = []
    for picture in pictures:
        room -= len(encode(picture)) + 1
        if room < 0:
            break
        kept.append(picture)
    return case.model_copy(update={"key_images": numbered(kept), "key_images_shed": len(pictures) - len(kept)})
