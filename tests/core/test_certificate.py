"""The certificate keeps its promise, and rules that only look like it do not."""

import json
import math
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import beta, binom

from appliance.core.certificate import (
    CERTIFICATE_REASONS,
    Certificate,
    Contract,
    Group,
    Plan,
    best_certificate,
    own_digest,
    why_invalid,
)
from appliance.core.certify import evidence, open_lanes
from appliance.core.learn_then_test import binomial_tail, chosen_films, films_needed, open_lane, upper_bound
from appliance.core.study import Instance, Patient

HARBOUR = Contract(false_omission_max=0.10, miss_max=0.10, false_discovery_max=0.15)
STARTS = (0, 1, 2)
TODAY = date(2027, 1, 1)
MODEL, GATES, PREPARATION = "a" * 64, "b" * 64, "c" * 64


def a_plan(delta: float = 0.05, attempt: int = 1) -> Plan:
    return Plan(
        contract=HARBOUR,
        delta=delta,
        attempt=attempt,
        starts=STARTS,
        film_choice="one a patient",
        model_sha256=MODEL,
        gates_digest=GATES,
        preparation_digest=PREPARATION,
    )


def an_instance(**changed: object) -> Instance:
    facts: dict[str, object] = {
        "study_instance_uid": "1.2.3",
        "series_instance_uid": "1.2.3.4",
        "sop_instance_uid": "1.2.3.4.5",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "sha256": "0" * 64,
        "bytes_count": 1000,
        "patient": Patient("1", "A^B", "", "", "", "", ""),
        "modality": "CR",
        "body_part_examined": "CHEST",
        "view_position": "AP",
        "patient_age": "004Y",
        "manufacturer": "Harbour Imaging",
        "manufacturer_model_name": "PX-224",
        "instance_number": 1,
        "images_in_acquisition": None,
        "number_of_frames": 1,
        "rows": 224,
        "columns": 224,
        "has_pixels": True,
    }
    return Instance(**{**facts, **changed})  # type: ignore[arg-type]


def a_certificate(**changed: object) -> Certificate:
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
        "plan": a_plan(),
        "plan_digest": a_plan().digest,
        "exit": 1,
        "scores_sha256": "d" * 64,
        "patients": 200,
        "findings": 100,
        "gated_out": 0,
        "clear_at_or_below": -2.0,
        "clear_at_or_below_half": -3.0,
        "flag_at_or_above": 2.0,
        "flag_at_or_above_half": 3.0,
        "cleared": {"films": 80, "errors": 0, "error_upper": 0.07, "findings": 100, "miss_upper": 0.05, "start": 0},
        "flagged": {"films": 80, "errors": 0, "error_upper": 0.07, "findings": 100, "miss_upper": None, "start": 0},
        "reference": {"logit": (-3.0, 0.0, 3.0)},
        "created": date(2026, 12, 1),
        "expires": date(2027, 3, 1),
        "digest": "0" * 64,
        **changed,
    }
    for end in ("clear_at_or_below", "flag_at_or_above"):
        if fields[end] is None:
            fields[f"{end}_half"] = None
    for lane in ("cleared", "flagged"):
        if isinstance(fields[lane], dict):
            fields[lane] = Certificate.model_fields[lane].annotation.__args__[0].model_validate(fields[lane])
    return Certificate.model_validate({**fields, "digest": own_digest(Certificate.model_validate(fields))})


def invalid(certificate: Certificate, **changed: object) -> str | None:
    asked: dict[str, object] = {
        "today": TODAY,
        "model_sha256": MODEL,
        "gates_digest": GATES,
        "preparation_digest": PREPARATION,
        "selection_sha256": None,
        "site": "harbour",
        "instance": an_instance(),
        **changed,
    }
    reason = why_invalid(certificate, **asked)  # type: ignore[arg-type]
    return None if reason is None else reason.code


# The arithmetic


@pytest.mark.parametrize("films", [1, 7, 46, 213, 5000])
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.15, 0.5])
def test_tail_agrees_with_scipy(films: int, rate: float):
    for errors in {0, 1, 2, films // 3, films - 1, films}:
        if errors <= films:
            assert binomial_tail(errors, films, rate) == pytest.approx(
                binom.cdf(errors, films, rate), rel=1e-9, abs=1e-300
            )


@pytest.mark.parametrize(("errors", "films"), [(0, 59), (1, 76), (3, 79), (40, 213), (9, 10)])
@pytest.mark.parametrize("delta", [0.05, 0.0042])
def test_upper_bound_agrees_with_scipy(errors: int, films: int, delta: float):
    assert upper_bound(errors, films, delta) == pytest.approx(beta.ppf(1 - delta, errors + 1, films - errors), abs=1e-9)


def test_upper_bound_of_all_wrong_or_none_drawn_is_one():
    assert upper_bound(5, 5, 0.05) == 1.0
    assert upper_bound(0, 0, 0.05) == 1.0


@pytest.mark.parametrize("errors", [0, 1, 2, 5])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.15])
def test_films_needed_is_the_smallest(errors: int, rate: float):
    films = films_needed(errors, rate, 0.01)
    assert binomial_tail(errors, films, rate) <= 0.01 < binomial_tail(errors, films - 1, rate)


