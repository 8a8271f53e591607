"""Every doubt makes a study hard: one path leads to a lane, and each thing that can be wrong leads off it."""

import dataclasses
import json
import math
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pydantic import ValidationError

from appliance.core.applies import why_not_applicable
from appliance.core.certificate import Certificate, Contract, Evidence, Group, Plan, own_digest
from appliance.core.decide import REASONS, Decision, Model, Seen, chosen, decide
from appliance.core.gates import Bound, GateReference, Gates, Measure, failed_gates, film_measures, gate
from appliance.core.manifest import Manifest, age_years
from appliance.core.outputs import Answer
from appliance.core.standing import Standing
from appliance.core.study import Instance, Patient, instance_of

TODAY = date(2027, 1, 1)
NOTHING = Standing()
NEWER_FACTS = {field.name for field in dataclasses.fields(Instance) if field.default is not dataclasses.MISSING}
FEATURES = 6
GATES = Gates(
    schema_version=2,
    wanted=None,
    source="drawn for a test",
    films=1,
    bounds={
        "distance": Bound(low=None, high=10.0, code="gate-out-of-distribution"),
        "grey_levels": Bound(low=32.0, high=None, code="gate-image-quality"),
        "aspect": Bound(low=0.5, high=2.0, code="gate-image-quality"),
        "entropy_bits": Bound(low=1.0, high=5.0, code="gate-image-quality"),
        "sharpness": Bound(low=0.0, high=0.5, code="gate-image-quality"),
        "clipped_dark": Bound(low=None, high=0.2, code="gate-image-quality"),
        "clipped_bright": Bound(low=None, high=0.2, code="gate-image-quality"),
    },
)
REFERENCE = GateReference(GATES, np.eye(FEATURES), np.zeros((2, FEATURES)), "b" * 64)
REFERENCES = {"default": REFERENCE}
MANIFEST_JSON = {
    "schema_version": 2,
    "name": "drawn",
    "version": "1.2.3",
    "created": "2026-11-01",
    "weights": "trained",
    "intended_use": "A test.",
    "licence": "none",
    "training_data": "none",
    "overlay": "none",
    "files": dict.fromkeys(("model.onnx", "gates.json", "gates.npz", "golden.npz"), "a" * 64),
    "input": {
        "name": "film",
        "takes": "frame",
        "frames": 1,
        "side_px": 128,
        "steps": [
            {"step": "resize_area", "side_px": 128},
            {"step": "percentile_window", "low": 0.5, "high": 99.5},
            {"step": "orient_grey"},
        ],
    },
    "exits": [
        {
            "graph": "model.onnx",
            "logit": "logit",
            "logit_low": -20.0,
            "logit_high": 20.0,
            "features": "features",
            "features_count": FEATURES,
            "gap": None,
            "energy": None,
            "trunk": None,
            "cost_ms": 1.0,
        }
    ],
    "check": None,
    "references": {"default": {"gates": "gates.json", "arrays": "gates.npz"}},
    "applies_to": {
        "modality": ["CR", "DX"],
        "sop_class_uid": ["1.2.840.10008.5.1.4.1.1.1"],
        "body_part_examined": ["CHEST"],
        "view_position": ["AP", "PA"],
        "patient_age": {"years_min": 1, "years_max": 5},
        "photometric": ["MONOCHROME1", "MONOCHROME2"],
        "bits_stored_min": 8,
        "bits_stored_max": 16,
        "side_px_min": 128,
    },
    "label": {"name": "pneumonia", "code": "233604007", "scheme": "SCT", "meaning": "As graders read it."},
    "nominal": {"clear_at_or_below": -1.0, "flag_at_or_above": 1.0},
}
INPUT_JSON: dict[str, Any] = MANIFEST_JSON["input"]  # type: ignore[assignment]
EXIT_JSON: dict[str, Any] = MANIFEST_JSON["exits"][0]  # type: ignore[index]
MANIFEST = Manifest.model_validate_json(json.dumps(MANIFEST_JSON))
CHILD = Instance(
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.4",
    sop_instance_uid="1.2.3.4.5",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    sha256="0" * 64,
    bytes_count=1000,
    patient=Patient("SECRET-ID", "SECRET^NAME", "", "", "", "", ""),
    modality="CR",
    body_part_examined="CHEST",
    view_position="AP",
    patient_age="004Y",
    manufacturer="Harbour Imaging",
    manufacturer_model_name="PX-224",
    instance_number=1,
    images_in_acquisition=None,
    number_of_frames=1,
    rows=224,
    columns=224,
    has_pixels=True,
    photometric_interpretation="MONOCHROME2",
    bits_stored=8,
    pixel_representation=0,
    image_type="ORIGINAL\\PRIMARY\\",
    patient_orientation="L\\F",
    lossy_image_compression="00",
)


