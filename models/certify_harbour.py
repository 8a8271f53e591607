"""Makes the demonstration certificates of the site `harbour` from its labelled films, by Learn then Test.

    .venv/bin/python models/certify_harbour.py --created 2026-11-26 --attempt 2 [--data ../shared/data]

The plan (model, gates, preparation, contract, delta, order of testing, choice of films) is fixed and its digest printed
before a label is read. Whoever changes any of it after seeing these labels raises --attempt: the j-th attempt on the
same patients gets delta / (j (j + 1)), so that all attempts together keep the promise. Attempt 1 was version 1.0.0.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from films import SITE_ZIP, read_films  # noqa: E402
from scoring import FOLDER, Scorer  # noqa: E402

from appliance.core.certificate import Contract, Ends, Group, Plan  # noqa: E402
from appliance.core.certify import FILM_CHOICE, STARTS, Scored, certificates, sample_of  # noqa: E402

DAYS = 730
NOTE = (
    "Demonstration certificate of a research project. The contract of 10 / 10 / 15 % was fixed beforehand and is "
    "weaker than the product's default of 1 / 5 / 10 %: the site's few patients carry no more. It lasts two years, so "
    "that the demonstration does not end by itself; a certificate for real use should last no more than 90 days. The "
    "promise is for patients drawn as the calibration patients were, about half of whom have pneumonia, and for scores "
    "where a higher one never means a rarer finding."
)
CONTRACT = Contract(false_omission_max=0.10, miss_max=0.10, false_discovery_max=0.15)
GROUP = Group(
    manufacturer="Harbour Imaging",
    manufacturer_model_name="PX-224",
    modality="CR",
    body_part_examined="CHEST",
    patient_age_years_min=1,
    patient_age_years_max=5,
)
# The first exit leaves everything to the second here: a lane of its own would need some 53 films by itself.
NO_FIRST_EXIT = Ends(clear_at_or_below=None, flag_at_or_above=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--created", type=date.fromisoformat, required=True)
    parser.add_argument("--attempt", type=int, required=True)
    args = parser.parse_args()
    with Scorer() as scorer:
        model = scorer.package.model
        archive = read_films(args.data / SITE_ZIP)
        films = archive.hashed_ids
        reference = model.references["default"]
        told = [scorer.scored(values.astype(np.float32), reference) for values in archive.values]
    people = [str(person) for person in archive.patients]
    sample = sample_of(
        [
            Scored(film, person, t.logits, t.passed, t.measures)
            for film, person, t in zip(films, people, told, strict=True)
        ],
        exits=len(model.manifest.exits),
    )
    plan = Plan(
        contract=CONTRACT,
        delta=0.05,
        attempt=args.attempt,
        starts=STARTS,
        film_choice=FILM_CHOICE,
        model_sha256=model.sha256,
        gates_digest=reference.digest,
        preparation_digest=model.preparation_digest,
        patients_sha256=sample.patients_sha256,
        exit_1=NO_FIRST_EXIT,
    )
    print(f"plan {plan.digest}, delta of one sequence {plan.delta_sequence:.5f}", flush=True)
    label = dict(zip(films, archive.pneumonia, strict=True))
    finding = np.array([label[film] for film in sample.films])
    name = f"harbour/{args.created.isoformat()}/{args.attempt}"
    facts = {"name": name, "note": NOTE, "site": "harbour", "group": GROUP, "created": args.created, "days": DAYS}
    (FOLDER / "certificates").mkdir(exist_ok=True)
    for certificate in certificates(sample, finding, plan, **facts):
        target = FOLDER / f"certificates/harbour-exit-{certificate.exit}.json"
        target.write_text(json.dumps(certificate.model_dump(mode="json"), indent=2) + "\n")
        shown = certificate.model_dump(mode="json", exclude={"reference", "plan", "note", "group"})
        print(json.dumps(shown, indent=2))
    print("unsigned as yet: appliance models sign")


if __name__ == "__main__":
    main()