def test_59_films_without_error_show_five_per_cent():
    assert films_needed(0, 0.05, 0.05) == 59


def test_one_film_a_patient_whatever_the_order():
    patients, films = ["p1", "p1", "p2", "p3", "p3", "p3"], [f"film{i}" for i in range(6)]
    chosen = {films[i] for i in chosen_films(patients, films)}
    mirrored = {films[::-1][i] for i in chosen_films(patients[::-1], films[::-1])}
    assert len(chosen) == 3
    assert chosen == mirrored


# One lane


def lane(
    safety: list[float], wrong: list[bool], *, starts: tuple[int, ...] = STARTS, delta: float = 0.005, **more: float
):
    return open_lane(
        np.array(safety, float),
        np.array(wrong, bool),
        rate_max=0.10,
        miss_max=more.get("miss_max"),
        starts=starts,
        delta=delta,
        short_of=more.get("short_of", math.inf),
    )


def test_clean_scores_open_the_lane_up_to_the_findings():
    found = lane([float(i) for i in range(200)], [i >= 100 for i in range(200)], miss_max=0.10)
    assert found is not None
    assert 100 <= found.films <= 110
    assert found.errors == found.films - 100
    assert found.threshold == found.films - 1


@pytest.mark.parametrize("place", [0, 10, 35, 50])
def test_one_mislabelled_film_does_not_close_the_lane(place: int):
    wrong = [i >= 100 or i == place for i in range(200)]
    found = lane([float(i) for i in range(200)], wrong, miss_max=0.10)
    assert found is not None
    assert found.films >= 95
    # With the one start that bears no error it would have closed: the planted film must really stand in its way.
    assert lane([float(i) for i in range(200)], wrong, miss_max=0.10, starts=(0,)) is None


def test_too_few_patients_open_nothing():
    needed = films_needed(0, 0.10, 0.005)
    assert lane([float(i) for i in range(needed - 1)], [False] * (needed - 1)) is None
    assert lane([float(i) for i in range(needed)], [False] * needed) is not None
    assert lane([], []) is None


def test_too_few_findings_cannot_promise_a_miss_rate():
    """30 findings, none cleared: P(no miss) at 10 % is 0.04, above what a sequence may spend."""
    scores = [float(i) for i in range(230)]
    assert lane(scores, [i >= 200 for i in range(230)], miss_max=0.10) is None
    assert lane(scores, [i >= 200 for i in range(230)]) is not None


def test_films_refused_by_a_gate_are_never_decided_but_count_as_findings():
    safety = [float(i) for i in range(100)] + [math.inf] * 100
    found = lane(safety, [False] * 100 + [True] * 100, miss_max=0.10)
    assert found is not None
    assert found.films == 100
    assert found.threshold == 99.0


def test_equal_scores_are_decided_alike():
    found = lane([0.0] * 60 + [1.0] * 60, [False] * 60 + [True] * 60)
    assert found is not None
    assert found.films == 60
    assert lane([0.0] * 120, [False] * 60 + [True] * 60) is None


def test_a_lane_cut_short_stays_short():
    found = lane([float(i) for i in range(200)], [False] * 200, short_of=80.0)
    assert found is not None
    assert found.threshold == 79.0


def test_scores_that_are_no_number_are_our_own_mistake():
    with pytest.raises(AssertionError):
        lane([math.nan] * 100, [False] * 100)


def test_lanes_never_overlap_even_where_both_could_have_all():
    """Every film's label is a coin's toss with a contract of 50 %: both lanes would take nearly everything."""
    plan = a_plan().model_copy(
        update={"contract": Contract(false_omission_max=0.5, miss_max=0.5, false_discovery_max=0.5)}
    )
    rng = np.random.default_rng(3)
    finding = rng.random(400) < 0.5
    logits = rng.normal(0, 1, 400) + 3.0 * finding
    [(clear, flag)] = open_lanes(logits, finding, np.ones(400, bool), plan)
    assert clear is not None
    assert flag is not None
    assert clear.threshold < flag.threshold
    assert clear.films + flag.films == 400


def test_later_attempts_spend_less_and_all_together_no_more_than_delta():
    spent = [2 * len(STARTS) * a_plan(attempt=j).delta_sequence for j in range(1, 101)]
    assert all(later < earlier for earlier, later in pairwise(spent))
    assert sum(spent) < 0.05