def a_certificate(**changed: object) -> Certificate:
    """A valid one for MANIFEST at the site harbour, lanes at -2 and 2."""
    plan = Plan(
        contract=Contract(false_omission_max=0.1, miss_max=0.1, false_discovery_max=0.15),
        delta=0.05,
        attempt=1,
        starts=(0, 1, 2),
        film_choice="one a patient",
        model_sha256="a" * 64,
        gates_digest="b" * 64,
        preparation_digest=Model(MANIFEST, REFERENCES, ()).preparation_digest,
    )
    evidence = Evidence(films=80, errors=0, error_upper=0.07, findings=100, miss_upper=0.05, start=0)
    fields: dict[str, object] = {
        "schema_version": 2,
        "name": "harbour/test",
        "note": "drawn for a test",
        "site": "harbour",
        "group": Group(
            manufacturer="Harbour Imaging",
            manufacturer_model_name="PX-224",
            modality="CR",
            body_part_examined="CHEST",
            patient_age_years_min=1,
            patient_age_years_max=5,
        ),
        "plan": plan,
        "plan_digest": plan.digest,
        "exit": 1,
        "scores_sha256": "d" * 64,
        "patients": 200,
        "findings": 100,
        "gated_out": 0,
        "clear_at_or_below": -2.0,
        "flag_at_or_above": 2.0,
        "cleared": evidence,
        "flagged": evidence,
        "clear_at_or_below_half": None,
        "flag_at_or_above_half": None,
        "reference": {"logit": (-2.0, 2.0)},
        "created": date(2026, 12, 1),
        "expires": date(2027, 3, 1),
        "digest": "0" * 64,
        **changed,
    }
    return Certificate.model_validate({**fields, "digest": own_digest(Certificate.model_validate(fields))})


MODEL = Model(MANIFEST, REFERENCES, (a_certificate(),))
RAMP = np.linspace(0.01, 0.99, 128, dtype=np.float32)[None, None, :, None].repeat(128, axis=3)


def seen(logit: float = -3.0, /, **changed: object) -> Seen:
    outputs = {
        "logit": np.array([logit], np.float32),
        "features": np.zeros((1, FEATURES), np.float32),
        **changed,
    }
    return Seen(RAMP[0, 0] * 255, RAMP, (outputs,))  # type: ignore[arg-type]


def ruled(
    instances: list[Instance],
    model: Model,
    given: Seen | str,
    *,
    site: str = "harbour",
    today: date = TODAY,
    standing: Standing = NOTHING,
) -> Decision:
    return decide(instances, model, given, site=site, today=today, standing=standing)


def judged(
    logit: float = -3.0,
    *,
    instance: Instance = CHILD,
    model: Model = MODEL,
    site: str = "harbour",
    today: date = TODAY,
    standing: Standing = NOTHING,
) -> Decision:
    return ruled([instance], model, seen(logit), site=site, today=today, standing=standing)


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


# The one path


@pytest.mark.parametrize(
    ("logit", "lane", "code", "priority"),
    [
        (-3.0, "cleared", "cleared-under-certificate", "routine"),
        (-2.0, "cleared", "cleared-under-certificate", "routine"),
        (-1.999, "escalated", "score-between", "routine"),
        (0.0, "escalated", "score-between", "routine"),
        (1.999, "escalated", "score-between", "routine"),
        (2.0, "flagged", "flagged-under-certificate", "urgent"),
        (5.0, "flagged", "flagged-under-certificate", "urgent"),
    ],
)
def test_lanes_under_a_valid_certificate(logit: float, lane: str, code: str, priority: str):
    decision = judged(logit)
    assert (decision.lane, decision.would_be, codes(decision), decision.priority) == (lane, lane, [code], priority)
    assert decision.model == "drawn/1.2.3"
    assert decision.certificate == "harbour/test"
    assert decision.scores[0].logit == pytest.approx(logit)
    assert decision.scores[0].calibrated is None
    assert set(decision.scores[0].gates) == set(GATES.bounds)


