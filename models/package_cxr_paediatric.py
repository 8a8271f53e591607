"""Makes the package around the trained graph: gates, nominal thresholds, golden films, manifest, licence, checksums.

    .venv/bin/python models/package_cxr_paediatric.py [--data ../shared/data] [--created 2026-11-23]

Only training films are opened. The gates' reference is the films the network was fitted to; the distance they may have
is a quantile over the tenth of training patients held back from the fit. No site film and no site label plays a part.
Whoever vouches for the result signs it: appliance models sign models/cxr-paediatric-pneumonia/1.0.0 --key FILE
"""

import argparse
import hashlib
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from films import SPEC, TRAIN_ZIP, Films, held_back_patients, read_films  # noqa: E402

from appliance.core.gates import distance, film_measures  # noqa: E402
from appliance.world.models.making import sum_up  # noqa: E402

FOLDER = ROOT / "models/cxr-paediatric-pneumonia/1.0.0"
FEATURES = 448  # network_cxr_paediatric.FEATURES; that module needs torch
POOLED = 192  # pooled channels; the rest is the thumbnail
THUMBNAIL_DIRECTIONS = 40
HELD_BACK_SEED = 0
DISTANCE_QUANTILE = 0.97
MEASURE_QUANTILES = (0.001, 0.999)
GOLDEN_TOLERANCE = 0.001
COST_MS = 3.0  # a film on one core, the child process included
LICENCE = """The weights of this package were made by this project from the data named below and are offered under
Creative Commons Attribution 4.0 International (CC BY 4.0, https://creativecommons.org/licenses/by/4.0/).

Trained on: Kermany D, Zhang K, Goldbaum M (2018), Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images
for Classification, Mendeley Data V2, doi:10.17632/rscbjbr9sj.2, CC BY 4.0. The films were resized to 224 x 224 by a
third party and further prepared here; a network was fitted to them. No film is part of this package.

Research software. No cleared or certified medical device.
"""


