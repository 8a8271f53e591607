"""The last table: what the certificate promises beside what was counted, each with its exact interval."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from scipy.stats import beta

from appliance.cli.up import lay_out
from appliance.config import Places, load
from appliance.core.certificate import PRODUCT_CONTRACT, Contract
from sample_dicom.account import Account, Line
from sample_dicom.promise import certificates_of, counted, rates, sentences
from sample_dicom.scanner import Story
from tests.core.test_certificate import a_certificate, a_plan

STORY = Story("1.2.3", (), "a film", "pneumonia", "decided")
LINE = Line(STORY, 1, "answered", "cleared", "", "", True)
WELL = replace(LINE, story=replace(STORY, truth="normal"))
MANY = (
    *[LINE] * 1,
    *[WELL] * 9,
    *[replace(LINE, lane="flagged")] * 6,
    *[replace(WELL, lane="flagged")] * 2,
    *[replace(LINE, lane="escalated")] * 3,
    *[replace(WELL, lane="quarantined")] * 1,
    replace(LINE, story=replace(STORY, truth=None)),
    replace(LINE, story=replace(STORY, expect="escalated")),
    replace(LINE, ended=False),
)


def test_each_rate_stands_beside_its_promise() -> None:
    certificate = a_certificate(plan=a_plan(), plan_digest=a_plan().digest)
    contract = certificate.plan.contract
    told = rates(Account(MANY, {}, {}), certificate)
    assert [rate.promised for rate in told] == [
        f"at most {100 * contract.false_omission_max:g} %",
        f"at most {100 * contract.miss_max:g} %",
        f"at most {100 * contract.false_discovery_max:g} %",
        "-",
    ]
    assert [rate.counted.split(":")[0] for rate in told] == ["1 of 10", "1 of 10", "2 of 8", "18 of 22"]
    low, high = (100 * round(bound, 4) for bound in (beta.ppf(0.025, 1, 10), beta.ppf(0.975, 2, 9)))
    assert told[0].counted == f"1 of 10: 10.0 % (95 % interval {low:.1f} to {high:.1f} %)"


def test_where_nothing_is_known_nothing_is_told() -> None:
    assert rates(Account(MANY[-3:], {}, {}), None) == []
    assert counted({"count": 0, "n": 0, "rate": None, "ci95": None}) == "none"
    assert sentences("synthetic", None, []) == []


def test_a_site_without_a_certificate_is_promised_nothing() -> None:
    told = rates(Account((replace(LINE, lane="escalated"),), {}, {}), None)
    assert {rate.promised for rate in told} == {"-"}
    (said,) = sentences("synthetic", None, told)
    assert "everything of it is escalated" in said


@pytest.mark.parametrize(
    "contract", [PRODUCT_CONTRACT, Contract(false_omission_max=0.1, miss_max=0.1, false_discovery_max=0.15)]
)
def test_another_contract_than_the_product_s_is_called_so(contract: Contract) -> None:
    plan = a_plan().model_copy(update={"contract": contract})
    certificate = a_certificate(plan=plan, plan_digest=plan.digest)
    (said,) = sentences("synthetic", certificate, rates(Account(MANY, {}, {}), certificate))
    assert "for patients like its own (200 patients, 50% with the finding)" in said
    assert ("not the product's contract of 1 / 5 / 10 %" in said) == (contract != PRODUCT_CONTRACT)


def test_a_site_s_certificates_come_by_exit_and_an_old_one_not_at_all(tmp_path: Path) -> None:
    config = load(lay_out(tmp_path, site={"name": "harbour"}))
    places, created = Places(config.state.folder), date(2026, 12, 1)
    found = certificates_of(config, places, created)
    assert {each.site for each in found} == {"harbour"}
    assert [each.exit for each in found] == sorted(each.exit for each in found)
    assert certificates_of(config, places, max(each.expires for each in found) + timedelta(days=1)) == []


def test_a_site_that_nobody_certified_has_none(tmp_path: Path) -> None:
    config = load(lay_out(tmp_path, site={"name": "nobody-s"}))
    assert certificates_of(config, Places(config.state.folder), date(2026, 12, 1)) == []