def test_a_closed_lane_decides_nothing():
    only_flags = a_certificate(clear_at_or_below=None, cleared=None)
    assert judged(-9.0, model=dataclasses.replace(MODEL, certificates=(only_flags,))).lane == "escalated"
    assert judged(9.0, model=dataclasses.replace(MODEL, certificates=(only_flags,))).lane == "flagged"
    nothing = a_certificate(clear_at_or_below=None, cleared=None, flag_at_or_above=None, flagged=None)
    for logit in (-9.0, 0.0, 9.0):
        assert judged(logit, model=dataclasses.replace(MODEL, certificates=(nothing,))).lane == "escalated"


# The header


def told(born: str, studied: str) -> Patient:
    return dataclasses.replace(CHILD.patient, patient_birth_date=born, study_date=studied)


@pytest.mark.parametrize("born", ["20220301", "20220302", "20210302", ""])
def test_a_birth_date_that_fits_or_is_not_told_contradicts_no_age(born: str):
    assert judged(-9.0, instance=dataclasses.replace(CHILD, patient=told(born, "20260301"))).lane == "cleared"


MUTATIONS: list[tuple[dict[str, object], str]] = [
    ({"modality": "MR"}, "modality-not-covered"),
    ({"modality": ""}, "modality-not-covered"),
    ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, "sop-class-not-covered"),
    ({"body_part_examined": "HAND"}, "body-part-not-covered"),
    ({"body_part_examined": ""}, "body-part-not-covered"),
    ({"view_position": "LL"}, "view-not-covered"),
    ({"view_position": ""}, "view-not-covered"),
    ({"patient_age": ""}, "age-unknown"),
    ({"patient_age": "4Y"}, "age-unknown"),
    ({"patient_age": "004"}, "age-unknown"),
    ({"patient_age": "004Y\n"}, "age-unknown"),
    ({"patient_age": "-04Y"}, "age-unknown"),
    ({"patient_age": "٠٠٤Y"}, "age-unknown"),
    ({"patient": told("19500101", "20260301")}, "age-contradicted"),
    ({"patient": told("20240301", "20260301")}, "age-contradicted"),
    ({"patient": told("20270101", "20260301")}, "age-contradicted"),
    ({"patient": told("1970.01.01", "20260301")}, "age-contradicted"),
    ({"patient": told("19700101\\20230101", "20260301")}, "age-contradicted"),
    ({"patient": told("20220000", "20260301")}, "age-contradicted"),
    ({"patient": told("about 1970", "20260301")}, "age-contradicted"),
    ({"patient": told("19700101", "")}, "age-contradicted"),
    ({"patient_age": "000Y"}, "age-not-covered"),
    ({"patient_age": "011M"}, "age-not-covered"),
    ({"patient_age": "006Y"}, "age-not-covered"),
    ({"patient_age": "040Y"}, "age-not-covered"),
    ({"patient_age": "004D"}, "age-not-covered"),
    ({"number_of_frames": 2}, "several-images"),
    ({"number_of_frames": 0}, "several-images"),
    ({"images_in_acquisition": 2}, "several-images"),
    ({"has_pixels": False}, "no-image"),
    ({"presentation_intent_type": "FOR PROCESSING"}, "not-for-reading"),
    ({"presentation_intent_type": "FOR PRESENTATION\\FOR PROCESSING"}, "not-for-reading"),
    ({"quality_control_image": "YES"}, "not-for-reading"),
    ({"quality_control_image": "BOTH"}, "not-for-reading"),
    ({"rows": 127}, "image-too-small"),
    ({"columns": 64}, "image-too-small"),
    ({"photometric_interpretation": "RGB"}, "photometric-not-covered"),
    ({"photometric_interpretation": ""}, "photometric-not-covered"),
    ({"bits_stored": None}, "bit-depth-not-covered"),
    ({"bits_stored": 7}, "bit-depth-not-covered"),
    ({"bits_stored": 32}, "bit-depth-not-covered"),
    ({"pixel_representation": 1}, "bit-depth-not-covered"),
    ({"pixel_representation": None}, "bit-depth-not-covered"),
    ({"presentation_lut_shape": "INVERSE"}, "grey-scale-contradicted"),
    ({"presentation_lut_shape": "LIN OD"}, "grey-scale-contradicted"),
    ({"photometric_interpretation": "MONOCHROME1", "presentation_lut_shape": "IDENTITY"}, "grey-scale-contradicted"),
    ({"pixel_intensity_relationship_sign": "1"}, "grey-scale-contradicted"),
    (
        {"photometric_interpretation": "MONOCHROME1", "pixel_intensity_relationship_sign": "-1"},
        "grey-scale-contradicted",
    ),
    ({"rescale_slope": "-1"}, "grey-scale-contradicted"),
    ({"rescale_slope": "0"}, "grey-scale-contradicted"),
    ({"rescale_slope": "nan"}, "grey-scale-contradicted"),
    ({"rescale_slope": "one"}, "grey-scale-contradicted"),
    ({"image_type": "DERIVED\\PRIMARY"}, "image-derived"),
    ({"image_type": "ORIGINAL\\SECONDARY"}, "image-derived"),
    ({"image_type": "ORIGINAL"}, "image-derived"),
    ({"burned_in_annotation": "YES"}, "burned-in-text"),
    ({"burned_in_annotation": "no"}, "burned-in-text"),
    ({"lossy_image_compression": "01"}, "lossy-compression"),
    ({"lossy_image_compression": "01", "lossy_image_compression_ratio": "40"}, "lossy-compression"),
    ({"lossy_image_compression": "01", "lossy_image_compression_ratio": "10\\40"}, "lossy-compression"),
    ({"lossy_image_compression": "01", "lossy_image_compression_ratio": "0.1"}, "lossy-compression"),
    ({"lossy_image_compression": "01", "lossy_image_compression_ratio": "ten"}, "lossy-compression"),
    ({"lossy_image_compression": "YES"}, "lossy-compression"),
    ({"lossy_image_compression_ratio": "10"}, "lossy-compression"),
    ({"transfer_syntax_uid": "1.2.840.10008.1.2.4.50"}, "lossy-compression"),
    ({"transfer_syntax_uid": "1.2.840.10008.1.2.4.81", "lossy_image_compression": ""}, "lossy-compression"),
    ({"transfer_syntax_uid": "1.2.840.10008.1.2.4.91", "lossy_image_compression": ""}, "lossy-compression"),
    ({"transfer_syntax_uid": "1.2.840.10008.1.2.4.203", "lossy_image_compression": ""}, "lossy-compression"),
    ({"pixel_padding_value": "0"}, "pixel-padding"),
    ({"patient_orientation": "R\\F"}, "orientation-not-covered"),
    ({"patient_orientation": "H\\L"}, "orientation-not-covered"),
]
FITTING: list[dict[str, object]] = [
    {"photometric_interpretation": "MONOCHROME1"},
    {"photometric_interpretation": "MONOCHROME1", "presentation_lut_shape": "INVERSE"},
    {"photometric_interpretation": "MONOCHROME1", "pixel_intensity_relationship_sign": "1"},
    {"presentation_lut_shape": "IDENTITY", "pixel_intensity_relationship_sign": "-1", "rescale_slope": "1.0"},
    {"bits_stored": 16},
    {"image_type": "", "patient_orientation": "", "lossy_image_compression": ""},
    {"burned_in_annotation": "NO"},
    {"transfer_syntax_uid": "1.2.840.10008.1.2.4.91"},
    {"transfer_syntax_uid": "1.2.840.10008.1.2.4.90", "lossy_image_compression": ""},
    {"lossy_image_compression": "01", "lossy_image_compression_ratio": "10"},
    {
        "transfer_syntax_uid": "1.2.840.10008.1.2.4.50",
        "lossy_image_compression": "01",
        "lossy_image_compression_ratio": "7.7",
    },
    {"images_in_acquisition": 1},
]


