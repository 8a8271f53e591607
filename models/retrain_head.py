"""Makes the next version of a package from what signers said at the centre: the last layer anew, everything else kept.

    central export-corrections --state STATE > corrections.jsonl
    .venv/bin/python models/retrain_head.py --package models/NAME/VERSION --corrections corrections.jsonl \
        --state STATE --version NEXT --out FOLDER

The pictures are the key images of the cases in the centre's store, as a reader there sees them. The network's frozen
trunk gives its pooled features, and a ridge logistic regression on them becomes the new last layer, so that seconds of
one core do and numpy is enough. The label is the signer's word on the package's own finding: right, it is there; wrong,
it is not. Such labels are selected and lean towards the model that was in use (docs/learning.md): what comes of them
has to be certified anew, at each site. It signs nothing and publishes nothing.
"""

import argparse
import json
import shutil
import sqlite3
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from appliance.core.case import decode_case  # noqa: E402
from appliance.core.gates import distance  # noqa: E402
from appliance.core.prepare import prepared  # noqa: E402

Floats = NDArray[np.float64]
LABELS_MIN = 20  # of each kind; fewer make no model
RIDGE, STEPS_MAX = 0.1, 100
FOLDS = 5
LOGIT_MOST = 15.0  # within what the manifest lets a logit be
DIRECTIONS, DISTANCE_ROOM = 8, 1.5  # that the gate looks along; how far beyond the farthest film of training
WEIGHT, BIAS = "network.first_head.1.weight", "network.first_head.1.bias"
POOLED = slice(48, 208)  # of the features: the layer that the head reads, means and greatest values


class Material(NamedTuple):
    """features [film, features], finding [film], key of each film's study."""

    features: Floats
    finding: NDArray[np.bool_]
    keys: list[str]


