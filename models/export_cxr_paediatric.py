"""Exports the student's two exits and the check as ONNX, opset 17, fixed shapes, weights inside at half precision.

    .venv-train/bin/python models/export_cxr_paediatric.py [--seed 1]

Of several students the one with the highest AUROC on held-back training patients is taken; --seed overrules that.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from films import SPEC  # noqa: E402
from halved_weights import packed  # noqa: E402
from network_check import SIDE_PX, Check, Exported  # noqa: E402
from network_cxr_paediatric import FirstExit, Network, SecondExit  # noqa: E402

BUILD = ROOT / "build/cxr-paediatric"
TARGET = ROOT / "models/cxr-paediatric-pneumonia/2.0.0"


def written(graph: nn.Module, inputs: Any, name: str, enters: str, leaves: list[str]) -> Any:
    """Writes one graph and returns what it gives for the inputs."""
    graph.eval()
    path = TARGET / name
    with torch.no_grad():
        found = graph(inputs)
        torch.onnx.export(
            graph, (inputs,), str(path), opset_version=17, input_names=[enters], output_names=leaves, dynamo=False
        )
    packed(path)
    print(name, path.stat().st_size, "bytes")
    return found


def best_seed() -> int:
    told = [json.loads(path.read_text()) for path in BUILD.glob("training-*.json")]
    return int(max(told, key=lambda facts: (facts["held_back_auroc"], -facts["seed"]))["seed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    seed = best_seed() if args.seed is None else args.seed
    TARGET.mkdir(parents=True, exist_ok=True)
    network = Network()
    network.load_state_dict(torch.load(BUILD / f"student-{seed}.pt"))
    film = torch.zeros(1, 1, SPEC.side_px, SPEC.side_px)
    first = ["logit", "gap", "features", "trunk"]
    *_, trunk = written(FirstExit(network), film, "exit1.onnx", "film", first)
    written(SecondExit(network, SPEC.side_px), trunk, "exit2.onnx", "trunk", ["logit", "gap", "features"])
    check = Check()
    check.load_state_dict(torch.load(BUILD / "check.pt"))
    written(Exported(check), torch.zeros(1, 1, SIDE_PX, SIDE_PX), "check.onnx", "film", ["kinds"])
    (BUILD / "exported.json").write_text((BUILD / f"training-{seed}.json").read_text())


if __name__ == "__main__":
    main()