@pytest.mark.parametrize("facts", FITTING)
def test_other_ways_to_say_the_same_are_covered(facts: dict[str, object]):
    assert judged(-9.0, instance=dataclasses.replace(CHILD, **facts)).lane == "cleared"  # type: ignore[arg-type]


def test_an_instance_admitted_before_a_fact_was_read_is_escalated():
    """Rows of an older ledger say nothing of the grey scale: nothing is decided on them."""
    facts = {name: value for name, value in dataclasses.asdict(CHILD).items() if name not in NEWER_FACTS}
    older = instance_of(facts)
    assert older.photometric_interpretation == ""
    assert codes(judged(-9.0, instance=older)) == ["no-model-applies", "photometric-not-covered"]


@pytest.mark.parametrize(("mutation", "code"), MUTATIONS)
@pytest.mark.parametrize("logit", [-9.0, 9.0])
def test_each_wrong_header_fact_escalates(mutation: dict[str, object], code: str, logit: float):
    instance = dataclasses.replace(CHILD, **mutation)  # type: ignore[arg-type]
    decision = judged(logit, instance=instance)
    assert decision.lane == "escalated"
    assert code in codes(decision)
    assert decision.would_be is None
    assert decision.scores == ()
    refused = chosen([instance], [MODEL])
    assert isinstance(refused, Decision)
    assert codes(refused) == ["no-model-applies", code]