# The promise, by simulation: 213 patients, normal scores, truth by the error function


def phi(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def draw(rng: np.random.Generator, n: int, prevalence: float, distance: float) -> tuple[np.ndarray, np.ndarray]:
    finding = rng.random(n) < prevalence
    return rng.standard_normal(n) + distance * finding, finding


def broken(clear: float | None, flag: float | None, prevalence: float, distance: float) -> bool:
    """Whether thresholds break the contract in truth, not on the sample."""
    bad = False
    if clear is not None:
        sick, well = phi(clear - distance), phi(clear)
        cleared = prevalence * sick + (1 - prevalence) * well
        bad |= sick > HARBOUR.miss_max or prevalence * sick / cleared > HARBOUR.false_omission_max
    if flag is not None:
        sick, well = 1 - phi(flag - distance), 1 - phi(flag)
        flagged = prevalence * sick + (1 - prevalence) * well
        bad |= (1 - prevalence) * well / flagged > HARBOUR.false_discovery_max
    return bad


def plug_in(scores: np.ndarray, finding: np.ndarray) -> float | None:
    """What most code does: the largest threshold whose rates on the sample keep the contract."""
    order = np.argsort(scores)
    errors = np.cumsum(finding[order])
    for films in range(len(scores), 0, -1):
        k = errors[films - 1]
        if k / films <= HARBOUR.false_omission_max and k / finding.sum() <= HARBOUR.miss_max:
            return float(scores[order][films - 1])
    return None


def peeking(scores: np.ndarray, finding: np.ndarray, delta: float) -> float | None:
    """The same tests in an order bent by the labels: every threshold is tried, the farthest that passes is taken."""
    order = np.argsort(scores)
    errors = np.cumsum(finding[order])
    passing = [
        films
        for films in range(1, len(scores) + 1)
        if binomial_tail(int(errors[films - 1]), films, HARBOUR.false_omission_max) <= delta
    ]
    return float(scores[order][passing[-1] - 1]) if passing else None


@pytest.mark.parametrize(("prevalence", "distance"), [(0.47, 2.8), (0.30, 2.3), (0.20, 1.2)])
def test_promise_is_broken_in_at_most_delta_of_draws(prevalence: float, distance: float):
    rng = np.random.default_rng(11)
    plan = a_plan(delta=0.20)  # a weak promise is the harder test: at 5 % nearly nothing would ever be broken
    draws, bad, bad_plug_in, opened = 150, 0, 0, 0
    for _ in range(draws):
        scores, finding = draw(rng, 213, prevalence, distance)
        [(clear, flag)] = open_lanes(scores, finding, np.ones(len(scores), bool), plan)
        opened += clear is not None or flag is not None
        thresholds = (None if clear is None else clear.threshold, None if flag is None else flag.threshold)
        bad += broken(*thresholds, prevalence, distance)
        bad_plug_in += broken(plug_in(scores, finding), None, prevalence, distance)
    assert bad <= plan.delta / 2 * draws  # attempt 1 may spend half of delta
    assert bad_plug_in > 0.25 * draws
    assert opened > 0 or distance < 2


@pytest.mark.parametrize(("prevalence", "distance"), [(0.47, 2.8), (0.20, 1.2)])
def test_at_the_product_s_delta_the_promise_is_broken_in_at_most_5_per_cent_of_draws(
    prevalence: float, distance: float
):
    rng = np.random.default_rng(13)
    draws, bad, bad_plug_in = 400, 0, 0
    for _ in range(draws):
        scores, finding = draw(rng, 213, prevalence, distance)
        [(clear, flag)] = open_lanes(scores, finding, np.ones(len(scores), bool), a_plan())
        thresholds = (None if clear is None else clear.threshold, None if flag is None else flag.threshold)
        bad += broken(*thresholds, prevalence, distance)
        bad_plug_in += broken(plug_in(scores, finding), None, prevalence, distance)
    assert bad <= binom.ppf(0.999, draws, 0.05)
    assert bad_plug_in >= 5 * max(bad, 0.05 * draws)


def test_where_nothing_may_be_promised_the_test_holds_and_peeking_does_not():
    """Scores that mean nothing at a prevalence just above the target: every open lane breaks the promise."""
    rng = np.random.default_rng(12)
    draws, delta, opened, peeked = 300, 0.05, 0, 0
    for _ in range(draws):
        scores, finding = rng.standard_normal(400), rng.random(400) < 0.101
        kept = open_lane(
            scores, finding, rate_max=0.10, miss_max=None, starts=STARTS, delta=delta / 3, short_of=math.inf
        )
        opened += kept is not None
        peeked += peeking(scores, finding, delta) is not None
    assert opened <= delta * draws + 3 * math.sqrt(delta * draws)
    assert peeked > 2 * delta * draws


# The paper


def test_valid_for_its_own_site_group_and_model():
    assert invalid(a_certificate()) is None


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"today": date(2027, 3, 2)}, "certificate-expired"),
        ({"today": date(2026, 11, 30)}, "certificate-not-yet-valid"),
        ({"model_sha256": "e" * 64}, "certificate-other-model"),
        ({"gates_digest": "e" * 64}, "certificate-other-model"),
        ({"preparation_digest": "e" * 64}, "certificate-other-model"),
        ({"site": "lakeside"}, "certificate-other-site"),
        ({"instance": an_instance(manufacturer="Harbor Imaging")}, "certificate-other-group"),
        ({"instance": an_instance(manufacturer_model_name="")}, "certificate-other-group"),
        ({"instance": an_instance(modality="DX")}, "certificate-other-group"),
        ({"instance": an_instance(body_part_examined="ABDOMEN")}, "certificate-other-group"),
        ({"instance": an_instance(patient_age="006Y")}, "certificate-other-group"),
        ({"instance": an_instance(patient_age="")}, "certificate-other-group"),
    ],
)
def test_each_change_makes_it_void(changed: dict[str, object], code: str):
    assert invalid(a_certificate(), **changed) == code
    assert code in CERTIFICATE_REASONS


