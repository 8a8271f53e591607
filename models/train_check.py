"""Trains the check that a picture is what its header says: children's chests against everything that is none.

    .venv-train/bin/python models/train_check.py [--without other_part page] [--name check] [--device cuda]

Sources: the paediatric training films (less the held-back tenth), three fifths of the adult films' patients, the first
half of each body part of MedNIST (its licence is unverified: it is one source of several), pictures drawn from a seed.
Turned, inverted, cropped and degraded films are made from the chest films. No disease label is read. --without leaves
kinds out of the training, to see whether what was never shown is refused all the same. Site films are not opened.
"""

import argparse
import copy
import math
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

from augment_films import blurred, covered, placed, processed  # noqa: E402
from drawn_strangers import DRAWN, drawn  # noqa: E402
from films import ADULT_ZIP, BODYPART_ZIP, TRAIN_ZIP, held_back_patients, read_films  # noqa: E402
from network_check import SIDE_PX, Check  # noqa: E402
from network_kinds import KINDS  # noqa: E402
from splits import adult_may_train, part_may_train  # noqa: E402

BUILD = ROOT / "build/cxr-paediatric"
POOL_PX = 128
DRAWN_COUNT = 4200
PARTS = ("AbdomenCT", "ChestCT", "HeadCT")
# How often each kind is shown, in the order of KINDS.
SHARES = (0.36, 0.14, 0.1, 0.11, 0.07, 0.11, 0.04, 0.07)


def _pool(values: list[np.ndarray], device: str) -> Tensor:
    films = []
    for value in values:
        film = value.astype(np.float32)
        how = cv2.INTER_AREA if min(film.shape) >= POOL_PX else cv2.INTER_LINEAR
        film = cv2.resize(film, (POOL_PX, POOL_PX), interpolation=how)
        low, high = np.percentile(film, [0.5, 99.5])
        films.append(((film - low) / max(high - low, 1e-3)).clip(0, 1))
    return torch.from_numpy(np.stack(films)[:, None].astype(np.float32)).to(device)


def pools(data: Path, without: list[str], device: str) -> dict[str, Tensor]:
    train = read_films(data / TRAIN_ZIP)
    held = held_back_patients(train.patients, 0)
    adult = read_films(data / ADULT_ZIP)
    may = [adult_may_train(p) for p in adult.patients]
    parts = read_films(data / BODYPART_ZIP, patient_column="label")
    first = part_may_train(parts.rows)
    labels = np.array([row["label"] for row in parts.rows])
    kinds = [kind for kind in DRAWN if kind not in without]
    pictures = [255 * p for p in drawn(kinds, DRAWN_COUNT, 11)]
    return {
        "child": _pool([v for v, h in zip(train.values, held, strict=True) if not h], device),
        "adult": _pool([v for v, m in zip(adult.values, may, strict=True) if m], device),
        "small_adult": _pool(
            [v for v, f, b in zip(parts.values, first, labels, strict=True) if f and b == "CXR"], device
        ),
        "part": _pool([v for v, f, b in zip(parts.values, first, labels, strict=True) if f and b in PARTS], device),
        "drawn": _pool(pictures, device),
    }


def _some(pool: Tensor, count: int) -> Tensor:
    return pool[torch.randint(0, len(pool), (count,), device=pool.device)]


def _warped(x: Tensor, angle: Tensor, zoom: Tensor, x0: Tensor, y0: Tensor) -> Tensor:
    """Turned by angle, then the window of `zoom` times the side around (x0, y0), in -1..1."""
    warp = torch.zeros(len(x), 2, 3, device=x.device)
    warp[:, 0, 0], warp[:, 0, 1] = zoom * torch.cos(angle), -zoom * torch.sin(angle)
    warp[:, 1, 0], warp[:, 1, 1] = zoom * torch.sin(angle), zoom * torch.cos(angle)
    warp[:, 0, 2], warp[:, 1, 2] = x0, y0
    grid = F.affine_grid(warp, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="zeros" if torch.rand(1) < 0.6 else "border", align_corners=False)


def _cropped(x: Tensor) -> Tensor:
    """Parts of a film stretched to the whole: apex or base cut, a half, the middle; or the film small in black."""
    n, device = len(x), x.device
    kind = torch.randint(0, 7, (n,), device=device)
    cut = 0.16 + 0.34 * torch.rand(n, device=device)
    zero, one = torch.zeros(n, device=device), torch.ones(n, device=device)
    x0, y0, wide, high = zero.clone(), zero.clone(), one.clone(), one.clone()
    for number, (dx, dy) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0))):
        own = kind == number
        x0, y0 = torch.where(own, dx * cut, x0), torch.where(own, dy * cut, y0)
        wide = torch.where(own & (dx != 0), 1 - cut, wide)
        high = torch.where(own & (dy != 0), 1 - cut, high)
    corner = (kind == 4) | (kind == 5)
    middle = 0.45 + 0.2 * torch.rand(n, device=device)
    wide, high = torch.where(corner, middle, wide), torch.where(corner, middle, high)
    sign = torch.randint(0, 2, (n,), device=device) * 2.0 - 1
    x0 = torch.where(kind == 5, sign * (1 - middle), x0)
    y0 = torch.where(kind == 5, sign * (1 - middle) * (torch.rand(n, device=device) * 2 - 1), y0)
    small = 1.45 + 0.8 * torch.rand(n, device=device)
    wide, high = torch.where(kind == 6, small, wide), torch.where(kind == 6, small, high)
    warp = torch.zeros(n, 2, 3, device=device)
    warp[:, 0, 0], warp[:, 1, 1], warp[:, 0, 2], warp[:, 1, 2] = wide, high, x0, y0
    grid = F.affine_grid(warp, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)


