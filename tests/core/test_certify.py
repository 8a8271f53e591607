"""From scores and labels to certificates: two exits as one path, what is missing, no lane by what is no number."""

import json
import math
from datetime import date
from xml.etree import ElementTree

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import binom

from appliance.config import Config
from appliance.core import signature
from appliance.core.certificate import (
    PRODUCT_CONTRACT,
    Certificate,
    Contract,
    Ends,
    Group,
    Plan,
    contract_words,
    own_digest,
    signed,
    stands_behind,
    vouched,
)
from appliance.core.certify import (
    STARTS,
    Sample,
    Scored,
    certificates,
    label_free,
    lane_path,
    open_lanes,
    sample_of,
)
from appliance.core.learn_then_test import FILMS_MAX, errors_allowed, films_needed
from appliance.core.plot import Line, Panel, svg
from appliance.core.risk_coverage import (
    by_prevalence,
    contract_figures,
    cross_fitted,
    curve,
    ends_of,
    need,
    proportion,
    said,
)

WEAK = Contract(false_omission_max=0.10, miss_max=0.10, false_discovery_max=0.15)
ENDS = Ends(clear_at_or_below=-0.4, flag_at_or_above=2.6)
GROUP = Group(
    manufacturer="Harbour Imaging",
    manufacturer_model_name="PX-224",
    modality="CR",
    body_part_examined="CHEST",
    patient_age_years_min=None,
    patient_age_years_max=None,
)
KEY = bytes(range(32))


def a_plan(exit_1: Ends | None = None, *, delta: float = 0.05, contract: Contract = WEAK) -> Plan:
    return Plan(
        contract=contract,
        delta=delta,
        attempt=1,
        starts=STARTS,
        film_choice="one a patient",
        model_sha256="a" * 64,
        gates_digest="b" * 64,
        preparation_digest="c" * 64,
        exit_1=exit_1,
    )