@pytest.mark.parametrize("mutation", [{"manufacturer": "Other"}, {"manufacturer_model_name": ""}, {"modality": "DX"}])
def test_another_scanner_escalates_and_says_what_would_be(mutation: dict[str, str]):
    decision = judged(-9.0, instance=dataclasses.replace(CHILD, **mutation))  # type: ignore[arg-type]
    assert (decision.lane, decision.would_be) == ("escalated", "cleared")
    assert codes(decision) == ["certificate-other-group"]


@pytest.mark.parametrize("other", [{}, {"manufacturer": "Other"}, {"manufacturer_model_name": ""}])
def test_one_slice_of_another_scanner_escalates_the_series(other: dict[str, str]):
    changed = {**MANIFEST_JSON, "input": {**INPUT_JSON, "takes": "key_frames", "frames": 2}}
    model = dataclasses.replace(MODEL, manifest=Manifest.model_validate_json(json.dumps(changed)))
    plan = a_certificate().plan.model_copy(update={"preparation_digest": model.preparation_digest})
    model = dataclasses.replace(model, certificates=(a_certificate(plan=plan, plan_digest=plan.digest),))
    second = dataclasses.replace(CHILD, sop_instance_uid="1.2.3.4.6", instance_number=2, **other)  # type: ignore[arg-type]
    decision = ruled([CHILD, second], model, seen(-9.0))
    assert decision.lane == ("escalated" if other else "cleared")
    assert codes(decision) == ["certificate-other-group" if other else "cleared-under-certificate"]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        ["modality", "sop_class_uid", "body_part_examined", "view_position", "patient_age", "manufacturer"]
    ),
    st.text(max_size=16),
    st.sampled_from([-9.0, 9.0]),
)
def test_any_other_text_in_one_header_fact_escalates(keyword: str, text: str, logit: float):
    fits = {"view_position": ("AP", "PA"), "patient_age": ("001Y", "002Y", "003Y", "004Y", "005Y")}
    if text not in (*fits.get(keyword, ()), getattr(CHILD, keyword)) and (
        keyword != "patient_age" or age_years(text) is None
    ):
        assert judged(logit, instance=dataclasses.replace(CHILD, **{keyword: text})).lane == "escalated"  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 2, 3])
def test_only_a_study_of_one_image_is_covered(count: int):
    decision = ruled([CHILD] * count, MODEL, seen())
    assert decision.lane == "escalated"
    assert "several-images" in codes(decision)


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("001Y", 1),
        ("012M", 1),
        ("011M", 0),
        ("052W", 0),
        ("053W", 1),
        ("365D", 0),
        ("366D", 1),
        ("071M", 5),
        ("", None),
    ],
)
def test_age_in_completed_years(age: str, years: int | None):
    assert age_years(age) == years


