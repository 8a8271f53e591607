"""What the site's certificate promises, beside what became of the films whose truth is known.

The films are few and the promise is about rates, so that an interval says how little a count shows. It proves nothing
and decides nothing; where no certificate speaks for the site it says so, and then everything of it is escalated.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from appliance.config import Config, Places
from appliance.core.certificate import PRODUCT_CONTRACT, Certificate, Contract
from appliance.core.risk_coverage import contract_figures
from appliance.world.models import load_packages
from sample_dicom.account import Account


class Rate(NamedTuple):
    """One line of the contract: its name, what is promised, and what was counted, in words."""

    what: str
    promised: str
    counted: str


RATES = (  # key of contract_figures, what it is, and the contract's own field
    ("false_omission", "with the finding, among the cleared (FOR)", "false_omission_max"),
    ("miss", "cleared, among those with the finding (MISS)", "miss_max"),
    ("false_discovery", "without the finding, among the flagged (FDR)", "false_discovery_max"),
    ("decided", "decided here, among all of them", None),
)


def certificates_of(config: Config, places: Places, today: date) -> list[Certificate]:
    """The site's valid certificates in the newest sound version of a model, by exit: the last one speaks for all."""
    folders = [config.triage.model_folder, places.models]
    packages, _ = load_packages(folders, config.triage.trusted_keys, places.certificates)
    seen: set[str] = set()
    for package in packages:
        name = package.model.manifest.name
        own = [each for each in package.model.certificates if each.site == config.site.name and each.expires >= today]
        if name not in seen and own:
            return sorted(own, key=lambda each: each.exit)
        seen.add(name)
    return []


def rates(account: Account, certificate: Certificate | None) -> list[Rate]:
    """Of the site's own films that are at their end: [] where none of them has a known truth."""
    films = [line for line in account.lines if line.ended and line.story.expect == "decided" and line.story.truth]
    if not films:
        return []
    lanes = np.array([line.lane for line in films])
    figures = contract_figures(lanes, np.array([line.story.truth == "pneumonia" for line in films]))
    contract = None if certificate is None else certificate.plan.contract
    bounds = {field: "-" if field is None or contract is None else most(contract, field) for _, _, field in RATES}
    return [Rate(what, bounds[field], counted(figures[key])) for key, what, field in RATES]


def most(contract: Contract, field: str) -> str:
    return f"at most {100 * getattr(contract, field):g} %"


def counted(figure: dict[str, Any]) -> str:
    """`1 of 20: 5.0 % (95 % interval 0.1 to 24.9 %)`, exact by Clopper and Pearson."""
    if figure["n"] == 0:
        return "none"
    low, high = (100 * bound for bound in figure["ci95"])
    told = f"{figure['count']} of {figure['n']}: {100 * figure['rate']:.1f} %"
    return f"{told} (95 % interval {low:.1f} to {high:.1f} %)"


def sentences(site: str, certificate: Certificate | None, found: Sequence[Rate]) -> list[str]:
    """What stands above the table."""
    if not found:
        return []
    if certificate is None:
        return [f"no certificate speaks for the site {site}: everything of it is escalated"]
    sure = f"{100 * (1 - certificate.plan.delta):g} %"
    weaker = certificate.plan.contract != PRODUCT_CONTRACT
    made = (
        f"{certificate.patients} patients, {certificate.findings / max(1, certificate.patients):.0%} with the finding"
    )
    other = f", which is not the product's contract of {PRODUCT_CONTRACT.rates}" if weaker else ""
    return [
        f"certificate {certificate.name} of the site {site} promises with a confidence of {sure}{other}, "
        f"for patients like its own ({made}):"
    ]
