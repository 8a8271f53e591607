"""Makes the demonstration certificate of the site `harbour` from its labelled films, by Learn then Test.

    .venv/bin/python models/certify_harbour.py --created 2026-11-23 [--data ../shared/data] [--attempt 1]

The plan (model, gates, preparation, contract, delta, order of testing, choice of films) is fixed and its digest printed
before a label is read. Whoever changes any of it after seeing these labels raises --attempt: the j-th attempt on the
same patients gets delta / (j (j + 1)), so that all attempts together keep the promise.
"""

import argparse
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from films import SITE_ZIP, read_films  # noqa: E402
from package_cxr_paediatric import write_checksums, write_json  # noqa: E402
from scoring import FOLDER, opened, scored  # noqa: E402

from appliance.core.certificate import (  # noqa: E402
    Certificate,
    Contract,
    Group,
    Plan,
    canonical_sha256,
    evidence,
    open_lanes,
    own_digest,
)
from appliance.core.learn_then_test import chosen_films  # noqa: E402
from appliance.world.models import Package  # noqa: E402

DAYS = 730
NOTE = (
    "Demonstration certificate of a research project. The contract of 10 / 10 / 15 % was fixed beforehand and is "
    "weaker than the product's default of 1 / 5 / 10 %: the site's few patients carry no more. It lasts two years, so "
    "that the demonstration does not end by itself; a certificate for real use should last no more than 90 days. The "
    "promise is for patients drawn as the calibration patients were, about half of whom have pneumonia, and for scores "
    "where a higher one never means a rarer finding."
)
GROUP = Group(
    manufacturer="Harbour Imaging",
    manufacturer_model_name="PX-224",
    modality="CR",
    body_part_examined="CHEST",
    patient_age_years_min=1,
    patient_age_years_max=5,
)


def plan_for(package: Package, attempt: int) -> Plan:
    """All that is fixed before a label is seen."""
    return Plan(
        contract=Contract(false_omission_max=0.10, miss_max=0.10, false_discovery_max=0.15),
        delta=0.05,
        attempt=attempt,
        starts=(0, 1, 2),
        film_choice="one film a patient: the lowest SHA-256 of the film's id",
        model_sha256=package.model.sha256,
        gates_digest=package.model.references["default"].digest,
        preparation_digest=package.model.preparation_digest,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--created", type=date.fromisoformat, required=True)
    parser.add_argument("--attempt", type=int, default=1)
    args = parser.parse_args()
    package, runner = opened()
    plan = plan_for(package, args.attempt)
    print(f"plan {plan.digest}, delta of one sequence {plan.delta_sequence:.5f}")
    archive = read_films(args.data / SITE_ZIP)
    films = archive.hashed_ids
    chosen = chosen_films([str(p) for p in archive.patients], films)
    results = [scored(package, runner, archive.values[i].astype(np.float32)) for i in chosen]
    logits = np.array([result.logit for result in results])
    passed = np.array([not result.failed for result in results])
    finding = archive.pneumonia[chosen]
    clear, flag = open_lanes(logits, finding, passed, plan)
    findings, delta = int(finding.sum()), plan.delta_sequence
    table = [[films[i], logits[k], bool(passed[k]), bool(finding[k])] for k, i in enumerate(chosen)]
    fields = {
        "schema_version": 1,
        "name": f"harbour/{args.created.isoformat()}/{args.attempt}",
        "note": NOTE,
        "site": "harbour",
        "group": GROUP,
        "plan": plan,
        "plan_digest": plan.digest,
        "scores_sha256": canonical_sha256(table),
        "patients": len(chosen),
        "findings": findings,
        "gated_out": int((~passed).sum()),
        "clear_at_or_below": None if clear is None else clear.threshold,
        "flag_at_or_above": None if flag is None else flag.threshold,
        "cleared": evidence(clear, findings, delta, misses=True),
        "flagged": evidence(flag, findings, delta, misses=False),
        "created": args.created,
        "expires": args.created + timedelta(days=DAYS),
        "digest": "0" * 64,
    }
    draft = Certificate.model_validate(fields)
    certificate = Certificate.model_validate({**fields, "digest": own_digest(draft)})
    target = FOLDER / "certificates/harbour.json"
    target.parent.mkdir(exist_ok=True)
    write_json(target, certificate.model_dump(mode="json"))
    write_checksums(FOLDER)
    print(target.read_text())


if __name__ == "__main__":
    main()
