"""The rule under attack: whatever is drawn, missing or mutated, a lane is reached only when everything is right.

The last part plants bugs: each check is taken out in turn, and the same property must then fail.
"""

import dataclasses
import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pydantic import ValidationError

from appliance.core import decide as rule
from appliance.core.certificate import Certificate, Ends, own_digest
from appliance.core.decide import Decision, Model, Seen, decide
from appliance.core.gates import Bound, Wanted
from appliance.core.manifest import Manifest
from appliance.core.standing import Standing
from appliance.core.study import Instance
from tests.core.test_decide import (
    CHILD,
    EXIT_JSON,
    FEATURES,
    GATES,
    MANIFEST_JSON,
    MODEL,
    MUTATIONS,
    NOTHING,
    RAMP,
    REFERENCE,
    REFERENCES,
    TODAY,
    a_certificate,
    codes,
    judged,
    seen,
)

# Standing: what is taken away


@pytest.mark.parametrize("logit", [-9.0, 0.0, 9.0])
@pytest.mark.parametrize("stopped", ["drawn", "drawn/1.2.3"])
def test_a_stopped_model_decides_nothing(stopped: str, logit: float):
    decision = judged(logit, standing=Standing(stopped=frozenset((stopped,))))
    assert (decision.lane, codes(decision), decision.would_be) == ("escalated", ["model-stopped"], None)
    assert decision.next_exit is None


@pytest.mark.parametrize("stopped", ["drawn/1.2.4", "draw", "other", ""])
def test_another_model_that_is_stopped_is_another(stopped: str):
    assert judged(-9.0, standing=Standing(stopped=frozenset((stopped,)))).lane == "cleared"


@pytest.mark.parametrize(("logit", "would_be"), [(-9.0, "cleared"), (0.0, "escalated"), (9.0, "flagged")])
def test_a_revoked_certificate_opens_nothing_and_would_be_is_told(logit: float, would_be: str):
    gone = Standing(revoked=frozenset((MODEL.certificates[0].digest,)))
    decision = judged(logit, standing=gone)
    assert (decision.lane, decision.would_be, codes(decision)) == ("escalated", would_be, ["certificate-revoked"])
    assert decision.certificate == "harbour/test"


def test_an_older_certificate_does_not_step_in_for_a_revoked_one():
    older, newer = a_certificate(name="older"), a_certificate(name="newer", created=date(2026, 12, 20))
    model = dataclasses.replace(MODEL, certificates=(older, newer))
    assert judged(-9.0, model=model).certificate == "newer"
    gone = Standing(revoked=frozenset((newer.digest,)))
    assert codes(judged(-9.0, model=model, standing=gone)) == ["certificate-revoked"]


@pytest.mark.parametrize(
    ("logit", "lane", "code"),
    [
        (-4.0, "cleared", "cleared-under-certificate"),
        (-3.0, "cleared", "cleared-under-certificate"),
        (-2.5, "escalated", "certificate-shrunk"),
        (0.0, "escalated", "score-between"),
        (2.5, "escalated", "certificate-shrunk"),
        (3.0, "flagged", "flagged-under-certificate"),
    ],
)
def test_under_warning_only_the_half_of_each_lane_is_open(logit: float, lane: str, code: str):
    certificate = a_certificate(clear_at_or_below_half=-3.0, flag_at_or_above_half=3.0)
    model = dataclasses.replace(MODEL, certificates=(certificate,))
    warned = Standing(shrunk=frozenset((certificate.digest,)))
    decision = judged(logit, model=model, standing=warned)
    assert (decision.lane, codes(decision)) == (lane, [code])
    assert judged(logit, model=model).lane == decision.would_be


def test_a_lane_without_a_half_closes_under_warning():
    certificate = a_certificate(clear_at_or_below_half=None, flag_at_or_above_half=None)
    model = dataclasses.replace(MODEL, certificates=(certificate,))
    warned = Standing(shrunk=frozenset((certificate.digest,)))
    assert judged(-19.0, model=model, standing=warned).lane == "escalated"
    assert judged(19.0, model=model, standing=warned).lane == "escalated"


# Random weights


