"""Makes the demonstration certificate of the site `harbour` from its labelled films, by Learn then Test.

    .venv/bin/python models/certify_harbour.py --created 2026-11-23 [--data ../shared/data] [--attempt 1]

The plan (model, gates, preparation, contract, delta, order of testing, choice of films) is fixed and its digest printed
before a label is read. Whoever changes any of it after seeing these labels raises --attempt: the j-th attempt on the
same patients gets delta / (j (j + 1)), so that all attempts together keep the promise.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from films import SITE_ZIP, read_films  # noqa: E402
from package_cxr_paediatric import write_json  # noqa: E402
from scoring import FOLDER, opened, scored  # noqa: E402

from appliance.core.certificate import Contract, Group, Plan  # noqa: E402
from appliance.core.certify import FILM_CHOICE, STARTS, Scored, certificates, sample_of  # noqa: E402
from appliance.world.models import Package  # noqa: E402
from appliance.world.models.making import sum_up  # noqa: E402

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
        starts=STARTS,
        film_choice=FILM_CHOICE,
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
    results = [scored(package, runner, values.astype(np.float32)) for values in archive.values]
    table = [
        Scored(film, str(patient), (result.logit,), (not result.failed,), {"distance": result.distance})
        for film, patient, result in zip(films, archive.patients, results, strict=True)
    ]
    sample = sample_of(table)
    labels = dict(zip(films, archive.pneumonia, strict=True))
    (certificate,) = certificates(
        sample,
        np.array([labels[film] for film in sample.films], bool),
        plan,
        name=f"harbour/{args.created.isoformat()}/{args.attempt}",
        note=NOTE,
        site="harbour",
        group=GROUP,
        created=args.created,
        days=DAYS,
    )
    target = FOLDER / "certificates/harbour.json"
    target.parent.mkdir(exist_ok=True)
    write_json(target, certificate.model_dump(mode="json"))
    sum_up(FOLDER)
    print(target.read_text())


if __name__ == "__main__":
    main()
