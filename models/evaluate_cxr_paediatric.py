"""Every figure of the model card again: `make evaluate`.

    .venv/bin/python models/evaluate_cxr_paediatric.py [--data ../shared/data] [--rescore]

eval/scores.csv holds one line a film scored, with hashed ids. report.json, the plots and CARD.md are made from it and
from the certificates alone, so they come out the same where the films are not. Where the films are, they are scored
again by the product's own path and compared with the committed scores first; --rescore writes the new ones, and what
speed and memory were then. The gallery of failures needs the films and is written to build/, never committed.
Status 1 when scores differ by more than the tolerance or a gate says otherwise.
"""

import argparse
import csv
import json
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from card_cxr_paediatric import card  # noqa: E402
from evaluation_films import Film, Row, counterfactuals, labelled_films, made_films  # noqa: E402
from evaluation_report import report  # noqa: E402
from films import SITE_ZIP  # noqa: E402
from gallery import gallery  # noqa: E402
from plots_cxr_paediatric import plots  # noqa: E402
from scoring import FOLDER, Scored, Scorer  # noqa: E402

from appliance.world.models import SUMS  # noqa: E402
from appliance.world.models.making import sum_up  # noqa: E402

EVAL, BUILD = FOLDER / "eval", ROOT / "build/cxr-paediatric"
COLUMNS = (
    *("set", "film", "patient", "label", "calibration", "logit_1", "logit", "passed_1", "passed", "failed"),
    *("distance", "as_described", "gap", "looks_like"),
)
LOGIT_TOLERANCE = 0.02
PROGRESS_EVERY = 500


def line_of(known: Row, result: Scored) -> Row:
    looks_like = max(result.kinds, key=result.kinds.__getitem__)
    return {
        **known,
        "logit_1": repr(result.logits[0]),  # in full: the certificate's digest is taken of them
        "logit": repr(result.logits[-1]),
        "passed_1": str(int(result.passed[0])),
        "passed": str(int(result.passed[-1])),
        "failed": " ".join(result.failed),
        "distance": f"{result.measures['distance']:.1f}",
        "as_described": f"{result.measures['as_described']:.4f}",
        "gap": f"{result.measures['gap']:.4f}",
        "looks_like": looks_like,
    }


def scored_rows(data: Path) -> tuple[list[Row], dict[str, Any], dict[str, Film]]:
    """All films through the product's path, and what it took; ids of patients are numbered: none is published.

    returns  the lines, speed and memory, and the films of the site, for the gallery
    """
    rows, numbers, spent, kept = [], dict[str, int](), list[float](), dict[str, Film]()
    with Scorer() as scorer:
        references = scorer.package.model.references
        for known, film in chain(labelled_films(data), counterfactuals(data), made_films()):
            reference = references["synthetic" if known["set"] == "synthetic" else "default"]
            began = time.perf_counter()
            result = scorer.scored(film, reference)
            spent.append(time.perf_counter() - began)
            person = known["patient"] and f"p{numbers.setdefault(known['patient'], len(numbers))}"
            rows.append(line_of({**known, "patient": person}, result))
            if known["set"] in ("site", "adult"):
                kept[known["film"]] = film
            if len(rows) % PROGRESS_EVERY == 0:
                print(f"{len(rows)} films scored", flush=True)
        memory = scorer.child_bytes()
    middle, late = np.quantile(spent, [0.5, 0.99])
    speed = {"films": len(rows), "median_ms": round(1000 * middle, 1), "p99_ms": round(1000 * late, 1)}
    return rows, {**speed, "child_memory_mib": round(memory / 2**20)}, kept


def differences(old: list[Row], new: list[Row]) -> list[str]:
    """What a fresh scoring says otherwise than the committed one."""
    if [(row["set"], row["film"]) for row in old] != [(row["set"], row["film"]) for row in new]:
        return ["other films"]
    told = []
    for a, b in zip(old, new, strict=True):
        apart = max(abs(float(a[name]) - float(b[name])) for name in ("logit_1", "logit"))
        if apart > LOGIT_TOLERANCE or a["failed"] != b["failed"]:
            told.append(f"{a['set']} {a['film']}: {a['logit']} {a['failed']} -> {b['logit']} {b['failed']}")
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--rescore", action="store_true", help="write the fresh scores instead of comparing them")
    parser.add_argument("--figures", action="store_true", help="score nothing, make the figures from committed scores")
    args = parser.parse_args()
    with Scorer() as scorer:  # before anything is written: a package with a file that nobody signed is not opened
        model = scorer.package.model
    rows, told, scores, speed = list[Row](), list[str](), EVAL / "scores.csv", EVAL / "speed.json"
    if scores.exists():
        with scores.open(newline="") as file:
            rows = list(csv.DictReader(file))
    films = dict[str, Film]()
    if (args.data / SITE_ZIP).exists() and not args.figures:
        fresh, took, films = scored_rows(args.data)
        print(f"{took['median_ms']} ms a film in the middle, {took['p99_ms']} ms at the 99th percentile, one thread")
        told = [] if args.rescore else differences(rows, fresh)
        if args.rescore:
            rows = fresh
            EVAL.mkdir(exist_ok=True)
            with scores.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            speed.write_text(json.dumps(took, indent=2) + "\n")
    else:
        print("figures from the committed scores alone")
    figures = report(rows, model) | {"speed": json.loads(speed.read_text())}
    (EVAL / "report.json").write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    for name, picture in plots(rows, model, figures).items():
        (EVAL / name).write_text(picture)
    (FOLDER / "CARD.md").write_text(card(figures, model))
    if films:
        print(f"failures with their films: {gallery(rows, model, films, BUILD / 'failures')}")
    before = (FOLDER / SUMS).read_bytes()
    sum_up(FOLDER)
    print((FOLDER / "CARD.md").read_text())
    print("\n".join([f"{len(told)} films score otherwise than committed", *told[:20]]))
    if (FOLDER / SUMS).read_bytes() != before:
        print("the package's checksums are new: sign it again (appliance models sign)")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