@pytest.mark.parametrize("logit", [-19.0, 0.0, 19.0])
def test_random_weights_only_escalate_even_with_a_certificate_at_hand(logit: float):
    manifest = Manifest.model_validate_json(json.dumps({**MANIFEST_JSON, "weights": "random"}))
    decision = judged(logit, model=dataclasses.replace(MODEL, manifest=manifest))
    assert (decision.lane, decision.would_be, codes(decision)) == ("escalated", None, ["weights-random"])
    assert (decision.certificate, decision.scores[0].weights) == (None, "random")


# Two exits

TWO_JSON = {
    **MANIFEST_JSON,
    "files": dict.fromkeys(("model.onnx", "rest.onnx", "gates.json", "gates.npz", "golden.npz"), "a" * 64),
    "exits": [{**EXIT_JSON, "trunk": "trunk"}, {**EXIT_JSON, "graph": "rest.onnx"}],
}
TWO = Manifest.model_validate_json(json.dumps(TWO_JSON))
ENDS = Ends(clear_at_or_below=-2.0, flag_at_or_above=2.0)


def of_exit(number: int, **changed: object) -> Certificate:
    plan = a_certificate().plan.model_copy(
        update={"model_sha256": TWO.graphs_sha256, "exit_1": changed.pop("exit_1", ENDS)}
    )
    told = {"name": f"harbour/exit-{number}", "exit": number, "plan": plan, "plan_digest": plan.digest}
    return a_certificate(**{**told, **changed})


FIRST, SECOND = of_exit(1), of_exit(2, clear_at_or_below=-1.0, flag_at_or_above=1.0)
PAIR = Model(TWO, REFERENCES, (FIRST, SECOND))
SHORT = of_exit(1, clear_at_or_below=-4.0)  # its test ended before its plan did
SHORT_PAIR = Model(TWO, REFERENCES, (SHORT, SECOND))


def both(first: object, second: object = None, *, model: Model = PAIR, standing: Standing = NOTHING) -> Decision:
    """The decision on the logits of both exits; second None: it was not run."""
    outputs = [
        seen(0.0, logit=np.array([logit], np.float32)).outputs[0] for logit in (first, second) if logit is not None
    ]
    given_out = Seen(RAMP[0, 0] * 255, RAMP, tuple(outputs))
    return decide([CHILD], model, given_out, site="harbour", today=TODAY, standing=standing)


@pytest.mark.parametrize(("logit", "lane"), [(-3.0, "cleared"), (3.0, "flagged")])
@pytest.mark.parametrize("second", [None, -9.0, 9.0, np.nan])
def test_the_first_exit_decides_alone_whatever_the_second_would_say(logit: float, lane: str, second: float | None):
    decision = both(logit, second)
    assert (decision.lane, decision.exit, decision.next_exit) == (lane, 1, None)
    assert (decision.certificate, [each.exit for each in decision.scores]) == ("harbour/exit-1", [1])


@pytest.mark.parametrize(
    ("second", "lane", "code"),
    [
        (-1.0, "cleared", "cleared-under-certificate"),
        (-0.9, "escalated", "score-between"),
        (1.0, "flagged", "flagged-under-certificate"),
        (np.nan, "escalated", "score-not-finite"),
        (21.0, "escalated", "model-output-odd"),
    ],
)
def test_what_the_first_exit_leaves_is_asked_of_the_second(second: float, lane: str, code: str):
    waiting = both(0.0)
    assert (waiting.lane, codes(waiting), waiting.next_exit) == ("escalated", ["score-between"], 2)
    decision = both(0.0, second)
    assert (decision.lane, codes(decision), decision.next_exit) == (lane, [code], None)
    assert decision.exit == (None if lane == "escalated" else 2)
    assert decision.certificate == "harbour/exit-2"


def test_a_second_exit_counts_only_beside_the_first_it_was_tested_with():
    for certificates, code in (
        ((SECOND,), "certificate-other-exit"),
        ((FIRST,), "no-certificate"),
        ((), "no-certificate"),
        ((of_exit(1, exit_1=Ends(clear_at_or_below=-3.0, flag_at_or_above=2.0)), SECOND), "certificate-other-exit"),
        ((of_exit(1, scores_sha256="e" * 64), SECOND), "certificate-other-exit"),
        ((of_exit(1, expires=date(2026, 12, 2)), SECOND), "certificate-other-exit"),
    ):
        decision = both(0.0, -9.0, model=dataclasses.replace(PAIR, certificates=certificates))
        assert decision.lane == "escalated"
        assert code in codes(decision)


