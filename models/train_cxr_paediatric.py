"""Trains cxr-paediatric-pneumonia from nothing on the training archive alone and exports it as ONNX.

    .venv-train/bin/python models/train_cxr_paediatric.py [--data ../shared/data] [--epochs 21] [--seed 0]

Patient-disjoint: a tenth of the training patients is held back and only ever scored. The site's films are not opened
here: they calibrate and certify, and what is tuned on them could no longer do either. The number of epochs is fixed
beforehand; the weights are the exponential moving average after the last one. Weights go to build/, the graph into the
package; `package_cxr_paediatric.py` makes the rest of the package from it.
"""

import argparse
import copy
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from films import SPEC, TRAIN_ZIP, auroc, held_back_patients, read_films  # noqa: E402
from network_cxr_paediatric import Exported, Network  # noqa: E402

PACKAGE = ROOT / "models/cxr-paediatric-pneumonia/1.0.0"
BUILD = ROOT / "build/cxr-paediatric"
BATCH = 64
EMA_DECAY = 0.998


def augmented(x: Tensor) -> Tensor:
    """Films as other rooms would have made them: turned, scaled, shifted, exposed, blurred, noisy, partly covered."""
    n, side = len(x), x.shape[-1]
    angle = (torch.rand(n) - 0.5) * 0.35
    scale = 1 + (torch.rand(n) - 0.5) * 0.45
    aspect = torch.exp((torch.rand(n) - 0.5) * 0.35)
    warp = torch.zeros(n, 2, 3)
    warp[:, 0, 0] = scale * aspect * torch.cos(angle)
    warp[:, 0, 1] = -torch.sin(angle) * scale
    warp[:, 1, 0] = torch.sin(angle) * scale
    warp[:, 1, 1] = scale / aspect * torch.cos(angle)
    warp[:, :, 2] = (torch.rand(n, 2) - 0.5) * 0.3
    border = "border" if torch.rand(1) < 0.5 else "zeros"
    grid = F.affine_grid(warp, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode=border, align_corners=False)
    x = x.clamp(1e-4, 1) ** torch.exp((torch.rand(n, 1, 1, 1) - 0.5) * 1.2)
    if torch.rand(1) < 0.3:
        x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = x + torch.randn_like(x) * 0.06 * torch.rand(n, 1, 1, 1)
    seen = torch.ones_like(x)
    hole = side // 4
    for i in range(n):
        if torch.rand(1) < 0.5:
            row, column = torch.randint(0, side - hole, (2,)).tolist()
            seen[i, :, row : row + hole, column : column + hole] = 0
    return x * seen + (1 - seen) * x.mean()


def scores_of(network: nn.Module, films: Tensor) -> np.ndarray:
    """Logits with the mirrored copy averaged in, as the exported graph gives them: float64 [n]."""
    network.eval()
    with torch.no_grad():
        halves = [network(films[i : i + 64]) + network(films[i : i + 64].flip(3)) for i in range(0, len(films), 64)]
    both = torch.cat(halves) / 2
    return (both[:, 1] - both[:, 0]).double().numpy()


def moved_average(average: nn.Module, network: nn.Module, step: int) -> None:
    """One step of the exponential moving average; short memory at first, counters copied."""
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.dtype.is_floating_point:
                kept.mul_(decay).add_(new, alpha=1 - decay)
            else:
                kept.copy_(new)


def trained(films: Tensor, label: Tensor, held: Tensor, held_label: np.ndarray, epochs: int, seed: int) -> Network:
    """The averaged network after `epochs` passes; prints a line an epoch."""
    torch.manual_seed(seed)
    mixing = np.random.default_rng(seed)
    network = Network().to(memory_format=torch.channels_last)
    average = copy.deepcopy(network)
    count = len(films)
    positives = int(label.sum())
    weight = torch.tensor([count / 2 / (count - positives), count / 2 / positives])
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    steps = epochs * math.ceil(count / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2.5e-3, total_steps=steps, pct_start=0.2)
    step = 0
    for epoch in range(epochs):
        started = time.monotonic()
        network.train()
        order = torch.randperm(count)
        for i in range(0, count, BATCH):
            batch = order[i : i + BATCH]
            x, y = augmented(films[batch]), label[batch]
            other = torch.randperm(len(batch))
            share = float(mixing.beta(0.3, 0.3))
            out = network((share * x + (1 - share) * x[other]).to(memory_format=torch.channels_last))
            loss = share * F.cross_entropy(out, y, weight=weight, label_smoothing=0.05)
            loss = loss + (1 - share) * F.cross_entropy(out, y[other], weight=weight, label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            step += 1
            moved_average(average, network, step)
        told = f"epoch {epoch + 1}/{epochs} loss {loss.item():.3f} {time.monotonic() - started:.0f} s"
        if epoch % 4 == 3 or epoch == epochs - 1:
            told += f" held-back AUROC {auroc(scores_of(average, held), held_label):.4f}"
            torch.save(average.state_dict(), BUILD / "weights.pt")
        print(told, flush=True)
    return average


def export(network: Network, target: Path) -> None:
    """The ONNX graph, opset 17, fixed [1, 1, side, side], weights inside the file."""
    import onnx

    graph = Exported(network.to(memory_format=torch.contiguous_format)).eval()
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        graph,
        (torch.zeros(1, 1, SPEC.side_px, SPEC.side_px),),
        str(target),
        opset_version=17,
        input_names=["film"],
        output_names=["logit", "features"],
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(str(target)), full_check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--epochs", type=int, default=21)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export-only", action="store_true", help="export the weights of the last training again")
    args = parser.parse_args()
    torch.set_num_threads(2)
    BUILD.mkdir(parents=True, exist_ok=True)
    network = Network()
    if not args.export_only:
        archive = read_films(args.data / TRAIN_ZIP)
        held = held_back_patients(archive.patients, args.seed)
        films, label = torch.from_numpy(archive.prepared()), archive.pneumonia
        parameters = sum(p.numel() for p in network.parameters())
        print(
            f"{parameters} parameters, {int((~held).sum())} films to train on, {int(held.sum())} held back", flush=True
        )
        fit = torch.from_numpy(~held)
        wanted = torch.from_numpy(label.astype(np.int64))
        network = trained(films[fit], wanted[fit], films[~fit], label[held], args.epochs, args.seed)
        facts = {"seed": args.seed, "epochs": args.epochs, "parameters": parameters}
        (BUILD / "training.json").write_text(json.dumps(facts))
    network.load_state_dict(torch.load(BUILD / "weights.pt"))
    export(network, PACKAGE / "model.onnx")
    print(f"{PACKAGE.name}/model.onnx: {(PACKAGE / 'model.onnx').stat().st_size} bytes")


if __name__ == "__main__":
    main()
