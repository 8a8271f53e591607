"""Every figure of the model card again: `make evaluate`.

    .venv/bin/python models/evaluate_cxr_paediatric.py [--data ../shared/data] [--rescore]

eval/scores.csv holds one line a film scored, with hashed ids. report.json and CARD.md are made from it and from the
certificate alone, so they come out the same where the films are not. Where the films are, they are scored again by the
product's own path and compared with the committed scores first; --rescore writes the new ones.
Status 1 when scores differ by more than the tolerance or a gate says otherwise.
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from card_cxr_paediatric import card  # noqa: E402
from figures import auroc_with_interval, lanes  # noqa: E402
from films import ADULT_ZIP, BODYPART_ZIP, SITE_ZIP, TRAIN_ZIP, held_back_patients, read_films  # noqa: E402
from package_cxr_paediatric import HELD_BACK_SEED, write_json  # noqa: E402
from scoring import FOLDER, opened, scored  # noqa: E402

from appliance.core.learn_then_test import chosen_films  # noqa: E402
from appliance.core.risk_coverage import (  # noqa: E402
    by_prevalence,
    contract_figures,
    cross_fitted,
    lane_counts,
    proportion,
)
from appliance.world.models import Package  # noqa: E402
from appliance.world.models.making import sum_up  # noqa: E402

SCORES = FOLDER / "eval/scores.csv"
COLUMNS = ("set", "film", "patient", "label", "calibration", "logit", "distance", "failed")
LOGIT_TOLERANCE = 0.01
SITE_EVERY, BODYPART_EVERY = 3, 6
Row = dict[str, str]
Film = NDArray[np.float32]


def _noisy(film: Film) -> Film:
    return film + np.random.default_rng(3).normal(0, 60, film.shape).astype(np.float32)


# What can befall a film between the child and the appliance; none of these may be decided here.
MISHAPS: dict[str, Callable[[Film], Film]] = {
    "turned-90": lambda film: np.rot90(film),
    "turned-180": lambda film: np.rot90(film, 2),
    "turned-270": lambda film: np.rot90(film, 3),
    "grey-scale-inverted": lambda film: 255 - film,
    "left-half": lambda film: film[:, : film.shape[1] // 2],
    "upper-half": lambda film: film[: film.shape[0] // 2],
    "middle-only": lambda film: film[40:-40, 40:-40],
    "wide-black-border": lambda film: np.pad(film, 60),
    "blurred": lambda film: cv2.GaussianBlur(film, (0, 0), 8),
    "noisy": _noisy,
    "under-exposed": lambda film: np.clip(film - 120, 0, 255),
    "over-exposed": lambda film: np.clip(film * 3, 0, 255),
    "black": lambda film: film * 0,
}


def labelled_films(data: Path) -> Iterator[tuple[Row, Film]]:
    """Every film of the evaluation with what is known of it, in a fixed order."""
    train = read_films(data / TRAIN_ZIP)
    held = held_back_patients(train.patients, HELD_BACK_SEED)
    site = read_films(data / SITE_ZIP)
    chosen = set(chosen_films([str(p) for p in site.patients], site.hashed_ids))
    for name, archive, wanted in (("held-back", train, held), ("site", site, np.ones(len(site.rows), bool))):
        ids = archive.hashed_ids
        for i in np.flatnonzero(wanted):
            row = archive.rows[i]
            label = row["subtype"] or row["label"].lower()
            calibration = "1" if name == "site" and i in chosen else "0"
            known = {"set": name, "film": ids[i], "patient": row["patient_id"], "label": label}
            yield {**known, "calibration": calibration}, archive.values[i].astype(np.float32)
    plain = {"patient": "", "calibration": "0"}
    for i in range(0, len(site.rows), SITE_EVERY):
        for name, mishap in MISHAPS.items():
            film = np.ascontiguousarray(mishap(site.values[i].astype(np.float32)), dtype=np.float32)
            yield {"set": name, "film": site.hashed_ids[i], "label": "", **plain}, film
    adult = read_films(data / ADULT_ZIP)
    for row, values, film_id in zip(adult.rows, adult.values, adult.hashed_ids, strict=True):
        label = "normal" if row["subset"] == "No_findings" else "pneumonia"
        known = {"set": "adult", "film": film_id, "patient": row["patient_id"], "label": label, "calibration": "0"}
        yield known, values.astype(np.float32)
    parts = read_films(data / BODYPART_ZIP, patient_column="label")
    for i in range(0, len(parts.rows), BODYPART_EVERY):
        known = {"set": parts.rows[i]["label"], "film": parts.hashed_ids[i], "label": "", **plain}
        # 64 px films would fail by their size alone: enlarged, so that the image itself must give them away.
        yield known, cv2.resize(parts.values[i], (224, 224), interpolation=cv2.INTER_CUBIC).astype(np.float32)


def scored_rows(data: Path) -> list[Row]:
    """All films through the product's path; ids of patients are numbered, so that no source id is published."""
    package, runner = opened()
    rows, numbers, spent = [], dict[str, int](), 0.0
    for known, film in labelled_films(data):
        started = time.perf_counter()
        result = scored(package, runner, film)
        spent += time.perf_counter() - started
        person = known["patient"] and f"p{numbers.setdefault(known['patient'], len(numbers))}"
        told = {"logit": repr(result.logit), "distance": f"{result.distance:.1f}", "failed": " ".join(result.failed)}
        rows.append({**known, "patient": person, **told})
    print(f"{len(rows)} films scored, {1000 * spent / len(rows):.1f} ms a film (prepare, network, gates; one thread)")
    return rows