def test_when_the_first_exit_loses_its_certificate_the_second_opens_nothing():
    decision = both(0.0, -9.0, standing=Standing(revoked=frozenset((FIRST.digest,))))
    assert (decision.lane, codes(decision)) == ("escalated", ["certificate-revoked", "certificate-other-exit"])
    decision = both(0.0, -9.0, standing=Standing(revoked=frozenset((SECOND.digest,))))
    assert (decision.lane, codes(decision)) == ("escalated", ["certificate-revoked"])


def test_a_film_that_the_plan_gave_to_the_first_exit_never_reaches_the_second():
    """The first certificate ends before its plan: what lies between was counted there, and is not decided at all."""
    decision = both(-3.0, -9.0, model=SHORT_PAIR)
    assert (decision.lane, decision.next_exit, [each.exit for each in decision.scores]) == ("escalated", None, [1])


def test_a_warning_at_the_first_exit_halves_the_second_too():
    first = of_exit(1, clear_at_or_below_half=-3.0, flag_at_or_above_half=3.0)
    second = of_exit(
        2, clear_at_or_below=-1.0, flag_at_or_above=1.0, clear_at_or_below_half=-1.5, flag_at_or_above_half=1.5
    )
    model = dataclasses.replace(PAIR, certificates=(first, second))
    warned = Standing(shrunk=frozenset((first.digest,)))
    assert codes(both(-2.5, -9.0, model=model, standing=warned)) == ["certificate-shrunk"]
    assert codes(both(0.0, -1.2, model=model, standing=warned)) == ["certificate-shrunk"]
    assert both(0.0, -1.5, model=model, standing=warned).lane == "cleared"
    assert both(0.0, -1.2, model=model).lane == "cleared"


def test_an_exit_whose_features_the_gates_do_not_know_decides_nothing():
    exits = [{**TWO_JSON["exits"][0], "features_count": FEATURES + 1}, TWO_JSON["exits"][1]]  # type: ignore[index]
    model = dataclasses.replace(PAIR, manifest=Manifest.model_validate_json(json.dumps({**TWO_JSON, "exits": exits})))
    wide = seen(-9.0, features=np.zeros((1, FEATURES + 1), np.float32))
    decision = decide([CHILD], model, wide, site="harbour", today=TODAY, standing=NOTHING)
    assert (decision.lane, codes(decision)) == ("escalated", ["gate-out-of-distribution"])


# The check network

CHECKED = Manifest.model_validate_json(
    json.dumps(
        {
            **MANIFEST_JSON,
            "files": dict.fromkeys(("model.onnx", "check.onnx", "gates.json", "gates.npz", "golden.npz"), "a" * 64),
            "check": {"graph": "check.onnx", "side_px": 64, "output": "kinds", "kinds": ["chest", "hand"]},
        }
    )
)


WANTED = Wanted(kind="chest", codes={"hand": "gate-not-as-described"})
CHECKED_GATES = GATES.model_copy(
    update={
        "wanted": WANTED,
        "bounds": {**GATES.bounds, "as_described": Bound(low=0.5, high=None, code="gate-out-of-distribution")},
    }
)
CHECKED_REFERENCES = {"default": dataclasses.replace(REFERENCE, gates=CHECKED_GATES)}


def checked(check: Any, references: Any = CHECKED_REFERENCES) -> Decision:
    plan = a_certificate().plan.model_copy(update={"model_sha256": CHECKED.graphs_sha256})
    model = Model(CHECKED, references, (a_certificate(plan=plan, plan_digest=plan.digest),))
    given_out = dataclasses.replace(seen(-9.0), check=check)
    return decide([CHILD], model, given_out, site="harbour", today=TODAY, standing=NOTHING)


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (None, "model-output-missing"),
        ({}, "model-output-missing"),
        ({"other": np.array([[0.9, 0.1]], np.float32)}, "model-output-missing"),
        ({"kinds": np.array([0.9, 0.1], np.float32)}, "model-output-odd"),
        ({"kinds": np.array([[0.9, 0.05, 0.05]], np.float32)}, "model-output-odd"),
        ({"kinds": np.array([[9, 1]], np.int64)}, "model-output-odd"),
        ({"kinds": np.array([[0.9, 0.9]], np.float32)}, "model-output-odd"),
        ({"kinds": np.array([[1.5, -0.5]], np.float32)}, "model-output-odd"),
        ({"kinds": np.array([[np.nan, 0.1]], np.float32)}, "score-not-finite"),
    ],
)
def test_without_a_sound_answer_of_the_check_network_nothing_is_decided(check: Any, code: str):
    decision = checked(check)
    assert (decision.lane, codes(decision)) == ("escalated", [code])