def test_choice_names_what_each_model_misses_and_takes_the_first_that_applies():
    hands = Manifest.model_validate_json(
        json.dumps({**MANIFEST_JSON, "applies_to": {**MANIFEST_JSON["applies_to"], "body_part_examined": ["HAND"]}})  # type: ignore[dict-item]
    )
    for_hands = Model(hands, REFERENCES, ())
    assert chosen([CHILD], [for_hands, MODEL]) is MODEL
    refused = chosen([dataclasses.replace(CHILD, modality="CT")], [for_hands, MODEL])
    assert isinstance(refused, Decision)
    assert codes(refused) == ["no-model-applies", "modality-not-covered"]
    # What the one for hands misses in a chest is told, what a model of another modality misses is not.
    for_ct = Manifest.model_validate_json(
        json.dumps({**MANIFEST_JSON, "applies_to": {**MANIFEST_JSON["applies_to"], "modality": ["CT"]}})  # type: ignore[dict-item]
    )
    refused = chosen([CHILD], [Model(for_ct, REFERENCES, ()), for_hands])
    assert isinstance(refused, Decision)
    assert codes(refused) == ["no-model-applies", "body-part-not-covered"]
    none_here = chosen([CHILD], [])
    assert isinstance(none_here, Decision)
    assert (none_here.lane, codes(none_here)) == ("escalated", ["no-model-installed"])


# The certificate


@pytest.mark.parametrize(
    ("certificates", "site", "today", "code"),
    [
        ((), "harbour", TODAY, "no-certificate"),
        ((a_certificate(),), "lakeside", TODAY, "certificate-other-site"),
        ((a_certificate(),), "harbour", date(2027, 3, 2), "certificate-expired"),
        ((a_certificate(),), "harbour", date(2026, 1, 1), "certificate-not-yet-valid"),
        ((a_certificate().model_copy(update={"site": "lakeside"}),), "lakeside", TODAY, "certificate-damaged"),
    ],
)
@pytest.mark.parametrize("logit", [-9.0, 9.0])
def test_without_a_valid_certificate_all_is_escalated(
    certificates: tuple[Certificate, ...], site: str, today: date, code: str, logit: float
):
    model = dataclasses.replace(MODEL, certificates=certificates)
    decision = judged(logit, model=model, site=site, today=today)
    assert decision.lane == "escalated"
    assert codes(decision) == [code]
    assert decision.would_be == ("cleared" if logit < 0 else "flagged")
    assert len(decision.scores) == 1


def test_would_be_follows_the_certificate_of_this_model_else_the_manifest():
    """Between the nominal thresholds (1) and the certificate's (2) the two tell apart which one was asked."""
    assert judged(1.5, today=date(2027, 3, 2)).would_be == "escalated"
    assert judged(1.5, model=dataclasses.replace(MODEL, certificates=())).would_be == "flagged"
    other = dataclasses.replace(MODEL, references={"default": dataclasses.replace(REFERENCE, digest="f" * 64)})
    assert codes(judged(1.5, model=other)) == ["certificate-other-model"]
    assert judged(1.5, model=other).would_be == "flagged"


def test_another_preparation_voids_the_certificate():
    window = {"step": "percentile_window", "low": 1.0, "high": 99.5}
    changed = {**MANIFEST_JSON, "input": {**INPUT_JSON, "steps": [INPUT_JSON["steps"][0], window]}}
    model = dataclasses.replace(MODEL, manifest=Manifest.model_validate_json(json.dumps(changed)))
    assert codes(judged(-9.0, model=model)) == ["certificate-other-model"]


# The outputs


ODD_OUTPUTS: list[tuple[dict[str, object], str]] = [
    ({"logit": np.array([np.nan], np.float32)}, "score-not-finite"),
    ({"logit": np.array([-np.inf], np.float32)}, "score-not-finite"),
    ({"logit": np.array([np.inf], np.float32)}, "score-not-finite"),
    ({"logit": np.array([], np.float32)}, "model-output-odd"),
    ({"logit": np.array([[-9.0]], np.float32)}, "model-output-odd"),
    ({"logit": np.array([-9.0, -9.0], np.float32)}, "model-output-odd"),
    ({"logit": np.array(-9.0, np.float32)}, "model-output-odd"),
    ({"logit": np.array([-9], np.int64)}, "model-output-odd"),
    ({"logit": np.array([-20.5], np.float32)}, "model-output-odd"),
    ({"logit": np.array([20.5], np.float32)}, "model-output-odd"),
    ({"logit": None}, "model-output-missing"),
    ({"logit": -9.0}, "model-output-missing"),
    ({"features": None}, "model-output-missing"),
    ({"features": np.full((1, FEATURES), np.nan, np.float32)}, "score-not-finite"),
    ({"features": np.zeros((1, FEATURES + 1), np.float32)}, "model-output-odd"),
    ({"features": np.zeros(FEATURES, np.float32)}, "model-output-odd"),
]


