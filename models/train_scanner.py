"""Trains the synthetic scanner on the paediatric training films (the held-back tenth stays out).

    .venv-train/bin/python models/train_scanner.py --start lite0.pth [--seconds 400] [--device cuda]

Three classes are learnt apart: without the finding, bacterial, viral. What it draws is for demonstration and load,
never for measuring. Besides the decoder it keeps each class's mean and covariance of codes, and a sheet of drawn films.
"""

import argparse
import copy
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from films import TRAIN_ZIP, held_back_patients, read_films  # noqa: E402
from network_cxr_paediatric import Network, from_imagenet  # noqa: E402
from network_scanner import CODE, SIDE_PX, Critic, Decoder, Encoder  # noqa: E402

from appliance.core.prepare import PreparationSpec, prepare  # noqa: E402

BUILD = ROOT / "build/cxr-paediatric"
CLASSES = ("", "bacteria", "virus")
DEPTHS = (2, 3, 5)


class Features(torch.nn.Module):
    """Maps of a fixed ImageNet net after some of its stages."""

    def __init__(self, start: Path) -> None:
        super().__init__()
        self.net = from_imagenet(Network(drop=0), torch.load(start, map_location="cpu")).eval().requires_grad_(False)
        self.widths = [self.net.widths[depth - 1] for depth in DEPTHS]

    def forward(self, film: Tensor) -> list[Tensor]:
        h, found = self.net.stem((film - 0.5) * 4), []
        for place, stage in enumerate(self.net.stages[: max(DEPTHS)], 1):
            h = stage(h)
            if place in DEPTHS:
                found.append(h)
        return found