class Graph:
    """A package's only exit on one thread."""

    def __init__(self, graph: bytes, steps: list[dict[str, Any]]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.steps = steps

    def on(self, tensor: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        logit, features = self.session.run(["logit", "features"], {"film": tensor})
        return float(np.asarray(logit)[0]), np.asarray(features)[0]

    def of(self, grey: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32]]:
        """A film [row, column], air dark: its logit and features."""
        return self.on(prepared([grey.astype(np.float32)], False, self.steps))


def labels(corrections: Path, code: str) -> dict[str, bool]:
    """Case id to what was said of the finding of this code; whoever could not tell says nothing."""
    found = {}
    for line in corrections.read_text("utf-8").splitlines():
        said = json.loads(line)
        for each in said["findings"]:
            if each["label"]["code"] == code and each["said"] in ("right", "wrong"):
                found[str(said["case_id"])] = each["said"] == "right"
    return found


def pictures(state: Path, wanted: set[str]) -> dict[str, NDArray[np.uint8]]:
    """Case id to its first key image, grey, out of the centre's store; read only."""
    store = sqlite3.connect(f"file:{state / 'central.db'}?mode=ro", uri=True)
    try:
        rows = store.execute("select case_id, body from cases where body is not null").fetchall()
    finally:
        store.close()
    found = {}
    for case_id, body in rows:
        if case_id in wanted and (images := decode_case(body).key_images):
            grey = cv2.imdecode(np.frombuffer(images[0].picture(), np.uint8), cv2.IMREAD_GRAYSCALE)
            assert grey is not None, "the case was read strictly"
            found[case_id] = np.asarray(grey, np.uint8)
    return found


def material(graph: Graph, corrections: Path, state: Path, code: str) -> Material:
    said = labels(corrections, code)
    shown = pictures(state, set(said))
    keys = sorted(shown)
    features = np.array([graph.of(shown[key])[1] for key in keys], np.float64)
    return Material(features, np.array([said[key] for key in keys]), keys)


def fitted(pooled: Floats, finding: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Weights and bias of a ridge logistic regression on standardised features, by Newton's method."""
    mean, spread = pooled.mean(0), pooled.std(0) + 1e-3
    x = np.hstack([(pooled - mean) / spread, np.ones((len(pooled), 1))])
    penalty = np.full(x.shape[1], RIDGE * x.shape[1])
    penalty[-1] = 1e-6
    w = np.zeros(x.shape[1])
    for _ in range(STEPS_MAX):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + np.diag(penalty), x.T @ (p - finding) + penalty * w)
        w -= step
        if np.abs(step).max() < 1e-8:
            break
    scale = w[:-1] / spread
    return scale, float(w[-1] - scale @ mean)


def held_out(pooled: Floats, finding: NDArray[np.bool_]) -> Floats:
    """Logits of films by heads that did not learn from them, in FOLDS parts."""
    part, logits = np.arange(len(finding)) % FOLDS, np.zeros(len(finding))
    for fold in range(FOLDS):
        weight, bias = fitted(pooled[part != fold], finding[part != fold])
        logits[part == fold] = pooled[part == fold] @ weight + bias
    return logits


def auroc(logit: Floats, finding: NDArray[np.bool_]) -> float:
    """Share of pairs that are in order, ties half."""
    above = logit[finding][:, None] - logit[~finding][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def with_head(graph: bytes, weight: Floats, bias: float) -> bytes:
    """The same graph with another last layer."""
    made = onnx.load_from_string(graph)
    new = {WEIGHT: weight[None].astype(np.float32), BIAS: np.array([bias], np.float32)}
    for each in made.graph.initializer:
        if each.name in new:
            each.CopyFrom(numpy_helper.from_array(new.pop(each.name), each.name))
    assert not new, "a package whose head this job does not know"
    return made.SerializeToString()


def reference(features: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Projection [k, features], one centre [1, k] and the greatest distance that still counts as alike."""
    pooled = features[:, POOLED]
    mean = pooled.mean(0)
    _, size, directions = np.linalg.svd(pooled - mean, full_matrices=False)
    count = min(DIRECTIONS, len(features) - 1)
    projection = np.zeros((count, features.shape[1]))
    projection[:, POOLED] = directions[:count] / (size[:count, None] / np.sqrt(len(features)) + 1e-6)
    centre = projection[:, POOLED] @ mean
    farthest = max(distance(film, projection, centre[None]) for film in features)
    return projection.astype(np.float32), centre[None].astype(np.float32), DISTANCE_ROOM * farthest


def write(out: Path, before: Path, graph: bytes, features: Floats, *, version: str, created: date, told: str) -> None:
    """The package of `before` with another graph, gates of these films and golden answers of it; unsigned."""
    shutil.copytree(before, out, ignore=shutil.ignore_patterns("certificates", "SHA256SUMS*"))
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    manifest |= {"version": version, "created": created.isoformat(), "training_data": told}
    projection, centres, most = reference(features)
    gates = json.loads((out / "gates.json").read_text("utf-8"))
    gates |= {"source": told, "films": len(features)}
    gates["bounds"]["distance"] = {"low": None, "high": round(most, 4), "code": "gate-out-of-distribution"}
    with np.load(out / "golden.npz", allow_pickle=False) as golden:
        films, tolerance = golden["films"], golden["tolerance"]
    (out / "model.onnx").write_bytes(graph)
    runs = Graph(graph, manifest["input"]["steps"])
    answers = [runs.on(film) for film in films]
    np.savez(
        out / "golden.npz",
        films=films,
        logits=np.array([logit for logit, _ in answers], np.float32),
        features=np.array([each for _, each in answers], np.float32),
        tolerance=tolerance,
    )
    np.savez(out / "gates.npz", projection=projection, centres=centres)
    (out / "gates.json").write_text(json.dumps(gates, indent=2) + "\n", "utf-8")
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--package", type=Path, required=True, help="the version before, a signed package's folder")
    asked.add_argument("--corrections", type=Path, required=True, help="what central export-corrections printed")
    asked.add_argument("--state", type=Path, required=True, help="the centre's state folder, read only")
    asked.add_argument("--version", required=True)
    asked.add_argument("--out", type=Path, required=True, help="NAME/VERSION, made")
    options = asked.parse_args()
    manifest = json.loads((options.package / "manifest.json").read_text("utf-8"))
    before = (options.package / "model.onnx").read_bytes()
    graph = Graph(before, manifest["input"]["steps"])
    found = material(graph, options.corrections, options.state, manifest["label"]["code"])
    present = int(found.finding.sum())
    if min(present, len(found.finding) - present) < LABELS_MIN:
        print(f"{len(found.finding)} corrected pictures, {present} with the finding: too few", file=sys.stderr)
        return 1
    pooled = found.features[:, POOLED]
    weight, bias = fitted(pooled, found.finding)
    largest = float(np.abs(pooled @ weight + bias).max())
    shrink = min(1.0, LOGIT_MOST / largest)
    told = f"{manifest['name']} {manifest['version']}, last layer from {len(found.keys)} corrected cases at the centre"
    made = with_head(before, weight * shrink, bias * shrink)
    day = datetime.now(UTC).date()
    write(options.out, options.package, made, found.features, version=options.version, created=day, told=told)
    figures = {
        "pictures": len(found.keys),
        "with_finding": present,
        "auroc_held_out": round(auroc(held_out(pooled, found.finding), found.finding), 4),
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