def test_what_the_picture_is_decides_before_the_score():
    def told(chest: float) -> dict[str, np.ndarray]:
        return {"kinds": np.array([[chest, 1 - chest]], np.float32)}

    assert checked(told(0.9)).lane == "cleared"
    assert codes(checked(told(0.4))) == ["gate-not-as-described"]
    # A check that no bound speaks of: nothing can be told, so nothing is decided.
    assert codes(checked(told(0.9), REFERENCES)) == ["gate-out-of-distribution"]


# Whatever is drawn

numbers = st.floats(width=32)
anything = st.one_of(
    st.none(),
    st.text(max_size=3),
    numbers,
    arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int64, np.bool_, np.complex64]),
        array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7),
    ),
    arrays(np.float32, (1,), elements=numbers),
    arrays(np.float32, (1,), elements=st.sampled_from([-9.0, 0.0, 9.0])),
    arrays(np.float32, (1, FEATURES), elements=numbers),
    st.just(np.zeros((1, FEATURES), np.float32)),
)
standings = st.builds(
    Standing,
    stopped=st.frozensets(st.sampled_from(["drawn", "drawn/1.2.3", "other"]), max_size=2),
    revoked=st.frozensets(st.sampled_from([FIRST.digest, SHORT.digest, SECOND.digest, "0" * 64]), max_size=2),
    shrunk=st.frozensets(st.sampled_from([FIRST.digest, SHORT.digest, SECOND.digest, "0" * 64]), max_size=2),
)
HEADERS = [CHILD, *(dataclasses.replace(CHILD, **facts) for facts, _ in MUTATIONS)]  # type: ignore[arg-type]


def rightly(
    decision: Decision,
    instance: Instance,
    model: Model,
    outputs: tuple[Mapping[str, Any], ...],
    today: date,
    standing: Standing,
    site: str,
) -> bool:
    """Whether a lane was reached by right, told without the code under test: the rule, written a second time."""
    if decision.lane == "escalated":
        return decision.exit is None
    certificate = next(c for c in model.certificates if c.name == decision.certificate)
    exits = outputs[: decision.exit]
    logits = [given["logit"] for given in exits]
    scores = [float(each[0]) for each in logits]
    strange = [bool(np.square(given["features"].astype(float)).sum() > 10) for given in exits]
    low, high = certificate.clear_at_or_below, certificate.flag_at_or_above
    inside = scores[-1] <= low if decision.lane == "cleared" else scores[-1] >= high  # type: ignore[operator]
    if decision.exit == 2:
        inside = inside and (strange[0] or -2.0 < scores[0] < 2.0)
    return bool(
        inside
        and not strange[-1]
        and instance == CHILD
        and site == certificate.site
        and certificate.created <= today <= certificate.expires
        and certificate.digest == own_digest(certificate)
        and not {"drawn", "drawn/1.2.3"} & standing.stopped
        and not {c.digest for c in model.certificates[: decision.exit]} & (standing.revoked | standing.shrunk)
        and all(type(each) is np.ndarray and each.shape == (1,) and each.dtype.kind == "f" for each in logits)
        and all(-20 <= score <= 20 for score in scores)
    )


given_outputs = st.lists(st.fixed_dictionaries({}, optional={"logit": anything, "features": anything}), max_size=3)
DRAWN = {
    "instance": st.one_of(st.just(CHILD), st.sampled_from(HEADERS)),
    "model": st.sampled_from([PAIR, SHORT_PAIR]),
    "outputs": given_outputs,
    "days": st.one_of(st.just(0), st.integers(-400, 400)),
    "standing": st.one_of(st.just(NOTHING), standings),
    "site": st.sampled_from(["harbour", "harbour", "lakeside"]),
}


