"""What the page's doors that speak JSON take and give, as OpenAPI 3.1: for the test that holds them to it."""

from typing import Any

SIDE = {"type": "integer", "minimum": 1}
NUMBER = {"type": "integer", "minimum": 1, "maximum": 12}  # some are there and some are not
UID = {"type": "string", "pattern": r"^[0-9.]{1,64}$"}
TEXT = {"type": "string", "maxLength": 80}
IMAGE = {
    "type": "object",
    "required": ["image", "series", "frames", "here", "modality", "lossy"],
    "properties": {"image": SIDE, "series": SIDE, "frames": SIDE, "here": {"type": "boolean"}},
}
IMAGES = {
    "type": "object",
    "required": ["images"],
    "properties": {
        "images": {"type": "array", "items": IMAGE},
        "left_out": {"type": "integer", "minimum": 0},
        "priors": {"type": "array", "items": {"type": "object", "required": ["study", "modality", "date"]}},
    },
}
HOLD = {
    "type": "object",
    "required": ["user", "since", "mine"],
    "properties": {"user": {"type": "string"}, "mine": {"type": "boolean"}},
}
OVERLAY = {"type": "object", "required": ["maps"], "properties": {"maps": {"type": "array"}}}
# PS3.18 F.2.2: an object of attributes, each named by its tag.
DATASETS = {
    "type": "array",
    "items": {
        "type": "object",
        "propertyNames": {"pattern": "^[0-9A-F]{8}$"},
        "additionalProperties": {"type": "object", "required": ["vr"]},
    },
}
FAULT = {"type": "object", "required": ["code", "place", "text", "hint"]}
KEYS = {
    "studies": ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "AccessionNumber", "ModalitiesInStudy"),
    "series": ("Modality", "SeriesInstanceUID"),
    "instances": ("SOPClassUID", "SOPInstanceUID", "InstanceNumber"),
}


def _given(schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {"description": "as it says", "content": {media: {"schema": schema}}}


def _place(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _asked(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": TEXT}


def _told(path: str, schema: dict[str, Any], **places: dict[str, Any]) -> dict[str, Any]:
    """One door of the page: its answer, or the same shape with nothing in it under 404."""
    answers = {"200": _given(schema), "404": _given({"type": "object"})}
    return {path: {"get": {"parameters": [_place(*each) for each in places.items()], "responses": answers}}}


def _search(path: str, level: str, *places: str) -> dict[str, Any]:
    """One door of QIDO-RS or of metadata (PS3.18 10.4, 10.6)."""
    parameters = [_place(name, UID) for name in places]
    if level != "metadata":
        parameters += [_asked(name) for name in (*KEYS[level], "limit", "offset", "includefield", "fuzzymatching")]
    datasets, fault = _given(DATASETS, "application/dicom+json"), _given(FAULT)
    answers = {"200": datasets, "204": {"description": "nothing matched"}, "400": fault, "404": fault}
    return {path: {"get": {"parameters": parameters, "responses": answers}}}


OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Review page", "version": "1"},
    "paths": {
        **_told("/studies/{number}/images", IMAGES, number=NUMBER),
        **_told("/studies/{number}/overlay", OVERLAY, number=NUMBER),
        **_told("/studies/{number}/hold", HOLD, number=NUMBER),
        **_told("/studies/{number}/priors/{prior}/images", IMAGES, number=NUMBER, prior=NUMBER),
        **_told("/audits/{audit}/images", IMAGES, audit=NUMBER),
        **_search("/dicomweb/studies", "studies"),
        **_search("/dicomweb/studies/{study}/series", "series", "study"),
        **_search("/dicomweb/studies/{study}/instances", "instances", "study"),
        **_search("/dicomweb/studies/{study}/series/{series}/instances", "instances", "study", "series"),
        **_search("/dicomweb/studies/{study}/metadata", "metadata", "study"),
        **_search("/dicomweb/studies/{study}/series/{series}/metadata", "metadata", "study", "series"),
    },
}