@pytest.mark.parametrize(("outputs", "code"), ODD_OUTPUTS)
def test_odd_outputs_escalate(outputs: dict[str, object], code: str):
    decision = ruled([CHILD], MODEL, seen(-9.0, **outputs))
    assert (decision.lane, decision.would_be, codes(decision)) == ("escalated", None, [code])
    assert decision.scores == ()


@pytest.mark.parametrize("nothing", ["model-output-missing", Seen(RAMP[0, 0], RAMP, ()), Seen(RAMP[0, 0], RAMP, ({},))])
def test_no_outputs_escalate(nothing: Seen | str):
    decision = ruled([CHILD], MODEL, nothing)
    assert (decision.lane, codes(decision)) == ("escalated", ["model-output-missing"])


anything = st.one_of(
    st.none(),
    arrays(np.float32, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7), elements=st.floats(width=32)),
    arrays(np.int32, array_shapes(max_dims=2, max_side=7)),
    arrays(np.float32, (1,), elements=st.floats(width=32)),
    arrays(np.float32, (1, FEATURES), elements=st.floats(width=32)),
)


@settings(max_examples=400, deadline=None)
@given(anything, anything)
def test_whatever_a_graph_gives_only_a_well_formed_answer_is_decided_on(logit: object, features: object):
    given_out = Seen(RAMP[0, 0] * 255, RAMP, ({"logit": logit, "features": features},))  # type: ignore[dict-item]
    with np.errstate(all="ignore"):
        decision = ruled([CHILD], MODEL, given_out)
    if decision.lane != "escalated":
        assert isinstance(logit, np.ndarray)
        assert isinstance(features, np.ndarray)
        assert logit.shape == (1,)
        assert features.shape == (1, FEATURES)
        assert logit.dtype.kind == features.dtype.kind == "f"
        assert 2 <= abs(float(logit[0])) <= 20
        assert float(np.square(features.astype(np.float64)).sum()) <= 10.0


# The gates


@pytest.mark.parametrize("logit", [-9.0, 9.0])
def test_a_strange_film_is_escalated_under_a_valid_certificate(logit: float):
    far = np.full((1, FEATURES), 5.0, np.float32)
    decision = ruled([CHILD], MODEL, seen(logit, features=far))
    assert (decision.lane, decision.would_be) == ("escalated", "escalated")
    assert codes(decision) == ["gate-out-of-distribution"]
    assert decision.scores[0].gates["distance"] == pytest.approx(150.0)


@pytest.mark.parametrize(
    "tensor",
    [
        np.zeros((1, 1, 128, 128), np.float32),
        np.ones((1, 1, 128, 128), np.float32),
        np.random.default_rng(1).integers(0, 2, (1, 1, 128, 128)).astype(np.float32),
    ],
    ids=["black", "white", "binary noise"],
)
def test_film_without_an_image_is_escalated(tensor: np.ndarray):
    decision = ruled([CHILD], MODEL, dataclasses.replace(seen(-9.0), tensor=tensor))
    assert codes(decision) == ["gate-image-quality"]


@pytest.mark.parametrize("shape", [(128, 300), (300, 128)])
def test_odd_aspect_is_escalated(shape: tuple[int, int]):
    values = np.random.default_rng(2).integers(0, 256, shape).astype(np.float32)
    decision = ruled([CHILD], MODEL, dataclasses.replace(seen(-9.0), values=values))
    assert codes(decision) == ["gate-image-quality"]


def told_by(features: np.ndarray) -> Answer:
    return Answer(0.0, features, None, None)


