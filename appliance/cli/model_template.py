"""`appliance models new DIR`: a package to start from, complete and worth nothing.

Its network is a few random weights, and the manifest says so: such a package can only escalate. Every paper is there
with what belongs into it; what is left to be written says TO FILL, and `models check` counts those.
"""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.core.gates import WITHOUT_NETWORK, Bound, Gates, Measure
from appliance.errors import Misconfigured

VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SIDE_PX, CHANNELS, GOLDEN_FILMS, SEED = 64, 8, 2, 20261126
TO_FILL = "TO FILL"
# The CHAI Applied Model Card (Coalition for Health AI), its sections in their order.
CARD_HEADINGS = (
    "Basic information",
    "Release information",
    "Model summary",
    "Uses and directions",
    "Warnings",
    "Trust ingredients",
    "Key metrics",
    "Resources",
    "Bibliography",
)
CARD_WORDS: dict[str, str] = {
    "Basic information": "Name, version, developer, whom to call. What a radiologist must know, in ten lines.",
    "Release information": "Stage, date, regulatory state: research software is no medical device.",
    "Model summary": "What it looks for, what a score is, input and preparation, architecture, size, time a film.",
    "Uses and directions": "Intended use, patients, setting, users, how a result is to be read; what it is not for.",
    "Warnings": "Known risks, failures with pictures of them, who is not covered.",
    "Trust ingredients": "Training data and their licence, labels, bias looked for, who paid, how it is maintained.",
    "Key metrics": "Usefulness, fairness by subgroup, safety: goal, result with interval, data, for each.",
    "Resources": "Evaluation (eval/), certificates, articles, code.",
    "Bibliography": "Sources.",
}


def new(target: Path, created: date) -> Path:
    """Writes a package to start from: DIR itself where it ends in a version, else DIR/0.1.0.

    returns  the package's folder, <name>/<version>
    raises   Misconfigured("model-template"): the folder exists, or its name is no name for a model
    """
    folder = target if VERSION.fullmatch(target.name) else target / "0.1.0"
    name, version = folder.parent.name, folder.name
    if folder.exists() or not NAME.fullmatch(name):
        raise Misconfigured("model-template", folder.name)
    folder.mkdir(parents=True)
    graph = random_graph("template", "film", (1, 1, SIDE_PX, SIDE_PX), CHANNELS, SEED)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    measures: tuple[Measure, ...] = (*WITHOUT_NETWORK, "distance")
    bounds = {measure: Bound(low=None, high=None, code="gate-image-quality") for measure in measures}
    gates = Gates(
        schema_version=2,
        source=f"{TO_FILL}: which training films the bounds come from",
        films=1,
        bounds=bounds,
        wanted=None,
    )
    _json(folder / "gates.json", gates.model_dump(mode="json"))
    np.savez(folder / "gates.npz", projection=np.eye(CHANNELS, dtype=np.float32), centres=np.zeros((1, CHANNELS), "f4"))
    films = np.random.default_rng(SEED).random((GOLDEN_FILMS, 1, 1, SIDE_PX, SIDE_PX), np.float32)
    logits, features = _answers(graph, films)
    np.savez(folder / "golden.npz", films=films, logits=logits, features=features, tolerance=np.array(1e-3))
    _json(folder / "manifest.json", _manifest(name, version, created))
    _json(folder / "sbom.json", _sbom(name, version))
    (folder / "CARD.md").write_text(_card(name, version), "utf-8")
    (folder / "LICENSE").write_text(
        f"{TO_FILL}: under what terms the weights may be used, and what they were made from.\n"
    )
    (folder / "eval").mkdir()
    (folder / "eval/README.md").write_text(EVAL, "utf-8")
    (folder / "README.md").write_text(README.format(title=f"{name}/{version}"), "utf-8")
    return folder