def differences(old: list[Row], new: list[Row]) -> list[str]:
    """What a fresh scoring says otherwise than the committed one."""
    if [row["film"] for row in old] != [row["film"] for row in new]:
        return ["other films"]
    told = []
    for a, b in zip(old, new, strict=True):
        if abs(float(a["logit"]) - float(b["logit"])) > LOGIT_TOLERANCE or a["failed"] != b["failed"]:
            told.append(f"{a['set']} {a['film']}: {a['logit']} {a['failed']} -> {b['logit']} {b['failed']}")
    return told


def report(rows: list[Row], package: Package) -> dict[str, object]:
    """report.json: every figure of the card."""
    (certificate,) = package.model.certificates
    sets = {name: [row for row in rows if row["set"] == name] for name in dict.fromkeys(row["set"] for row in rows)}
    logit = {name: np.array([float(row["logit"]) for row in some]) for name, some in sets.items()}
    passed = {name: np.array([not row["failed"] for row in some]) for name, some in sets.items()}
    said = {name: lanes(logit[name], passed[name], certificate) for name in sets}
    finding = {name: np.array([row["label"] not in ("normal", "") for row in some]) for name, some in sets.items()}
    people = {name: [row["patient"] for row in some] for name, some in sets.items()}
    one = np.array([row["calibration"] == "1" for row in sets["site"]])
    site = [array["site"][one] for array in (logit, finding, passed, said)]
    strangers = [name for name in sets if name not in ("held-back", "site")]
    return {
        "model": package.model.manifest.title,
        "model_sha256": package.model.sha256,
        "certificate": certificate.name,
        "discrimination": {
            name: auroc_with_interval(logit[name], finding[name], people[name])
            for name in ("held-back", "site", "adult")
        },
        "gates_passed": {name: proportion(int(p.sum()), len(p)) for name, p in passed.items()},
        "decided_with_a_false_header": {
            name: proportion(int((said[name] != "escalated").sum()), len(said[name])) for name in strangers
        },
        "site_calibration_patients": {"lanes": lane_counts(site[3]), **contract_figures(site[3], site[1])},
        "site_all_films_by_label": {
            label: lane_counts(said["site"][[row["label"] == label for row in sets["site"]]])
            for label in ("normal", "bacteria", "virus")
        },
        "site_cross_fitted": [cross_fitted(site[0], site[1], site[2], certificate.plan, folds) for folds in (5, 20)],
        "by_prevalence": by_prevalence(site[3], site[1]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--rescore", action="store_true", help="write the fresh scores instead of comparing them")
    args = parser.parse_args()
    rows: list[Row] = []
    if SCORES.exists():
        with SCORES.open(newline="") as file:
            rows = list(csv.DictReader(file))
    told: list[str] = []
    if (args.data / SITE_ZIP).exists():
        fresh = scored_rows(args.data)
        told = [] if args.rescore else differences(rows, fresh)
        if args.rescore:
            rows = fresh
            SCORES.parent.mkdir(exist_ok=True)
            with SCORES.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            sum_up(FOLDER)
    else:
        print("the films are not here: figures from the committed scores alone")
    package, _ = opened()
    figures = report(rows, package)
    write_json(FOLDER / "eval/report.json", figures)
    (FOLDER / "CARD.md").write_text(card(figures, package.model.certificates[0]))
    sum_up(FOLDER)
    print((FOLDER / "CARD.md").read_text())
    print("\n".join([f"{len(told)} films score otherwise than committed", *told[:20]]))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
