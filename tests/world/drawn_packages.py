"""Signed packages around drawn graphs, for tests: the template of `appliance models new` with another network in it."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from appliance.cli.model_template import new
from appliance.core.package import Package
from appliance.core.signature import key_id, public_of
from appliance.world.models import load_package
from appliance.world.models.making import sign_package
from tests.core.drawn_graphs import FEATURES, SIDE

SECRET = bytes(range(32))
PUBLIC = public_of(SECRET)
KEYS = {key_id(PUBLIC): PUBLIC}


def trust(folder: Path) -> Path:
    """A folder that trusts the key of these packages."""
    folder.mkdir(exist_ok=True)
    (folder / "tests.pub").write_text(PUBLIC.hex() + "\n")
    return folder


def write(
    root: Path,
    name: str = "drawn",
    version: str = "1.0.0",
    graphs: Mapping[str, onnx.ModelProto] | None = None,
    golden: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A signed package root/name/version. With graphs it is one of the drawn graphs: side 16, four features.

    golden   arrays instead of what the runtime makes of two random films
    changes  of the manifest
    """
    folder = new(root / name / version, date(2026, 11, 1))
    manifest = json.loads((folder / "manifest.json").read_text())
    if graphs is not None:
        for file, graph in graphs.items():
            (folder / file).write_bytes(graph.SerializeToString())
            manifest["files"][file] = ""
        manifest["input"]["side_px"] = manifest["input"]["steps"][0]["side_px"] = SIDE
        manifest["exits"][0]["features_count"] = FEATURES
        np.savez(folder / "gates.npz", projection=np.eye(FEATURES, dtype="f4"), centres=np.zeros((1, FEATURES), "f4"))
        arrays = golden or answers(graphs["model.onnx"])
        np.savez(folder / "golden.npz", **{"tolerance": np.array(1e-4), **arrays})
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    sign_package(folder, SECRET)
    return folder


def answers(graph: onnx.ModelProto, count: int = 2) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    films = np.random.default_rng(1).random((count, 1, 1, SIDE, SIDE), np.float32)
    found = [session.run(["logit", "features"], {"film": film}) for film in films]
    return {
        "films": films,
        "logits": np.array([logit[0] for logit, _ in found]),
        "features": np.array([features[0] for _, features in found]),
    }


def package(root: Path, **told: Any) -> Package:
    return load_package(write(root, **told), KEYS)