def random_graph(name: str, enters: str, shape: tuple[int, int, int, int], channels: int, seed: int) -> onnx.ModelProto:
    """Two convolutions of random weights, pooled: features [1, channels] and logit [1] of an input of that shape."""
    drawn = np.random.default_rng(seed)

    def weight(label: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(drawn.normal(0, 0.3, shape).astype(np.float32), label)

    nodes = [
        helper.make_node("Conv", [enters, "w1"], ["c1"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "w3"], ["scored"]),
        helper.make_node("Flatten", ["scored"], ["flat"], axis=0),
        helper.make_node("ReduceSum", ["flat", "last"], ["logit"], keepdims=0),
    ]
    weights = [
        weight("w1", channels, shape[1], 3, 3),
        weight("w2", channels, channels, 3, 3),
        weight("w3", channels, 1),
        numpy_helper.from_array(np.array([1], np.int64), "last"),
    ]
    given = helper.make_tensor_value_info(enters, TensorProto.FLOAT, list(shape))
    outputs = [
        helper.make_tensor_value_info("logit", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, channels]),
    ]
    graph = helper.make_graph(nodes, name, [given], outputs, weights)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def _answers(graph: onnx.ModelProto, films: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the reference evaluator of the onnx package, not the runtime, makes of the films."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(graph)
    found: list[Any] = [evaluator.run(["logit", "features"], {"film": film}) for film in films]
    return np.array([logit[0] for logit, _ in found], "f4"), np.array([features[0] for _, features in found], "f4")


def _manifest(name: str, version: str, created: date) -> dict[str, Any]:
    files = ("model.onnx", "gates.json", "gates.npz", "golden.npz", "LICENSE")
    return {
        "schema_version": 2,
        "name": name,
        "version": version,
        "created": created.isoformat(),
        "weights": "random",
        "intended_use": f"{TO_FILL}: for whom, where, and what it is not for.",
        "licence": f"{TO_FILL}, see LICENSE",
        "training_data": f"{TO_FILL}: none; the weights are random.",
        "overlay": "none",
        "files": dict.fromkeys(files, "0" * 64),  # `models sign` writes the true ones
        "input": {
            "name": "film",
            "takes": "frame",
            "frames": 1,
            "side_px": SIDE_PX,
            "steps": [
                {"step": "resize_area", "side_px": SIDE_PX},
                {"step": "percentile_window", "low": 0.5, "high": 99.5},
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
                "features_count": CHANNELS,
                "gap": None,
                "energy": None,
                "trunk": None,
                "cost_ms": 1.0,
            }
        ],
        "check": None,
        "references": {"default": {"gates": "gates.json", "arrays": "gates.npz"}},
        "applies_to": {
            "modality": ["CR", "DX"],
            "sop_class_uid": ["1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"],
            "body_part_examined": ["CHEST"],
            "view_position": ["AP", "PA"],
            "patient_age": {"years_min": 18, "years_max": 120},
            "photometric": ["MONOCHROME1", "MONOCHROME2"],
            "bits_stored_min": 8,
            "bits_stored_max": 16,
            "side_px_min": SIDE_PX,
        },
        "label": {
            "name": "finding",
            "code": "404684003",
            "scheme": "SCT",
            "meaning": f"{TO_FILL}: what a positive label really meant; 404684003 is Clinical finding (finding).",
        },
        "nominal": {"clear_at_or_below": -1.0, "flag_at_or_above": 1.0},
    }


def _sbom(name: str, version: str) -> dict[str, Any]:
    """A bill of materials, CycloneDX 1.6 in JSON: the network, and below it what it was made from."""
    component = {"type": "machine-learning-model", "bom-ref": f"{name}@{version}", "name": name, "version": version}
    data = {"type": "data", "bom-ref": "training-data", "name": f"{TO_FILL}: the training data"}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component},
        "components": [data],
        "dependencies": [{"ref": component["bom-ref"], "dependsOn": ["training-data"]}],
    }


def _card(name: str, version: str) -> str:
    sections = [f"## {heading}\n\n{TO_FILL}: {CARD_WORDS[heading]}\n" for heading in CARD_HEADINGS]
    opening = (
        f"# {name} {version}\n\nThe weights are random: this package says nothing of a patient and only escalates.\n"
    )
    return "\n".join([opening, *sections])


def _json(path: Path, told: object) -> None:
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")


EVAL = f"""# Evaluation

{TO_FILL}: `scores.csv` (one line a film: hashed id, label, score, gates failed), `report.json` and plots, all of them
regenerated from the scores by one command, which is named here.
"""
README = f"""# {{title}}: what to do with this folder

1. Put your network here as `model.onnx`: one input, float32 [1, frames, side, side], fixed shapes, its weights inside
   the file; outputs float32: the logit [1] and features [1, n]. Operators of ONNX and ONNX-ML only; no branches, no
   loops, no functions.
2. Describe it in `manifest.json`: `weights` is `trained` now; `input` and its preparation steps exactly as in
   training; `exits`; the header values of `applies_to`; the `label` by its SNOMED CT or RadLex code.
3. Make `gates.json` and `gates.npz` from your training films, and `golden.npz` from drawn films, never from patients'.
   `appliance models check FOLDER --golden` writes the golden answers of this machine.
4. Write `CARD.md`, `LICENSE`, `sbom.json` and `eval/`. Whatever still says {TO_FILL} is counted by `check`.
5. `appliance models check FOLDER`, until it has nothing to say; then `appliance models sign FOLDER --key FILE`.
6. On the appliance: `appliance models install FOLDER`, then `appliance models shadow NAME/VERSION`, and when you know
   enough, `activate`. It decides nothing before a certificate of your site is signed: `appliance certify`.

Take this file away when you are done.
"""