def graph_outputs(films: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits [n] and features [n, FEATURES] of prepared films [n, 1, side, side], by the product's runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession((FOLDER / "model.onnx").read_bytes(), options)
    found = [session.run(["logit", "features"], {"film": film[None]}) for film in films]
    return np.array([logit[0] for logit, _ in found]), np.array([features[0] for _, features in found])


def reference(
    features: NDArray[np.float64], pneumonia: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Projection [k, FEATURES] and centres [2, k]: whitening by the shared covariance of both classes.

    The thumbnail enters by its first principal directions only; the rest of it is anatomy of single children.
    """
    thumbnail = features[:, POOLED:]
    directions = np.linalg.svd(thumbnail - thumbnail.mean(0), full_matrices=False)[2][:THUMBNAIL_DIRECTIONS]
    reduce = np.zeros((POOLED + THUMBNAIL_DIRECTIONS, FEATURES))
    reduce[:POOLED, :POOLED] = np.eye(POOLED)
    reduce[POOLED:, POOLED:] = directions
    reduced = features @ reduce.T
    means = np.stack([reduced[~pneumonia].mean(0), reduced[pneumonia].mean(0)])
    covariance = np.cov((reduced - means[pneumonia.astype(int)]).T)
    covariance += np.eye(len(covariance)) * 1e-3 * np.trace(covariance) / len(covariance)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    return (whiten @ reduce).astype(np.float32), (means @ whiten.T).astype(np.float32)


def bounds(archive: Films, prepared: NDArray[np.float32], distance_high: float) -> dict[str, dict[str, Any]]:
    """One bound a measure, from the training films; grey levels and aspect are stated: all films here are alike."""
    measured = [
        film_measures(values.astype(np.float32), film[None])
        for values, film in zip(archive.values, prepared, strict=True)
    ]
    found: dict[str, dict[str, Any]] = {
        "distance": {"low": None, "high": round(distance_high, 3), "code": "gate-out-of-distribution"},
        "grey_levels": {"low": 32.0, "high": None, "code": "gate-image-quality"},
        "aspect": {"low": 0.5, "high": 2.0, "code": "gate-image-quality"},
    }
    for measure in ("entropy_bits", "sharpness", "clipped_dark", "clipped_bright"):
        low, high = np.quantile([film[measure] for film in measured], MEASURE_QUANTILES)  # type: ignore[index]
        both = measure in ("entropy_bits", "sharpness")
        found[measure] = {
            "low": round(float(low), 5) if both else None,
            "high": round(float(high), 5),
            "code": "gate-image-quality",
        }
    return found


def drawn_films(count: int = 4) -> NDArray[np.float32]:
    """Golden inputs drawn from a seeded generator: smooth noise, no patient. [count, 1, 1, side, side]"""
    coarse = np.random.default_rng(20261123).random((count, 9, 9))
    grid = np.linspace(0, 8, SPEC.side_px)
    films = np.empty((count, 1, 1, SPEC.side_px, SPEC.side_px), np.float32)
    for i, noise in enumerate(coarse):
        rows = np.stack([np.interp(grid, np.arange(9), line) for line in noise])
        films[i, 0, 0] = np.stack([np.interp(grid, np.arange(9), line) for line in rows.T]).T
    return films


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(nominal: tuple[float, float], created: date) -> dict[str, Any]:
    files = ("model.onnx", "gates.json", "gates.npz", "golden.npz", "LICENSE")
    return {
        "schema_version": 2,
        "name": "cxr-paediatric-pneumonia",
        "version": "1.0.0",
        "created": created.isoformat(),
        "weights": "trained",
        "intended_use": "Research. Sorts single frontal chest radiographs of children of 1 to 5 years into likely "
        "without and likely with pneumonia, for the order of reading. It does not diagnose and does not rule out.",
        "licence": "CC BY 4.0, see LICENSE",
        "training_data": "Kermany et al. 2018, doi:10.17632/rscbjbr9sj.2, CC BY 4.0: official training films at "
        "224 x 224, less every patient of the official test split; one hospital, Guangzhou, AP films.",
        "overlay": "none",
        "files": {name: sha256_of(FOLDER / name) for name in files},
        "input": {
            "name": "film",
            "takes": "frame",
            "frames": 1,
            "side_px": SPEC.side_px,
            "steps": [
                {"step": "resize_area", "side_px": SPEC.side_px},
                {"step": "percentile_window", "low": SPEC.low_percentile, "high": SPEC.high_percentile},
                {"step": "orient_grey"},
            ],
        },
        "exits": [
            {
                "graph": "model.onnx",
                "logit": "logit",
                "logit_low": -20.0,
                "logit_high": 20.0,
                "features": "features",
                "features_count": FEATURES,
                "gap": None,
                "energy": None,
                "trunk": None,
                "cost_ms": COST_MS,
            }
        ],
        "check": None,
        "references": {"default": {"gates": "gates.json", "arrays": "gates.npz"}},
        "applies_to": {
            "modality": ["CR", "DX"],
            "sop_class_uid": ["1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"],
            "body_part_examined": ["CHEST"],
            "view_position": ["AP", "PA"],
            "patient_age": {"years_min": 1, "years_max": 5},
            "photometric": ["MONOCHROME1", "MONOCHROME2"],
            "bits_stored_min": 8,
            "bits_stored_max": 16,
            "side_px_min": 128,
        },
        "label": {
            "name": "pneumonia",
            "code": "233604007",
            "scheme": "SCT",
            "meaning": "Pneumonia (disorder). The training label is what graders read from the film of a child under "
            "care, bacterial or viral; it is no culture, no follow-up and no statement about other findings.",
        },
        "nominal": {"clear_at_or_below": nominal[0], "flag_at_or_above": nominal[1]},
    }


def write_json(path: Path, told: object) -> None:
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--created", type=date.fromisoformat, required=True, help="date of the manifest")
    args = parser.parse_args()
    archive = read_films(args.data / TRAIN_ZIP)
    held = held_back_patients(archive.patients, HELD_BACK_SEED)
    prepared = archive.prepared()
    logits, found = graph_outputs(prepared)
    features, label = found.astype(np.float64), archive.pneumonia
    projection, centres = reference(features[~held], label[~held])
    wide = projection.astype(np.float64), centres.astype(np.float64)
    held_distances = [distance(film, *wide) for film in features[held]]
    # The lane that ends a doubt must begin where it hurts little: 1 % of held-back films with, and without, pneumonia.
    edges = np.quantile(logits[held & label], 0.01), np.quantile(logits[held & ~label], 0.99)
    nominal = round(float(min(edges)), 4), round(float(max(edges)), 4)
    write_json(
        FOLDER / "gates.json",
        {
            "schema_version": 1,
            "source": "Training films only. distance: a quantile of 0.97 over films of held-back training patients, to "
            "the class means of the fitted films; entropy, sharpness and clipping: quantiles of 0.001 and 0.999 over "
            "all training films; grey levels and aspect are stated, not learnt.",
            "films": len(archive.values),
            "bounds": bounds(archive, prepared, float(np.quantile(held_distances, DISTANCE_QUANTILE))),
        },
    )
    np.savez(FOLDER / "gates.npz", projection=projection, centres=centres)
    films = drawn_films()
    golden_logits, golden_features = graph_outputs(films[:, 0])
    tolerance = np.array(GOLDEN_TOLERANCE)
    np.savez(FOLDER / "golden.npz", films=films, logits=golden_logits, features=golden_features, tolerance=tolerance)
    (FOLDER / "LICENSE").write_text(LICENCE)
    write_json(FOLDER / "manifest.json", manifest(nominal, args.created))
    sum_up(FOLDER)
    print((FOLDER / "SHA256SUMS").read_text())


if __name__ == "__main__":
    main()