@pytest.mark.parametrize("measure", GATES.bounds)
def test_each_bound_stops_a_film_that_only_it_stops(measure: Measure):
    measured, failed = gate(RAMP[0, 0] * 255, RAMP, told_by(np.zeros(FEATURES)), {}, REFERENCE)
    assert failed == ()
    bound = GATES.bounds[measure]
    beyond = bound.high + 1 if bound.high is not None else (bound.low or 0.0) - 1
    assert failed_gates({**measured, measure: beyond}, GATES, {}) == (bound.code,)
    assert failed_gates({**measured, measure: math.nan}, GATES, {}) == (bound.code,)
    without = {name: value for name, value in measured.items() if name != measure}
    assert failed_gates(without, GATES, {}) == (bound.code,)
    fewer = GATES.model_copy(update={"bounds": {k: v for k, v in GATES.bounds.items() if k != measure}})
    assert failed_gates(measured, fewer, {}) == ("gate-out-of-distribution",)


def test_distance_is_to_the_nearest_class():
    two = dataclasses.replace(REFERENCE, centres=np.stack([np.zeros(FEATURES), np.full(FEATURES, 2.0)]))
    assert gate(RAMP[0, 0], RAMP, told_by(np.full(FEATURES, 2.0)), {}, two)[0]["distance"] == 0.0
    assert gate(RAMP[0, 0], RAMP, told_by(np.full(FEATURES, 1.5)), {}, two)[0]["distance"] == pytest.approx(
        FEATURES * 0.25
    )


def test_noise_is_sharp_and_a_ramp_is_not():
    noise = np.random.default_rng(1).random((1, 1, 128, 128)).astype(np.float32)
    assert film_measures(noise[0, 0], noise)["sharpness"] > 20 * film_measures(RAMP[0, 0], RAMP)["sharpness"]


# The words


def test_every_reason_is_a_sentence_and_none_holds_a_value_of_the_header():
    assert all(text[0].isupper() and text.endswith(".") for text in REASONS.values())
    for mutation, _ in MUTATIONS:
        decision = judged(instance=dataclasses.replace(CHILD, **mutation))  # type: ignore[arg-type]
        assert "SECRET" not in repr(decision)
        assert all(REASONS[reason.code] == reason.text for reason in decision.reasons)


def test_codes_given_to_why_not_applicable_are_catalogued():
    for mutation, code in MUTATIONS:
        assert why_not_applicable([dataclasses.replace(CHILD, **mutation)], MANIFEST) == code  # type: ignore[arg-type]
        assert code in REASONS


@pytest.mark.parametrize(
    "changed",
    [
        {"stranger": 1},
        {"schema_version": 1},
        {"weights": "none"},
        {"name": "Has Spaces"},
        {"version": "1.0"},
        {"overlay": "always"},
        {"files": {"model.onnx": "a" * 64}},
        {"files": {**MANIFEST_JSON["files"], "x": "short"}},  # type: ignore[dict-item]
        {"nominal": {"clear_at_or_below": 1.0, "flag_at_or_above": 1.0}},
        {"exits": []},
        {"exits": [{**EXIT_JSON, "logit_low": 30.0}]},
        {"exits": [{**EXIT_JSON, "trunk": "trunk"}]},
        {"exits": [EXIT_JSON, EXIT_JSON]},
        {"exits": [{**EXIT_JSON, "gap": "logit"}]},
        {"exits": [{**EXIT_JSON, "graph": "../model.onnx"}]},
        {"check": {"graph": "model.onnx", "side_px": 64, "output": "kinds", "kinds": ["chest", "hand"]}},
        {"check": {"graph": "check.onnx", "side_px": 64, "output": "kinds", "kinds": ["chest", "hand"]}},
        {"references": {"harbour": {"gates": "gates.json", "arrays": "gates.npz"}}},
        {"input": {**INPUT_JSON, "side_px": "128"}},
        {"input": {**INPUT_JSON, "side_px": 64}},
        {"input": {**INPUT_JSON, "frames": 2}},
        {"input": {**INPUT_JSON, "steps": [{"step": "run", "command": "rm"}]}},
        {"input": {**INPUT_JSON, "steps": [{"step": "orient_grey"}, {"step": "orient_grey"}]}},
    ],
)
def test_a_manifest_that_contradicts_itself_is_not_parsed(changed: dict[str, object]):
    with pytest.raises(ValidationError):
        Manifest.model_validate_json(json.dumps({**MANIFEST_JSON, **changed}))
