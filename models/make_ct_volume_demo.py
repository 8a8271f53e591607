"""Makes `ct-volume-demo`: a package whose weights are random, to show that a whole series of slices is looked at.

    .venv/bin/python models/make_ct_volume_demo.py [--key FILE] [--out models/ct-volume-demo/1.0.0]

It proves the way of a volume through the product and nothing else: slices ordered by their geometry, windowed in
Hounsfield units, stacked, run, and escalated. The package says in every place that its weights are random, and the
rule lets such a package only escalate. Two runs give the same bytes.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from appliance.cli.model_template import CARD_HEADINGS, random_graph  # noqa: E402
from appliance.core.gates import WITHOUT_NETWORK, Bound, Gates, Measure  # noqa: E402
from appliance.world.models.making import read_key, sign_package, sum_up  # noqa: E402

NAME, VERSION, CREATED = "ct-volume-demo", "1.0.0", date(2026, 11, 26)
FRAMES, SIDE_PX, CHANNELS, SEED = 5, 32, 8, 20261126
SAYS_NOTHING = "RANDOM WEIGHTS: IT SAYS NOTHING OF ANY PATIENT."
CARD_WORDS: dict[str, str] = {
    "Basic information": f"{SAYS_NOTHING} A demonstration of how a volume is looked at. Not for use on patients.",
    "Release information": "Research software, no medical device. It can only escalate; no certificate counts for it.",
    "Model summary": (
        f"Random weights, never trained. Input: one CT series as {FRAMES} slices of {SIDE_PX} x {SIDE_PX}, chosen "
        "evenly and stacked by where they lie in the patient, window 40/400 HU. Output: a number without meaning."
    ),
    "Uses and directions": (
        "To see a series go through the product: an off-plane, missing, doubled or shuffled slice is noticed, "
        "a whole series is stacked, scored by random weights and escalated. No result of it may be read as one."
    ),
    "Warnings": "Random weights. Whatever number it gives, it says nothing; nothing of it leaves for the centre.",
    "Trust ingredients": "No training data, no labels: the weights were drawn by a seeded generator in this script.",
    "Key metrics": "None: random weights have no performance.",
    "Resources": "models/make_ct_volume_demo.py made every file here.",
    "Bibliography": "None.",
}
LICENCE = "Random numbers, made by this project's models/make_ct_volume_demo.py: public domain (CC0 1.0).\n"


def golden(net: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Drawn volumes, and what the onnx package's own evaluator makes of them."""
    films = np.random.default_rng(SEED).random((2, 1, FRAMES, SIDE_PX, SIDE_PX), np.float32)
    evaluator = ReferenceEvaluator(net)
    found = [evaluator.run(["logit", "features"], {"volume": film}) for film in films]
    return {
        "films": films,
        "logits": np.array([logit[0] for logit, _ in found], np.float32),
        "features": np.array([features[0] for _, features in found], np.float32),
        "tolerance": np.array(0.001),
    }


def manifest() -> dict[str, Any]:
    files = dict.fromkeys(("model.onnx", "gates.json", "gates.npz", "golden.npz", "LICENSE"), "0" * 64)
    return {
        "schema_version": 2,
        "name": NAME,
        "version": VERSION,
        "created": CREATED.isoformat(),
        "weights": "random",
        "intended_use": f"{SAYS_NOTHING} Shows that a series of CT slices is ordered, stacked and run; only escalates.",
        "licence": "CC0 1.0, see LICENSE: random numbers",
        "training_data": "None: the weights are random.",
        "overlay": "none",
        "files": files,
        "input": {
            "name": "volume",
            "takes": "volume",
            "frames": FRAMES,
            "side_px": SIDE_PX,
            "steps": [
                {"step": "resize_area", "side_px": SIDE_PX},
                {"step": "hounsfield_window", "center": 40.0, "width": 400.0},
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
                "cost_ms": 0.1,
            }
        ],
        "check": None,
        "references": {"default": {"gates": "gates.json", "arrays": "gates.npz"}},
        "applies_to": {
            "modality": ["CT"],
            "sop_class_uid": ["1.2.840.10008.5.1.4.1.1.2"],
            "body_part_examined": ["", "HEAD"],
            "view_position": [""],
            "patient_age": None,
            "photometric": ["MONOCHROME2"],
            "bits_stored_min": 12,
            "bits_stored_max": 16,
            "side_px_min": 16,
        },
        "label": {
            "name": "unknown",
            "code": "261665006",
            "scheme": "SCT",
            "meaning": "Unknown (qualifier value): the weights are random, so a score stands for nothing.",
        },
        "nominal": {"clear_at_or_below": -19.0, "flag_at_or_above": 19.0},
    }


def card() -> str:
    assert tuple(CARD_WORDS) == CARD_HEADINGS
    sections = "\n".join(f"## {heading}\n\n{words}\n" for heading, words in CARD_WORDS.items())
    return f"# {NAME} {VERSION} (random weights)\n\n**{SAYS_NOTHING}**\n\n{sections}"


def sbom() -> dict[str, Any]:
    component = {"type": "machine-learning-model", "bom-ref": f"{NAME}@{VERSION}", "name": NAME, "version": VERSION}
    described = {**component, "description": SAYS_NOTHING}
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": described}}


def make(folder: Path) -> None:
    """Every file of the package but the signature."""
    folder.mkdir(parents=True, exist_ok=True)
    # Slices as channels: of random weights, so that it says nothing.
    net = random_graph("random-weights-says-nothing", "volume", (1, FRAMES, SIDE_PX, SIDE_PX), CHANNELS, SEED)
    (folder / "model.onnx").write_bytes(net.SerializeToString(deterministic=True))
    measures: tuple[Measure, ...] = (*WITHOUT_NETWORK, "distance")
    bounds = {each: Bound(low=None, high=None, code="gate-image-quality") for each in measures}
    source = "None: random weights, nothing is bounded."
    gates = Gates(schema_version=2, source=source, films=1, bounds=bounds, wanted=None)
    _json(folder / "gates.json", gates.model_dump(mode="json"))
    arrays = {"projection": np.eye(CHANNELS, dtype=np.float32), "centres": np.zeros((1, CHANNELS), np.float32)}
    np.savez(folder / "gates.npz", **arrays)  # type: ignore[arg-type]
    np.savez(folder / "golden.npz", **golden(net))  # type: ignore[arg-type]
    _json(folder / "manifest.json", manifest())
    _json(folder / "sbom.json", sbom())
    (folder / "CARD.md").write_text(card(), "utf-8")
    (folder / "LICENSE").write_text(LICENCE, "utf-8")
    sum_up(folder)


def _json(path: Path, told: object) -> None:
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "models" / NAME / VERSION)
    parser.add_argument("--key", type=Path, help="private key to sign with; without one it is not used by anybody")
    told = parser.parse_args()
    make(told.out)
    if told.key:
        sign_package(told.out, read_key(told.key))


if __name__ == "__main__":
    main()