def _degraded(x: Tensor) -> Tensor:
    kind = int(torch.randint(0, 4, (1,)))
    n, device = len(x), x.device
    if kind == 0:
        small = F.interpolate(x, scale_factor=float(0.1 + 0.12 * torch.rand(1)), mode="bilinear", antialias=True)
        return F.interpolate(small, size=x.shape[-2:], mode="bilinear")
    if kind == 1:
        return x + torch.randn_like(x) * (0.15 + 0.3 * torch.rand(n, 1, 1, 1, device=device))
    if kind == 2:
        return (x * (2 + 2 * torch.rand(n, 1, 1, 1, device=device))).clamp(0, 1)
    return (x - 0.4 - 0.25 * torch.rand(n, 1, 1, 1, device=device)).clamp(0, 1)


def _mild(x: Tensor) -> Tensor:
    """What every kind may suffer: small turns, other tones, other sharpness, covered corners."""
    x = placed(x, turn=0.14, scale=0.1, stretch=0.14, shift=0.07)
    if torch.rand(1) < 0.6:
        x = processed(x)
    if torch.rand(1) < 0.3:
        x = covered(x)
    return blurred(x, 3) if torch.rand(1) < 0.2 else x


def batch_of(pool: dict[str, Tensor], size: int, without: list[str]) -> tuple[Tensor, Tensor]:
    """Pictures [size, 1, SIDE_PX, SIDE_PX] in 0..1 and their kinds."""
    device = pool["child"].device
    shares = torch.tensor([0.0 if kind in without else share for kind, share in zip(KINDS, SHARES, strict=True)])
    counts = torch.bincount(torch.multinomial(shares, size, replacement=True), minlength=len(KINDS)).tolist()

    def chest(count: int) -> Tensor:
        adults = int(count * 0.3)
        return torch.cat([_some(pool["child"], count - adults), _some(pool["adult"], adults)])

    found = []
    for kind, count in zip(KINDS, counts, strict=True):
        if count == 0:
            continue
        if kind == "child_chest":
            x = _mild(_some(pool["child"], count))
        elif kind == "adult_chest":
            few = count // 5
            x = _mild(torch.cat([_some(pool["adult"], count - few), _some(pool["small_adult"], few)]))
        elif kind == "other_part":
            x = _mild(_some(pool["part"], count))
        elif kind == "turned":
            x = chest(count)
            angle = torch.randint(1, 4, (count,), device=device) * (math.pi / 2)
            odd = (torch.rand(count, device=device) * 2 - 1).sign() * (0.45 + 2.2 * torch.rand(count, device=device))
            angle = torch.where(torch.rand(count, device=device) < 0.7, angle, odd)
            zero = torch.zeros(count, device=device)
            x = _mild(_warped(x, angle, torch.ones(count, device=device), zero, zero))
        elif kind == "inverted":
            x = 1 - _mild(chest(count)).clamp(0, 1)
        elif kind == "cropped":
            x = _mild(_cropped(chest(count)))
        elif kind == "degraded":
            x = _degraded(_mild(chest(count)))
        else:
            x = _mild(_some(pool["drawn"], count))
        found.append(x)
    x = torch.cat(found)
    if torch.rand(1) < 0.3:  # sharpness must not tell the source: MedNIST is 64 px
        small = F.interpolate(x, size=(64, 64), mode="bilinear", antialias=True)
        x = F.interpolate(small, size=x.shape[-2:], mode="bilinear")
    x = F.interpolate(x, size=(SIDE_PX, SIDE_PX), mode="bilinear", antialias=True)
    flat = x.flatten(1).float()
    low, high = torch.quantile(flat, 0.005, dim=1), torch.quantile(flat, 0.995, dim=1)
    x = (x - low.view(-1, 1, 1, 1)) / (high - low).clamp(min=1e-3).view(-1, 1, 1, 1)
    target = torch.repeat_interleave(torch.arange(len(KINDS)), torch.tensor(counts)).to(device)
    return x.clamp(0, 1), target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--build", type=Path, default=BUILD)
    parser.add_argument("--without", nargs="*", default=[], choices=[*KINDS, *DRAWN])
    parser.add_argument("--name", default="check")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(2)
    args.build.mkdir(parents=True, exist_ok=True)
    pool = pools(args.data, args.without, args.device)
    print({name: len(films) for name, films in pool.items()}, flush=True)
    check = Check().to(args.device)
    average = copy.deepcopy(check).requires_grad_(False)
    optimiser = torch.optim.AdamW(check.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=args.steps, pct_start=0.15)
    began = time.monotonic()
    for step in range(args.steps):
        x, target = batch_of(pool, args.batch, args.without)
        loss = F.cross_entropy(check(x), target, label_smoothing=0.02)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), check.state_dict().values(), strict=True):
                if kept.dtype.is_floating_point:
                    kept.mul_(decay).add_(new, alpha=1 - decay)
        if step % 500 == 499 or step == args.steps - 1:
            print(
                f"{args.name} {step + 1}/{args.steps} loss {loss.item():.4f} {time.monotonic() - began:.0f} s",
                flush=True,
            )
    torch.save({k: v.cpu() for k, v in average.state_dict().items()}, args.build / f"{args.name}.pt")


if __name__ == "__main__":
    main()