def draw(rng: np.random.Generator, n: int, prevalence: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Scores [exit, patient] of a weak first and a strong second exit that share some of their noise, and the truth."""
    finding = rng.random(n) < prevalence
    shared = rng.standard_normal(n)
    first = 2.0 * finding + 0.8 * shared + 0.6 * rng.standard_normal(n)
    second = 3.2 * finding + 0.8 * shared + 0.6 * rng.standard_normal(n)
    return np.stack([first, second]), finding


def a_sample(scores: np.ndarray, passed: np.ndarray | None = None) -> Sample:
    scores = np.atleast_2d(scores)
    count = scores.shape[1]
    films = [
        Scored(
            film=f"film-{i:05d}",
            patient=f"patient-{i}",
            logits=tuple(scores[:, i].tolist()),
            passed=tuple(True for _ in scores) if passed is None else tuple(np.atleast_2d(passed)[:, i].tolist()),
            measures={"sharpness": 0.5 + i / count},
        )
        for i in range(count)
    ]
    return sample_of(films, len(scores))


def made(scores: np.ndarray, finding: np.ndarray, plan: Plan) -> list[Certificate]:
    details = {"name": "harbour/1", "note": "drawn", "site": "harbour", "group": GROUP}
    return certificates(a_sample(scores), finding, plan, created=date(2026, 12, 1), days=90, **details)  # type: ignore[arg-type]


# Two exits are one path


def test_the_path_leads_through_the_first_exit():
    towards = np.array([[-3.0, -2.0, 0.0, 1.0, 5.0, -2.5, np.nan], [9.0, 9.0, 2.0, -7.0, -9.0, 0.5, -9.0]])
    passed = np.ones(towards.shape, bool)
    passed[0, 5] = False  # the first exit's gates refuse it, so the second one is asked
    way = lane_path(towards, passed, end=-1.0, other=4.0)
    assert way.place.tolist() == [0, 1, 4, 2, math.inf, 3, math.inf]
    assert way.block.tolist() == [0, 0, 1, 1, -1, 1, -1]


def test_one_exit_is_a_path_of_one_block():
    way = lane_path(np.array([[2.0, 1.0, 2.0, math.inf]]), np.ones((1, 4), bool), end=None, other=None)
    assert way.place.tolist() == [1, 0, 1, math.inf]


def test_a_second_exit_decides_more_and_counts_the_first_one_s_films():
    scores, finding = draw(np.random.default_rng(30), 900)
    first, second = open_lanes(scores, finding, np.ones(scores.shape, bool), a_plan(ENDS))
    assert first.clear is not None
    assert second.clear is not None
    assert first.clear.threshold == ENDS.clear_at_or_below
    assert second.clear.films > first.clear.films
    assert second.clear.errors >= first.clear.errors
    decided = [said(scores[:k], np.ones((k, 900), bool), list(map(ends_of, (first, second)[:k]))) for k in (1, 2)]
    assert (decided[0] == "cleared").sum() == first.clear.films
    assert (decided[1] == "cleared").sum() == second.clear.films
    assert (decided[1] != "escalated").sum() > (decided[0] != "escalated").sum()


def test_a_second_exit_stays_closed_behind_a_first_one_that_does_not_hold():
    scores, finding = draw(np.random.default_rng(31), 900)
    wide = Ends(clear_at_or_below=1.5, flag_at_or_above=2.6)  # the first exit would clear far too much
    first, second = open_lanes(scores, finding, np.ones(scores.shape, bool), a_plan(wide))
    assert first.clear is None or first.clear.threshold < 1.5
    assert second.clear is None
    assert second.flag is not None


def test_a_first_exit_that_decides_nothing_leaves_all_to_the_second():
    scores, finding = draw(np.random.default_rng(32), 900)
    nothing = Ends(clear_at_or_below=None, flag_at_or_above=None)
    first, second = open_lanes(scores, finding, np.ones(scores.shape, bool), a_plan(nothing))
    [alone] = open_lanes(scores[1], finding, np.ones(900, bool), a_plan())
    assert first == (None, None)
    assert second == alone


def test_two_exits_keep_the_promise_together_and_the_plug_in_rule_does_not():
    """Truth by 200,000 films of the same kind; attempt 1 spends half of delta; the slack is an exact binomial one."""
    rng = np.random.default_rng(33)
    truth_scores, truth = draw(rng, 200_000)
    everyone = np.ones(truth_scores.shape, bool)

    def broken(ends: list[Ends]) -> bool:
        lanes = said(truth_scores, everyone, ends)
        cleared, flagged = lanes == "cleared", lanes == "flagged"
        rates = (
            (truth[cleared].mean() if cleared.any() else 0.0, WEAK.false_omission_max),
            (cleared[truth].mean(), WEAK.miss_max),
            ((~truth[flagged]).mean() if flagged.any() else 0.0, WEAK.false_discovery_max),
        )
        return any(rate > bound for rate, bound in rates)

    draws, bad, bad_plug_in, opened = 120, 0, 0, 0
    for _ in range(draws):
        scores, finding = draw(rng, 300)
        lanes = open_lanes(scores, finding, np.ones(scores.shape, bool), a_plan(ENDS, delta=0.20))
        opened += lanes[1].clear is not None
        bad += broken([ends_of(each) for each in lanes])
        inside = scores[0] <= -0.4
        left = ~inside & (scores[0] < 2.6)
        order = np.argsort(scores[1][left])
        before, errors = int(inside.sum()), int(finding[inside].sum())
        upto = errors + np.cumsum(finding[left][order])
        fits = (upto / (before + 1 + np.arange(len(order))) <= 0.10) & (upto / finding.sum() <= 0.10)
        last = scores[1][left][order][np.flatnonzero(fits)[-1]] if fits.any() else None
        bad_plug_in += broken([ENDS, Ends(clear_at_or_below=last, flag_at_or_above=None)])
    assert opened > draws / 2
    assert bad <= binom.ppf(0.999, draws, 0.10)
    assert bad_plug_in > 0.3 * draws


def test_certificates_of_two_exits_stand_together_or_not_at_all():
    scores, finding = draw(np.random.default_rng(34), 900)
    first, second = made(scores, finding, a_plan(ENDS))
    assert (first.exit, second.exit) == (1, 2)
    assert first.plan_digest == second.plan_digest
    assert second.opens
    assert stands_behind(first, second)
    assert not stands_behind(None, second)
    assert not stands_behind(second, second)
    other = made(scores[:, ::-1], finding[::-1], a_plan(ENDS))[0]
    assert not stands_behind(other, second)
    assert second.clear_at_or_below_half is None, "under a warning only the first exit goes on"
    assert first.clear_at_or_below_half is not None
    with pytest.raises(ValidationError):
        Certificate.model_validate({**dict(second), "plan": a_plan(), "plan_digest": a_plan().digest})


# What is no number opens nothing


NOTHING = np.zeros(0)


@pytest.mark.parametrize(
    ("scores", "finding"),
    [
        (np.full(400, np.nan), np.arange(400) % 2 == 0),
        (np.full(400, np.inf), np.arange(400) % 2 == 0),
        (np.full(400, -np.inf), np.arange(400) % 2 == 0),
        (np.zeros(400), np.arange(400) % 2 == 0),
        (NOTHING, NOTHING.astype(bool)),
        (np.zeros(1), np.zeros(1, bool)),
    ],
    ids=["NaN", "inf", "-inf", "all alike", "nobody", "one"],
)
def test_no_lane_opens_on_nothing(scores: np.ndarray, finding: np.ndarray):
    assert open_lanes(scores, finding, np.ones(len(scores), bool), a_plan()) == [(None, None)]
    [certificate] = made(scores, finding, a_plan())
    assert not certificate.opens
    assert said(scores, np.ones(len(scores), bool), [Ends(clear_at_or_below=None, flag_at_or_above=None)]).tolist() == [
        "escalated"
    ] * len(scores)


def test_without_a_finding_nothing_is_cleared_and_with_nothing_but_findings_only_flagged():
    scores = np.arange(400.0)
    [(clear, flag)] = open_lanes(scores, np.zeros(400, bool), np.ones(400, bool), a_plan())
    assert (clear, flag) == (None, None)
    [(clear, flag)] = open_lanes(scores, np.ones(400, bool), np.ones(400, bool), a_plan())
    assert clear is None
    assert flag is not None


def test_scores_that_are_no_number_are_never_decided_and_still_count_as_findings():
    rng = np.random.default_rng(35)
    scores, finding = draw(rng, 600)
    odd = scores[1].copy()
    odd[:40], finding[:40] = np.nan, True
    [(clear, _)] = open_lanes(odd, finding, np.ones(600, bool), a_plan())
    [certificate] = made(odd, finding, a_plan())
    assert clear is not None
    assert certificate.findings == finding.sum()
    lanes = said(odd, np.ones(600, bool), [Ends(clear_at_or_below=1e9, flag_at_or_above=None)])
    assert (lanes[:40] == "escalated").all()


def test_a_limit_that_no_number_of_films_meets():
    assert films_needed(0, 1e-7, 0.01) == FILMS_MAX + 1
    assert errors_allowed(0, 0.1, 0.01) == -1
    assert errors_allowed(30, 0.10, 0.01) == -1
    assert errors_allowed(100, 0.10, 0.01) == binom.ppf(0.01, 100, 0.10) - 1


# The paper


@pytest.fixture(scope="module")
def paper() -> Certificate:
    scores, finding = draw(np.random.default_rng(36), 300)
    [certificate] = made(scores[1], finding, a_plan())
    assert certificate.opens
    reference = {"logit": certificate.reference["logit"][:6]}  # short, so that every byte can be tried
    short = certificate.model_copy(update={"reference": reference})
    return signed(short.model_copy(update={"digest": own_digest(short)}), KEY)


def trusted() -> dict[str, bytes]:
    public = signature.public_of(KEY)
    return {signature.key_id(public): public}


def test_a_certificate_is_vouched_for_by_its_key_alone(paper: Certificate):
    assert vouched(paper, trusted())
    assert vouched(Certificate.model_validate_json(paper.model_dump_json()), trusted())
    assert not vouched(paper, {})
    assert not vouched(paper.model_copy(update={"signature": None}), trusted())
    other = signature.public_of(bytes(32))
    assert not vouched(paper, {signature.key_id(other): other})
    assert not vouched(signed(paper, bytes(32)), trusted())
    assert own_digest(signed(paper, bytes(32))) == paper.digest


def test_no_byte_of_a_certificate_can_be_changed(paper: Certificate):
    """Every byte of the signed file, each with one bit changed: what is read says the same or is not vouched for."""
    data = json.dumps(paper.model_dump(mode="json"), indent=2).encode()
    keys, refused = trusted(), 0
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            found = Certificate.model_validate_json(changed)
        except ValidationError:
            refused += 1
            continue
        if vouched(found, keys):
            assert found == paper, f"byte {place}"
        else:
            refused += 1
    assert refused > 0.7 * len(data)  # the rest are blanks between words


@pytest.mark.parametrize(
    "changed",
    [
        {"clear_at_or_below_half": 50.0},
        {"flag_at_or_above_half": -50.0},
        {"reference": {"logit": (2.0, 1.0)}},
        {"reference": {"logit": tuple(map(float, range(513)))}},
        {"reference": {"logit": (math.nan,)}},
        {"exit": 3},
        {"exit": 2},
        {"expires": date(2020, 1, 1)},
        {"findings": -1},
    ],
)
def test_papers_that_contradict_themselves_are_not_read(paper: Certificate, changed: dict[str, object]):
    with pytest.raises(ValidationError):
        Certificate.model_validate({**dict(paper), **changed})


def test_half_of_a_lane_holds_half_of_its_films():
    scores, finding = draw(np.random.default_rng(37), 600)
    [certificate] = made(scores[1], finding, a_plan())
    assert certificate.cleared is not None
    assert certificate.flagged is not None
    assert certificate.clear_at_or_below_half is not None
    assert certificate.flag_at_or_above_half is not None
    cleared = (scores[1] <= certificate.clear_at_or_below_half).sum()
    flagged = (scores[1] >= certificate.flag_at_or_above_half).sum()
    assert cleared == (certificate.cleared.films + 1) // 2
    assert flagged == (certificate.flagged.films + 1) // 2


def test_the_reference_bears_no_label_and_no_order_of_patients():
    scores, _ = draw(np.random.default_rng(38), 900)
    scores[1, 5] = np.nan
    reference = label_free(a_sample(scores), 2)
    assert set(reference) == {"logit", "sharpness"}
    assert all(list(values) == sorted(values) and len(values) <= 512 for values in reference.values())
    shuffled = np.random.default_rng(1).permutation(900)
    sample = a_sample(scores)
    again = sample_of(
        [
            Scored(sample.films[i], str(i), tuple(sample.scores[:, i]), (True, True), {"sharpness": 0.5 + i / 900})
            for i in shuffled
        ],
        2,
    )
    assert label_free(again, 2) == reference


def test_one_film_a_patient_whatever_the_order():
    films = [Scored(f"f{i}", f"p{i // 3}", (float(i),), (True,), {}) for i in range(30)]
    sample = sample_of(films)
    assert len(sample.films) == 10
    assert sample_of(films[::-1]).patients_sha256 == sample.patients_sha256
    assert sample_of(films[3:]).patients_sha256 != sample.patients_sha256


def test_a_contract_that_is_not_the_product_s_says_so():
    assert "not the product's contract of 1 / 5 / 10 %" in contract_words(WEAK, 0.05)
    assert "not the product's" not in contract_words(PRODUCT_CONTRACT, 0.05)
    knobs = Config().certificate
    assert (knobs.false_omission_max, knobs.miss_max, knobs.false_discovery_max) == (0.01, 0.05, 0.10)
    assert tuple(PRODUCT_CONTRACT.model_dump().values()) == (0.01, 0.05, 0.10)
    assert (knobs.delta_max, knobs.lasts_days) == (0.05, 90)


# What is told beside it


def test_the_curve_ends_where_every_film_is_decided_and_its_bounds_bound():
    scores, finding = draw(np.random.default_rng(39), 900)
    passed = np.ones(900, bool)
    passed[:9] = False
    points = curve(scores[1], finding, passed, a_plan(), "cleared")
    assert 2 < len(points) <= 200
    assert points[-1].films == 891
    assert points[-1].coverage == pytest.approx(0.99)
    assert all(p.error <= p.error_upper <= 1 and p.miss <= p.miss_upper <= 1 for p in points)
    assert curve(scores[1][:0], finding[:0], passed[:0], a_plan(), "flagged") == []


def test_a_lane_that_stays_closed_says_how_many_more_would_open_it():
    """213 patients carry no 1 / 5 / 10 %; as many more as are asked for, of the same kind, do."""
    rng = np.random.default_rng(40)
    scores, finding = draw(rng, 213, 0.3)
    plan = a_plan(contract=PRODUCT_CONTRACT)
    everyone = np.ones(213, bool)
    [(clear, _)] = open_lanes(scores[1], finding, everyone, plan)
    told = need(scores[1], finding, everyone, plan, "cleared")
    assert clear is None
    assert told.films_least == films_needed(0, 0.01, plan.delta_sequence)
    assert told.findings_least == films_needed(0, 0.05, plan.delta_sequence)
    assert told.findings_more is not None
    assert told.others_more is not None
    assert 300 < told.findings_more + told.others_more < 20_000
    total = 213 + 2 * (told.findings_more + told.others_more)
    more_scores, more_finding = draw(rng, total, 0.3)
    [(clear, _)] = open_lanes(more_scores[1], more_finding, np.ones(total, bool), plan)
    assert clear is not None


def test_a_first_exit_that_decides_too_few_is_told_how_many_it_needs():
    scores, finding = draw(np.random.default_rng(44), 300)
    few = Ends(clear_at_or_below=float(np.sort(scores[0])[11]), flag_at_or_above=None)
    everyone = np.ones(scores.shape, bool)
    first, second = open_lanes(scores, finding, everyone, a_plan(few))
    assert first.clear is None
    assert second.clear is None
    assert second.flag is not None
    told = need(scores, finding, everyone, a_plan(few), "cleared")
    assert told.others_more is not None
    assert told.findings_more is not None
    assert told.findings_more + told.others_more > 300 * (told.films_least / 12 - 1.1)


def test_scores_that_mean_nothing_are_told_that_no_number_would_do():
    rng = np.random.default_rng(41)
    finding = rng.random(400) < 0.5
    finding[:20] = True
    told = need(np.arange(400.0), finding, np.ones(400, bool), a_plan(contract=PRODUCT_CONTRACT), "cleared")
    assert (told.findings_more, told.others_more) == (None, None)
    assert need(np.full(9, np.nan), np.ones(9, bool), np.ones(9, bool), a_plan(), "flagged").others_more is None


def test_other_prevalences_agree_with_this_one_and_spare_empty_lanes():
    scores, finding = draw(np.random.default_rng(42), 2000, 0.3)
    ends = Ends(clear_at_or_below=0.5, flag_at_or_above=2.5)
    lanes = said(scores[1], np.ones(2000, bool), [ends])
    table = {row["prevalence"]: row for row in by_prevalence(lanes, finding)}
    figures = contract_figures(lanes, finding)
    assert table[0.30]["false_omission"] == pytest.approx(figures["false_omission"]["rate"], abs=0.01)
    assert table[0.30]["false_discovery"] == pytest.approx(figures["false_discovery"]["rate"], abs=0.02)
    assert list(table) == [0.02, 0.05, 0.10, 0.20, 0.30, 0.45, 0.60]
    closed = by_prevalence(np.full(2000, "escalated"), finding)
    assert all(row["false_omission"] is None and row["decided"] == 0 for row in closed)
    assert by_prevalence(lanes, np.zeros(2000, bool)) == []
    assert proportion(0, 0)["rate"] is None


def test_cross_fits_judge_the_procedure_through_both_exits():
    scores, finding = draw(np.random.default_rng(43), 600)
    passed = np.ones(scores.shape, bool)
    both = cross_fitted(scores, finding, passed, a_plan(ENDS), 5, repeats=3)
    again = cross_fitted(scores, finding, passed, a_plan(ENDS), 5, repeats=3)
    alone = cross_fitted(scores[0], finding, passed[0], a_plan(), 5, repeats=3)
    assert both == again
    assert both["mean"]["false_omission"] < 0.10
    assert both["mean"]["miss"] < 0.10
    assert both["mean"]["decided"] > alone["mean"]["decided"]


def test_the_picture_is_whole_and_names_are_escaped():
    line = Line("a < b & c", ((0.0, 0.1), (0.5, 0.02), (1.0, 3.0)), "#00c", "dashed")
    text = svg("<contract>", [Panel("one", "share", (line,), (line,), (0.7, "here")), Panel("none", "share", ())])
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    assert "&lt;contract&gt;" in text
    assert text == svg(
        "<contract>", [Panel("one", "share", (line,), (line,), (0.7, "here")), Panel("none", "share", ())]
    )
    assert "script" not in text