def _holds(instance: Instance, model: Model, outputs: Any, days: int, standing: Standing, site: str) -> None:
    today = TODAY + timedelta(days=days)
    given_out = Seen(RAMP[0, 0] * 255, RAMP, tuple(outputs))
    with np.errstate(all="ignore"):
        decision = decide([instance], model, given_out, site=site, today=today, standing=standing)
    assert rightly(decision, instance, model, given_out.outputs, today, standing, site)  # type: ignore[arg-type]


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**DRAWN)
def test_a_lane_is_reached_by_right_or_not_at_all(
    instance: Instance, model: Model, outputs: Any, days: int, standing: Standing, site: str
):
    _holds(instance, model, outputs, days, standing, site)


def test_the_one_path_is_open_in_this_very_setting():
    """Otherwise the property above would hold of a rule that never decides."""
    good = {"logit": np.array([-9.0], np.float32), "features": np.zeros((1, FEATURES), np.float32)}
    between = {**good, "logit": np.array([0.0], np.float32)}
    for outputs in ((good,), (between, good)):
        given_out = Seen(RAMP[0, 0] * 255, RAMP, outputs)
        decision = decide([CHILD], PAIR, given_out, site="harbour", today=TODAY, standing=NOTHING)
        assert decision.lane == "cleared"
        assert rightly(decision, CHILD, PAIR, outputs, TODAY, NOTHING, "harbour")


certificate_changes = st.dictionaries(
    st.sampled_from(sorted(a_certificate().model_dump(mode="json").keys() - {"signature", "schema_version"})),
    st.one_of(
        st.none(),
        st.integers(-3, 3),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["harbour", "lakeside", "2020-01-01", "2030-01-01", "0" * 64, "a" * 64]),
        st.just({}),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(certificate_changes, st.sampled_from([-9.0, 0.0, 9.0]))
def test_a_mutated_certificate_is_not_parsed_or_opens_nothing(changed: dict[str, Any], logit: float):
    """Changed on disk without its digest being made anew, which only a signature could vouch for."""
    told = a_certificate().model_dump(mode="json")
    if all(told[name] == value for name, value in changed.items()):
        return
    try:
        certificate = Certificate.model_validate_json(json.dumps({**told, **changed}))
    except ValidationError:
        return
    decision = judged(logit, model=dataclasses.replace(MODEL, certificates=(certificate,)))
    assert decision.lane == "escalated"
    assert codes(decision)[0].startswith(("certificate-", "no-certificate"))


# The checker can fail


BUGS: dict[str, dict[str, Any]] = {
    "certificate": {"why_invalid": lambda *_, **__: None},
    "the exits' companionship": {"stands_behind": lambda *_: True},
    "half lanes": {"_shrunk": lambda *_: False},
    "gates": {"_gated": lambda *_: ({}, ())},
    "what the plan gave to the first exit": {"_next_exit": lambda _, number, *__: number + 1 if number == 1 else None},
    "revocation": {"_why_invalid": lambda bench, certificate, _: None if certificate else "no-certificate"},
}


@pytest.mark.parametrize("bug", [*BUGS, "stopping", "applicability"])
def test_with_any_check_taken_out_the_property_fails(bug: str, monkeypatch: pytest.MonkeyPatch):
    for name, stand_in in BUGS.get(bug, {}).items():
        monkeypatch.setattr(rule, name, stand_in)
    if bug == "stopping":
        monkeypatch.setattr(Standing, "stops", lambda *_: False)
    if bug == "applicability":
        monkeypatch.setattr(Model, "why_not", lambda *_: None)
    searched = settings(
        max_examples=2000,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )(given(**LIKELY)(_holds))
    with pytest.raises(AssertionError):
        searched()


logits = st.sampled_from([-9.0, -3.0, -1.5, 0.0, 3.0]).map(lambda value: np.array([value], np.float32))
near_or_far = st.sampled_from([0.0, 5.0]).map(lambda value: np.full((1, FEATURES), value, np.float32))
LIKELY = {  # nearly right, so that two thousand draws hold each way of being nearly right
    **DRAWN,
    "instance": st.one_of(st.just(CHILD), st.just(CHILD), st.sampled_from(HEADERS)),
    "days": st.sampled_from([0, 0, 0, -400, 400]),
    "standing": st.one_of(
        st.just(NOTHING),
        st.just(NOTHING),
        st.just(Standing(revoked=frozenset((FIRST.digest, SHORT.digest)))),
        st.just(Standing(shrunk=frozenset((FIRST.digest, SHORT.digest)))),
        standings,
    ),
    "outputs": st.lists(st.fixed_dictionaries({"logit": logits, "features": near_or_far}), min_size=1, max_size=2),
}
