"""Makes the package around the trained graphs: gate references, nominal thresholds, golden films, manifest, papers.

    .venv/bin/python models/package_cxr_paediatric.py --created 2026-11-26 [--data ../shared/data] [--synthetic 1500]

Only training films are opened, and films that the synthetic scanner draws. A reference is the films the network was
fitted to; each bound is a quantile over the tenth of training patients held back from the fit, or over all training
films where a fit plays no part. No site film and no label of a site has a say. The package is unsigned afterwards:
`appliance models sign`.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from films import SPEC, TRAIN_ZIP, Films, held_back_patients, read_films  # noqa: E402
from papers_cxr_paediatric import LICENCE, manifest, sbom  # noqa: E402

from appliance.core.gates import distance, film_measures  # noqa: E402
from appliance.core.prepare import PreparationSpec, prepare  # noqa: E402
from appliance.world.models.making import sum_up  # noqa: E402

FOLDER = ROOT / "models/cxr-paediatric-pneumonia/2.0.0"
BUILD = ROOT / "build/cxr-paediatric"
CHECK_SPEC = PreparationSpec(96, SPEC.low_percentile, SPEC.high_percentile)
GRAPHS = ("exit1.onnx", "exit2.onnx", "check.onnx")
POOLED = 208  # pooled channels of exit 1; the rest of the features is the thumbnail
THUMBNAIL_DIRECTIONS = 40
HELD_BACK_SEED = 0
# Shares of held-back films that a gate may cost: about one in twenty altogether.
DISTANCE_QUANTILE, DESCRIBED_QUANTILE, GAP_QUANTILE = 0.98, 0.01, 0.99
MEASURE_QUANTILES = (0.001, 0.999)
GOLDEN_TOLERANCE = 0.002
DESCRIBED = {
    "adult_chest": "gate-adult",
    "other_part": "gate-not-as-described",
    "turned": "gate-turned",
    "inverted": "gate-inverted",
    "cropped": "gate-cropped",
    "degraded": "gate-image-quality",
    "not_a_radiograph": "gate-not-as-described",
}
Row = dict[str, Any]


class Graphs:
    """The three graphs in this process, one thread; the product runs them in a child of its own."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.first, self.second, self.check = (
            onnxruntime.InferenceSession((FOLDER / name).read_bytes(), options) for name in GRAPHS
        )

    def run(self, tensor: NDArray[np.float32], picture: NDArray[np.float32]) -> Row:
        """Every output but the trunk, by name; exit 1's end in _1."""
        logit_1, gap_1, features_1, trunk = self.first.run(["logit", "gap", "features", "trunk"], {"film": tensor})
        logit, gap, features = self.second.run(["logit", "gap", "features"], {"trunk": trunk})
        kinds = self.check.run(["kinds"], {"film": picture})[0]
        told = {"logit_1": logit_1[0], "gap_1": gap_1[0], "features_1": features_1[0]}
        return told | {"logit": logit[0], "gap": gap[0], "features": features[0], "kinds": kinds[0]}


def seen(graphs: Graphs, films: Iterator[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """All outputs and film measures of some films, stacked by name."""
    rows = []
    for values in films:
        tensor, picture = prepare(values, False, SPEC), prepare(values, False, CHECK_SPEC)
        measures: Row = {f"measure {name}": value for name, value in film_measures(values, tensor).items()}
        rows.append(graphs.run(tensor, picture) | measures)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def of_training(graphs: Graphs, archive: Films) -> dict[str, NDArray[Any]]:
    """What is seen of the training films; kept in build/ for as long as the graphs are the same."""
    digest = hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in GRAPHS)).hexdigest()
    kept = BUILD / f"seen-{digest[:16]}.npz"
    if not kept.exists():
        np.savez(kept, **seen(graphs, (film.astype(np.float32) for film in archive.values)))
    with np.load(kept) as opened:
        return dict(opened)


