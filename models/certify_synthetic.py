"""Makes the certificates of the site `synthetic` from films the synthetic scanner draws, at the product's contract.

    .venv/bin/python models/certify_synthetic.py --created 2026-11-26 [--films 2200] [--attempt 1]

Drawn films have a ground truth and no end, so 1 / 5 / 10 % can be shown on them; of patients they say nothing. The
ends of the first exit are fixed from other drawn films beforehand, so that both exits are shown at work.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from scoring import FOLDER, Scorer  # noqa: E402

from appliance.cli.prove.synthetic import draw  # noqa: E402
from appliance.core.certificate import PRODUCT_CONTRACT, Ends, Group, Plan  # noqa: E402
from appliance.core.certify import FILM_CHOICE, STARTS, Scored, certificates, sample_of  # noqa: E402

DAYS = 730
PREVALENCE = 0.3
EARLY_SEED, SEED = 42_000_000, 22_000_000
EARLY_FILMS = 400
# The first exit takes no more than what is far beyond any film of the other kind.
SAFE_SHARE = 0.5
NOTE = (
    "Certificate of drawn films that show nobody: it shows the machinery at the product's own contract and says "
    "nothing of patients. It lasts two years, so that the demonstration does not end by itself; real ones should "
    "last 90 days."
)
GROUP = Group(
    manufacturer="Synthetic Scanner",
    manufacturer_model_name="SX-224",
    modality="CR",
    body_part_examined="CHEST",
    patient_age_years_min=1,
    patient_age_years_max=5,
)


def scored(scorer: Scorer, seeds: range) -> tuple[list[Scored], dict[str, bool]]:
    """Each seed's film as the rule meets it, and the truth it was drawn with."""
    found, truth = [], {}
    for seed in seeds:
        drawn = draw(seed, PREVALENCE)
        told = scorer.scored(drawn.values.astype(np.float32), scorer.package.model.references["synthetic"])
        found.append(Scored(str(seed), str(seed), told.logits, told.passed, told.measures))
        truth[str(seed)] = drawn.truth == "pneumonia"
        if len(found) % 500 == 0:
            print(f"{len(found)} of {len(seeds)} films", flush=True)
    return found, truth


def first_exit(scorer: Scorer) -> Ends:
    """Ends of the first exit from films of its own: the safer half of what lies beyond all films of the other kind."""
    films, truth = scored(scorer, range(EARLY_SEED, EARLY_SEED + EARLY_FILMS))
    logit = np.array([film.logits[0] for film in films])
    finding = np.array([truth[film.film] for film in films])
    clear, flag = logit[~finding & (logit < logit[finding].min())], logit[finding & (logit > logit[~finding].max())]
    if min(len(clear), len(flag)) < 2:
        return Ends(clear_at_or_below=None, flag_at_or_above=None)
    low, high = np.quantile(clear, SAFE_SHARE), np.quantile(flag, 1 - SAFE_SHARE)
    return Ends(clear_at_or_below=round(float(low), 4), flag_at_or_above=round(float(high), 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--created", type=date.fromisoformat, required=True)
    parser.add_argument("--films", type=int, default=2200)
    parser.add_argument("--attempt", type=int, default=1)
    args = parser.parse_args()
    with Scorer() as scorer:
        model = scorer.package.model
        early = first_exit(scorer)
        films, truth = scored(scorer, range(SEED, SEED + args.films))
    sample = sample_of(films, exits=len(model.manifest.exits))
    plan = Plan(
        contract=PRODUCT_CONTRACT,
        delta=0.05,
        attempt=args.attempt,
        starts=STARTS,
        film_choice=FILM_CHOICE,
        model_sha256=model.sha256,
        gates_digest=model.references["synthetic"].digest,
        preparation_digest=model.preparation_digest,
        patients_sha256=sample.patients_sha256,
        exit_1=early,
    )
    print(f"plan {plan.digest}, first exit {early}")
    finding = np.array([truth[film] for film in sample.films])
    name = f"synthetic/{args.created.isoformat()}/{args.attempt}"
    facts = {"name": name, "note": NOTE, "site": "synthetic", "group": GROUP, "created": args.created, "days": DAYS}
    (FOLDER / "certificates").mkdir(exist_ok=True)
    for certificate in certificates(sample, finding, plan, **facts):
        target = FOLDER / f"certificates/synthetic-exit-{certificate.exit}.json"
        target.write_text(json.dumps(certificate.model_dump(mode="json"), indent=2) + "\n")
        print(json.dumps(certificate.model_dump(mode="json", exclude={"reference", "plan", "note", "group"}), indent=2))
    print("unsigned as yet: appliance models sign")


if __name__ == "__main__":
    main()
