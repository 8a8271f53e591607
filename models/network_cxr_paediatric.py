"""The network of cxr-paediatric-pneumonia: a small residual net with channel attention, about 1.1 M parameters.

Only training and export use it (torch); the product runs the exported ONNX graph and never imports this file.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (32, 64, 96, 160)
SIDE_PX = 128
THUMBNAIL_PX = 16
POOLED = WIDTHS[0] + WIDTHS[-1]
FEATURES = POOLED + THUMBNAIL_PX**2


class Block(nn.Module):
    """Two 3x3 convolutions, channel attention (Hu et al., arXiv:1709.01507), a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs // 4, 1),
            nn.ReLU(),
            nn.Conv2d(outputs // 4, outputs, 1),
            nn.Sigmoid(),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            pool: nn.Module = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        h = self.second(F.relu(self.first(x)))
        return F.relu(h * self.attention(h) + self.shortcut(x))


class Network(nn.Module):
    """[n, 1, side, side] in 0..1 to two class scores [n, 2]: no pneumonia, pneumonia."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = nn.Sequential(
            nn.Conv2d(1, a, 5, 2, 2, bias=False), nn.BatchNorm2d(a), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.stages = nn.ModuleList([Block(a, a, 1), Block(a, b, 2), Block(b, c, 2), Block(c, d, 2), Block(d, d, 1)])
        self.head = nn.Linear(d, 2)

    def pooled(self, x: Tensor) -> list[Tensor]:
        """The mean of every channel after each stage: [n, 32], [n, 64], [n, 96], [n, 160], [n, 160]."""
        mean = x.mean((2, 3), keepdim=True)
        deviation = ((x - mean) ** 2).mean((2, 3), keepdim=True).sqrt() + 1e-3
        h = self.stem((x - mean) / deviation)
        means = []
        for stage in self.stages:
            h = stage(h)
            means.append(h.mean((2, 3)))
        return means

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(F.dropout(self.pooled(x)[-1], 0.3, self.training))
        return scores


class Exported(nn.Module):
    """The graph of the package: one film in, `logit` [1] and `features` [1, FEATURES] out.

    The mirrored copy is averaged inside the graph, not by the product, so that one digest covers all that the score
    depends on and nobody can run half of it. The features serve the gate that asks whether a film is like those of
    the training: the pooled channels of the first stage and of the last (the penultimate layer), and a thumbnail.
    The last layer alone was taught to tell only pneumonia and lets more strange films through.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, film: Tensor) -> Any:
        means = self.network.pooled(torch.cat([film, film.flip(3)], 0))
        scores = self.network.head(means[-1])
        logit = (scores[:, 1] - scores[:, 0]).mean(0, keepdim=True)
        thumbnail = F.avg_pool2d(film, SIDE_PX // THUMBNAIL_PX).flatten(1)
        pooled = torch.cat([means[0], means[-1]], 1).mean(0, keepdim=True)
        return logit, torch.cat([pooled, thumbnail], 1)