def reference(
    features: NDArray[np.float64], group: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Projection [k, features] and centres [2, k]: whitening by the shared covariance of both classes.

    The thumbnail enters by its first principal directions only; the rest of it is anatomy of single children.
    """
    thumbnail = features[:, POOLED:]
    directions = np.linalg.svd(thumbnail - thumbnail.mean(0), full_matrices=False)[2][:THUMBNAIL_DIRECTIONS]
    reduce = np.zeros((POOLED + THUMBNAIL_DIRECTIONS, features.shape[1]))
    reduce[:POOLED, :POOLED] = np.eye(POOLED)
    reduce[POOLED:, POOLED:] = directions
    reduced = features @ reduce.T
    means = np.stack([reduced[group == k].mean(0) for k in (0, 1)])
    covariance = np.cov((reduced - means[group]).T)
    covariance += np.eye(len(covariance)) * 1e-3 * np.trace(covariance) / len(covariance)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    return (whiten @ reduce).astype(np.float32), (means @ whiten.T).astype(np.float32)


def written_reference(
    name: str, source: str, told: dict[str, NDArray[Any]], finding: NDArray[np.bool_], fit: NDArray[np.bool_]
) -> None:
    """gates[-name].json and .npz from what was seen of the films; fit: those the reference is taken from."""
    features, group = told["features"].astype(np.float64), finding.astype(np.int64)
    projection, centres = reference(features[fit], group[fit])
    wide = projection.astype(np.float64), centres.astype(np.float64)
    apart = [distance(film, *wide) for film in features[~fit]]
    kinds = told["kinds"][~fit][:, 0]
    bounds: dict[str, Row] = {
        "distance": _bound(high=np.quantile(apart, DISTANCE_QUANTILE), code="gate-out-of-distribution"),
        "as_described": _bound(low=np.quantile(kinds, DESCRIBED_QUANTILE), code="gate-not-as-described"),
        "gap": _bound(high=np.quantile(told["gap"][~fit], GAP_QUANTILE), code="gate-flip"),
        "grey_levels": _bound(low=32, code="gate-image-quality"),
        "aspect": _bound(low=0.5, high=2.0, code="gate-cropped"),
    }
    ends = {"entropy_bits": "gate-exposure", "sharpness": "gate-image-quality"}
    for measure, code in (ends | {"clipped_dark": "gate-exposure", "clipped_bright": "gate-exposure"}).items():
        low, high = np.quantile(told[f"measure {measure}"], MEASURE_QUANTILES)
        bounds[measure] = _bound(low=low if measure in ends else None, high=high, code=code)
    bounds["sharpness"]["code_low"] = "gate-blur"
    told_gates = {
        "schema_version": 2,
        "source": source,
        "films": len(fit),
        "bounds": bounds,
        "wanted": {"kind": "child_chest", "codes": DESCRIBED},
    }
    stem = "gates" if name == "default" else f"gates-{name}"
    (FOLDER / f"{stem}.json").write_text(json.dumps(told_gates, indent=2) + "\n")
    np.savez(FOLDER / f"{stem}.npz", projection=projection, centres=centres)


def _bound(*, low: float | None = None, high: float | None = None, code: str) -> Row:
    ends = {name: None if end is None else round(float(end), 5) for name, end in (("low", low), ("high", high))}
    return {**ends, "code": code}


def drawn_films(count: int, side: int) -> NDArray[np.float32]:
    """Golden inputs drawn from a seeded generator: smooth noise, no patient. [count, 1, 1, side, side]"""
    coarse = np.random.default_rng(20261123).random((count, 9, 9))
    grid = np.linspace(0, 8, side)
    films = np.empty((count, 1, 1, side, side), np.float32)
    for i, noise in enumerate(coarse):
        rows = np.stack([np.interp(grid, np.arange(9), line) for line in noise])
        films[i, 0, 0] = np.stack([np.interp(grid, np.arange(9), line) for line in rows.T]).T
    return films


def golden(graphs: Graphs) -> None:
    films, pictures = drawn_films(4, SPEC.side_px), drawn_films(4, CHECK_SPEC.side_px)
    rows = [graphs.run(film, picture) for film, picture in zip(films, pictures, strict=True)]
    told = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    np.savez(
        FOLDER / "golden.npz",
        films=films,
        logits=told["logit"],
        features=told["features"],
        logits_1=told["logit_1"],
        features_1=told["features_1"],
        pictures=pictures,
        kinds=told["kinds"],
        tolerance=np.array(GOLDEN_TOLERANCE),
    )


def synthetic(graphs: Graphs, count: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """What is seen of the synthetic scanner's films, half of them with the finding; seeds no certificate uses."""
    from appliance.cli.prove.synthetic import draw

    drawn = [draw(10_000_000 + seed, 0.5) for seed in range(count)]
    finding = np.array([each.truth == "pneumonia" for each in drawn])
    return seen(graphs, (each.values.astype(np.float32) for each in drawn)), finding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--created", type=date.fromisoformat, required=True, help="date of the manifest")
    parser.add_argument("--synthetic", type=int, default=1500, help="synthetic films for their own gate reference")
    args = parser.parse_args()
    graphs, archive = Graphs(), read_films(args.data / TRAIN_ZIP)
    held = held_back_patients(archive.patients, HELD_BACK_SEED)
    told = of_training(graphs, archive)
    logits, label = told["logit"], archive.pneumonia
    written_reference(
        "default",
        f"Training films only. distance, as_described, gap: quantiles of {DISTANCE_QUANTILE}, {DESCRIBED_QUANTILE}, "
        f"{GAP_QUANTILE} over films of held-back training patients, distances to the class means of the fitted films; "
        "entropy, sharpness and clipping: quantiles of 0.001 and 0.999 over all training films; grey levels and aspect "
        "are stated, not learnt.",
        told,
        label,
        ~held,
    )
    drawn, finding = synthetic(graphs, args.synthetic)
    written_reference(
        "synthetic",
        "Films drawn by synthetic-scanner/1.0.0, seeds from 10,000,000 on; two thirds fit the reference, one third "
        "bounds it, by the same quantiles as the default.",
        drawn,
        finding,
        np.arange(args.synthetic) % 3 != 0,
    )
    golden(graphs)
    # The lane that ends a doubt must begin where it hurts little: 1 % of held-back films with the finding, and without.
    edges = np.quantile(logits[held & label], 0.01), np.quantile(logits[held & ~label], 0.99)
    nominal = round(float(min(edges)), 4), round(float(max(edges)), 4)
    facts = json.loads((BUILD / "exported.json").read_text())
    (FOLDER / "LICENSE").write_text(LICENCE)
    (FOLDER / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    (FOLDER / "sbom.json").write_text(json.dumps(sbom(FOLDER), indent=2) + "\n")
    (FOLDER / "manifest.json").write_text(
        json.dumps(manifest(nominal, args.created, told["features"].shape[1]), indent=2) + "\n"
    )
    sum_up(FOLDER)
    print((FOLDER / "SHA256SUMS").read_text())


if __name__ == "__main__":
    main()