def test_first_and_last_day_count():
    certificate = a_certificate()
    assert invalid(certificate, today=certificate.created) is None
    assert invalid(certificate, today=certificate.expires) is None
    assert invalid(certificate, today=certificate.expires + timedelta(days=1)) == "certificate-expired"


@pytest.mark.parametrize(
    "forged",
    [{"clear_at_or_below": 1.9}, {"expires": date(2099, 1, 1)}, {"site": "lakeside"}, {"plan": a_plan(attempt=2)}],
)
def test_a_changed_field_no_longer_matches_the_digest(forged: dict[str, object]):
    certificate = a_certificate().model_copy(update=forged)
    assert invalid(certificate, site=certificate.site) == "certificate-damaged"


def test_a_plan_exchanged_with_a_new_outer_digest_is_noticed():
    certificate = a_certificate(plan=a_plan(attempt=2))
    assert invalid(certificate) == "certificate-damaged"


@pytest.mark.parametrize(
    "changed",
    [
        {"clear_at_or_below": 2.0},
        {"clear_at_or_below": None},
        {"flag_at_or_above": None},
        {"cleared": None},
        {"flag_at_or_above": math.inf},
        {"site": "Harbour"},
        {"patients": -1},
        {"stranger": 1},
    ],
)
def test_contradictions_are_not_parsed(changed: dict[str, object]):
    with pytest.raises(ValidationError):
        a_certificate(**changed)


def test_it_survives_json_and_refuses_looser_types():
    told = a_certificate().model_dump(mode="json")
    assert invalid(Certificate.model_validate_json(json.dumps(told))) is None
    with pytest.raises(ValidationError):
        Certificate.model_validate_json(json.dumps({**told, "clear_at_or_below": "-2.0"}))


def test_nearest_certificate_first():
    here = a_certificate(name="here")
    other_group = a_certificate(name="other-group", group=here.group.model_copy(update={"modality": "DX"}))
    elsewhere = a_certificate(name="elsewhere", site="lakeside", created=date(2026, 12, 30))
    older = a_certificate(name="older", created=date(2026, 1, 1))
    found = best_certificate([elsewhere, older, other_group, here], site="harbour", instance=an_instance())
    assert found is here
    assert best_certificate([elsewhere, other_group], site="harbour", instance=an_instance()) is other_group
    assert best_certificate([elsewhere], site="harbour", instance=an_instance()) is elsewhere
    assert best_certificate([], site="harbour", instance=an_instance()) is None


def test_printed_evidence_keeps_the_contract():
    rng = np.random.default_rng(4)
    scores, finding = draw(rng, 213, 0.47, 3.2)
    plan = a_plan()
    [(clear, flag)] = open_lanes(scores, finding, np.ones(213, bool), plan)
    told = evidence(clear, int(finding.sum()), plan.delta_sequence, misses=True)
    assert told is not None
    assert told.error_upper <= HARBOUR.false_omission_max
    assert told.miss_upper is not None
    assert told.miss_upper <= HARBOUR.miss_max
    flagged = evidence(flag, int(finding.sum()), plan.delta_sequence, misses=False)
    assert flagged is not None
    assert flagged.error_upper <= HARBOUR.false_discovery_max
    assert evidence(None, 0, plan.delta_sequence, misses=True) is None