def spread_of(encoder: Encoder, films: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [classes, CODE] and lower Cholesky factor [classes, CODE, CODE] of codes, a film's own spread included."""
    codes, own = [], []
    with torch.no_grad():
        for i in range(0, len(films), 256):
            mean, log_variance = encoder(films[i : i + 256].float())
            codes.append(mean.float())
            own.append(log_variance.float().exp())
    code, variance = torch.cat(codes), torch.cat(own)
    means, factors = [], []
    for k in range(len(CLASSES)):
        some = code[label == k]
        covariance = torch.cov(some.T) + torch.diag(variance[label == k].mean(0)) + 1e-4 * torch.eye(CODE).to(code)
        means.append(some.mean(0))
        factors.append(torch.linalg.cholesky(covariance.double()).float())
    return torch.stack(means), torch.stack(factors)


def disturbed(x: Tensor) -> Tensor:
    """Differentiable: brightness, shift, a hole; the same kinds for real and drawn films (arXiv:2006.10738)."""
    n, side, device = len(x), x.shape[-1], x.device
    x = x + (torch.rand(n, 1, 1, 1, device=device) - 0.5) * 0.3
    dy, dx = (int(v) for v in torch.randint(-side // 10, side // 10 + 1, (2,)))
    x = torch.roll(x, (dy, dx), (2, 3))
    top, left = (int(v) for v in torch.randint(0, side - side // 4, (2,)))
    hole = torch.ones_like(x)
    hole[:, :, top : top + side // 4, left : left + side // 4] = 0
    return x * hole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--build", type=Path, default=BUILD)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--films", type=int, default=0, help="only so many films, for a trial")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    args.build.mkdir(parents=True, exist_ok=True)
    device, cuda = args.device, args.device == "cuda"
    archive = read_films(args.data / TRAIN_ZIP)
    keep = np.flatnonzero(~held_back_patients(archive.patients, 0))[
        :: 1 if not args.films else len(archive.values) // args.films
    ]
    spec = PreparationSpec(SIDE_PX, 0.5, 99.5)
    films = np.concatenate([prepare(archive.values[i].astype(np.float32), False, spec) for i in keep])
    films = torch.from_numpy(films).to(device)
    label = torch.tensor([CLASSES.index(archive.rows[i]["subtype"]) for i in keep], device=device)
    print(f"{len(films)} films, {torch.bincount(label).tolist()}", flush=True)
    encoder, decoder, features = Encoder().to(device), Decoder().to(device), Features(args.start).to(device)
    critic = Critic(features.widths, len(CLASSES)).to(device)
    average = copy.deepcopy(decoder).requires_grad_(False)
    drawing = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 6e-4, betas=(0.5, 0.99))
    judging = torch.optim.Adam(critic.parameters(), 4e-4, betas=(0.0, 0.99))
    means, factors = spread_of(encoder, films, label)
    began, step = time.monotonic(), 0
    while time.monotonic() - began < args.seconds:
        part = torch.randint(0, len(films), (args.batch,), device=device)
        real, kind = films[part], label[part]
        rest = 1 - (time.monotonic() - began) / args.seconds
        for group in (*drawing.param_groups, *judging.param_groups):
            group["lr"] = (6e-4 if group in drawing.param_groups else 4e-4) * min(
                1.0, rest * 3 + 0.02, (step + 1) / 200
            )
        grain = torch.randn(2 * len(real), 1, SIDE_PX, SIDE_PX, device=device)
        with torch.autocast(args.device, torch.bfloat16, enabled=cuda):
            mean, log_variance = encoder(real)
            code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
            z = torch.randn(len(real), CODE, device=device)
            new = means[kind] + torch.einsum("nij,nj->ni", factors[kind], z)
            both = decoder(torch.cat([code, new]), grain)
            again, _ = both.chunk(2)
            maps, own = features(disturbed(both)), features(disturbed(real))
            said, named = critic(maps)
            with torch.no_grad():
                true_maps = features(real)
            near = features(again)
        likeness = (again.float() - real).abs().mean() * 4
        likeness = likeness + sum(F.l1_loss(a.float(), b.float()) for a, b in zip(near, true_maps, strict=True))
        bits = (0.5 * (mean.float() ** 2 + log_variance.float().exp() - 1 - log_variance.float())).sum(1).mean()
        fooled = -sum(s.float().mean() for s in said) / len(said)
        told = F.cross_entropy(named.float(), torch.cat([kind, kind]))
        warm = min(1.0, step / 400)
        loss = likeness + 2e-4 * bits + warm * (0.25 * fooled + 0.2 * told)
        drawing.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*encoder.parameters(), *decoder.parameters()], 5.0)
        drawing.step()
        with torch.autocast(args.device, torch.bfloat16, enabled=cuda):
            said_drawn, _ = critic([m.detach() for m in maps])
            said_real, named_real = critic([m.detach() for m in own])
        judged = sum(F.relu(1 + s.float()).mean() for s in said_drawn) + sum(
            F.relu(1 - s.float()).mean() for s in said_real
        )
        judged = judged / len(said) + 0.5 * F.cross_entropy(named_real.float(), kind)
        judging.zero_grad(set_to_none=True)
        judged.backward()
        judging.step()
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, new_value in zip(average.parameters(), decoder.parameters(), strict=True):
                kept.mul_(decay).add_(new_value, alpha=1 - decay)
        step += 1
        if step % 100 == 0:
            means, factors = spread_of(encoder, films, label)
        if step % 250 == 0:
            so_far = f"likeness {float(likeness):.3f} bits {float(bits):.0f} fooled {float(fooled):.2f}"
            judges = f"judged {float(judged):.2f} named {float(told):.2f}"
            print(f"scanner {step} steps {so_far} {judges} {time.monotonic() - began:.0f} s", flush=True)
    means, factors = spread_of(encoder, films, label)
    torch.save({k: v.cpu().half() for k, v in average.state_dict().items()}, args.build / "scanner.pt")
    np.savez(args.build / "scanner.npz", means=means.cpu().numpy(), factors=factors.cpu().numpy())
    sheet(average, means, factors, films, args.build / "scanner.png")


def sheet(decoder: Decoder, means: Tensor, factors: Tensor, films: Tensor, target: Path) -> None:
    """Eight drawn films a class, and a row of real ones below; to be looked at, not to be committed."""
    rows = []
    torch.manual_seed(5)
    with torch.no_grad():
        for mean, factor in zip(means, factors, strict=True):
            code = mean + torch.randn(8, CODE, device=mean.device) @ factor.T
            drawn = decoder(code, torch.randn(8, 1, SIDE_PX, SIDE_PX, device=mean.device))
            rows.append(torch.cat(list(drawn[:, 0]), 1))
    rows.append(torch.cat(list(films[:: len(films) // 8][:8, 0]), 1))
    cv2.imwrite(str(target), (torch.cat(rows).float().cpu().numpy() * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
