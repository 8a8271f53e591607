"""Exports the synthetic scanner's decoder as ONNX with half-precision weights, and its classes' codes.

.venv-train/bin/python models/export_scanner.py

codes.npz   means float32 [class, code], factors float32 [class, code, code] (lower Cholesky), classes in the order
            normal, bacteria, virus
"""

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from halved_weights import packed  # noqa: E402
from network_scanner import CODE, SIDE_PX, Decoder  # noqa: E402

BUILD = ROOT / "build/cxr-paediatric"
TARGET = ROOT / "models/synthetic-scanner/1.0.0"


def main() -> None:
    decoder = Decoder()
    decoder.load_state_dict({k: v.float() for k, v in torch.load(BUILD / "scanner.pt").items()})
    decoder.eval()
    TARGET.mkdir(parents=True, exist_ok=True)
    path = TARGET / "decoder.onnx"
    torch.onnx.export(
        decoder,
        (torch.zeros(1, CODE), torch.zeros(1, 1, SIDE_PX, SIDE_PX)),
        str(path),
        opset_version=17,
        input_names=["code", "noise"],
        output_names=["film"],
        dynamo=False,
    )
    packed(path)
    codes = np.load(BUILD / "scanner.npz")
    np.savez(TARGET / "codes.npz", means=codes["means"].astype(np.float32), factors=codes["factors"].astype(np.float32))
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
