"""The network of cxr-paediatric-pneumonia: EfficientNet-Lite (Tan & Le, arXiv:1905.11946) with a head of its own after
the middle and one at the end. Only training and export use it (torch); the product runs the exported graphs.

A first exit may answer alone under a certificate of its own; the second is run where it may not. Both average the film
and its mirrored copy inside the graph, so that one digest covers all that a score depends on and nobody runs half of
it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# (blocks, kernel, stride, expansion, channels) of each stage; the first and the last are never deepened or widened.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280
SCALES = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}  # width, depth
FIRST_EXIT_AFTER = 4  # stages
EARLY_AFTER = 2
THUMBNAIL_PX = 16


def _channels(base: int, width: float) -> int:
    """Widened channels, a multiple of eight that is never less than nine tenths of what was asked."""
    wanted = base * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class Convolution(nn.Module):
    """Convolution, batch norm, and ReLU6 where asked; padded as TensorFlow's SAME, which the first weights expect."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True):
        super().__init__()
        self.pad = (0, 0) if kernel == 1 else ((kernel - 1) // 2, (kernel - 1) // 2)
        if stride == 2:
            self.pad = ((kernel - 2) // 2, (kernel - 1) // 2)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        before, after = self.pad
        x = self.norm(self.conv(F.pad(x, (before, after, before, after)) if after else x))
        return F.relu6(x) if self.active else x


class Block(nn.Module):
    """Inverted residual (Sandler et al., arXiv:1801.04381), with stochastic depth while training."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, drop: float) -> None:
        super().__init__()
        inner = inputs * expansion
        steps = [Convolution(inputs, inner, 1)] if expansion > 1 else []
        steps += [Convolution(inner, inner, kernel, stride, groups=inner), Convolution(inner, outputs, 1, active=False)]
        self.steps = nn.ModuleList(steps)
        self.shortcut = stride == 1 and inputs == outputs
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for step in self.steps:
            h = step(h)
        if not self.shortcut:
            return h
        if self.training and self.drop > 0:
            kept = (torch.rand(len(h), 1, 1, 1, device=h.device) >= self.drop).to(h.dtype)
            h = h * kept / (1 - self.drop)
        return x + h


class Network(nn.Module):
    """[n, 1, side, side] in 0..1 to the logits of both exits, [n] each."""

    def __init__(self, scale: str = "lite0", drop: float = 0.1, dropout: float = 0.3) -> None:
        super().__init__()
        width, depth = SCALES[scale]
        self.stem = Convolution(1, STEM, 3, 2)
        stages, channels, self.widths = [], STEM, []
        for place, (blocks, kernel, stride, expansion, base) in enumerate(STAGES):
            ends = place in (0, len(STAGES) - 1)
            outputs = _channels(base, width)
            count = blocks if ends else int(-(-blocks * depth // 1))
            stage = []
            for number in range(count):
                entering = number == 0
                stage.append(
                    Block(channels, outputs, kernel, stride if entering else 1, expansion, drop * place / len(STAGES))
                )
                channels = outputs
            stages.append(nn.Sequential(*stage))
            self.widths.append(outputs)
        self.stages = nn.ModuleList(stages)
        self.last = Convolution(channels, HEAD, 1)
        middle = self.widths[FIRST_EXIT_AFTER - 1]
        self.first_head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * middle, 1))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(HEAD, 1))

    def early(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The map after the first exit's stage, and the means of an early stage's channels."""
        mean = x.mean((2, 3), keepdim=True)
        deviation = ((x - mean) ** 2).mean((2, 3), keepdim=True).sqrt() + 1e-3
        h = self.stem((x - mean) / deviation)
        means = h
        for place, stage in enumerate(self.stages[:FIRST_EXIT_AFTER], 1):
            h = stage(h)
            if place == EARLY_AFTER:
                means = torch.cat([h.mean((2, 3)), h.std((2, 3))], 1)
        return h, means

    def first(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """The first exit: logit [n], pooled map [n, 2 c] (means and greatest values)."""
        pooled = torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1)
        return self.first_head(pooled)[:, 0], pooled

    def second(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """The second exit: logit [n], pooled last map [n, HEAD]."""
        for stage in self.stages[FIRST_EXIT_AFTER:]:
            h = stage(h)
        pooled = self.last(h).mean((2, 3))
        return self.head(pooled)[:, 0], pooled

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, _ = self.early(x)
        return self.first(h)[0], self.second(h)[0]


def from_imagenet(network: Network, weights: dict[str, Tensor]) -> Network:
    """Starts from ImageNet weights named as `efficientnet_lite_pytorch` names them: the colours' kernels are summed.

    Batch norms and convolutions come in the same order in both, so they are matched one by one and by shape.
    """
    own = network.state_dict()
    norms = ("weight", "bias", "running_mean", "running_var")
    pairs: list[tuple[str, str]] = [("stem.conv", "_conv_stem"), ("stem.norm", "_bn0")]
    number = 0
    for place, stage in enumerate(network.stages):
        for inner, block in enumerate(stage):  # type: ignore[arg-type]
            theirs = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            for step, (conv, norm) in enumerate(theirs[-len(block.steps) :]):
                stem = f"stages.{place}.{inner}.steps.{step}"
                pairs += [(f"{stem}.conv", f"_blocks.{number}.{conv}"), (f"{stem}.norm", f"_blocks.{number}.{norm}")]
            number += 1
    pairs += [("last.conv", "_conv_head"), ("last.norm", "_bn1")]
    for mine, theirs_name in pairs:
        for part in ("weight",) if mine.endswith("conv") else norms:
            value = weights[f"{theirs_name}.{part}"].float()
            if mine == "stem.conv":
                value = value.sum(1, keepdim=True)
            assert own[f"{mine}.{part}"].shape == value.shape, f"{mine}.{part}"
            own[f"{mine}.{part}"] = value
    network.load_state_dict(own)
    return network


def _both(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of a film and its mirrored copy: the mean of both logits [1], and how far they lie apart [1]."""
    return logits.mean(0, keepdim=True), (logits[0:1] - logits[1:2]).abs()


class FirstExit(nn.Module):
    """exit1.onnx: film [1, 1, side, side] to logit, gap, features and the trunk for the second exit.

    Features are for the gate that asks whether a film is like those of the training: early channels, the exit's own
    channels, and a thumbnail. The last layer alone was taught one question and lets more strange films through. They
    travel in the trunk, behind the map, so that the second exit gives them again.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, film: Tensor) -> Any:
        h, early = self.network.early(torch.cat([film, film.flip(3)], 0))
        logits, pooled = self.network.first(h)
        side = film.shape[-1] // THUMBNAIL_PX
        thumbnail = F.avg_pool2d(film, side).flatten(1)
        features = torch.cat([early.mean(0, keepdim=True), pooled.mean(0, keepdim=True), thumbnail], 1)
        return (*_both(logits), features, torch.cat([h.reshape(1, -1), features], 1))


class SecondExit(nn.Module):
    """exit2.onnx: the trunk [1, n] to logit, gap and the first exit's features."""

    def __init__(self, network: Network, side_px: int) -> None:
        super().__init__()
        self.network = network
        self.shape = (2, network.widths[FIRST_EXIT_AFTER - 1], side_px // 16, side_px // 16)

    def forward(self, trunk: Tensor) -> Any:
        count = self.shape[0] * self.shape[1] * self.shape[2] * self.shape[3]
        logits, _ = self.network.second(trunk[:, :count].reshape(self.shape))
        return (*_both(logits), trunk[:, count:])
