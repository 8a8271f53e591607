"""The synthetic scanner's net: a latent code becomes a chest film of 224 x 224 px that shows nobody. torch.

An encoder maps real training films to Gaussian codes, a decoder draws films from codes (a variational autoencoder,
Kingma & Welling, arXiv:1312.6114), sharpened by a discriminator on fixed ImageNet features (Sauer et al.,
arXiv:2111.01007). Only the decoder ships, with the mean and spread of each class's codes: no code of a film does.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SIDE_PX = 224
CODE = 128
LEVELS = (224, 192, 160, 112, 72, 40)  # channels at 7, 14, 28, 56, 112, 224 px


class Drawn(nn.Module):
    """One level of the decoder: twice the size, two convolutions, each tuned by the code and stirred by noise."""

    def __init__(self, inputs: int, outputs: int, grow: bool, side: int) -> None:
        super().__init__()
        self.grow = grow
        self.coarser = SIDE_PX // side
        self.first, self.second = nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(8, outputs, affine=False) for _ in range(2)])
        self.tune = nn.Linear(CODE, 4 * outputs)
        self.stir = nn.Parameter(torch.zeros(2, outputs, 1, 1))

    def forward(self, h: Tensor, code: Tensor, noise: Tensor) -> Tensor:
        if self.grow:
            h = F.interpolate(h, scale_factor=2, mode="nearest")
        grain = F.avg_pool2d(noise, self.coarser) * self.coarser  # as strong at every level
        gains = self.tune(code)[:, :, None, None].chunk(4, 1)
        for place, convolution in enumerate((self.first, self.second)):
            h = self.norms[place](convolution(h) + self.stir[place] * grain)
            h = F.silu(h * (1 + gains[2 * place]) + gains[2 * place + 1])
        return h


class Decoder(nn.Module):
    """Standard normal code [n, CODE] and noise [n, 1, SIDE_PX, SIDE_PX] to films [n, 1, SIDE_PX, SIDE_PX] in 0..1."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(CODE, LEVELS[0] * 49)
        pairs = zip((LEVELS[0], *LEVELS[:-1]), LEVELS, strict=True)
        self.levels = nn.ModuleList([Drawn(i, o, place > 0, 7 * 2**place) for place, (i, o) in enumerate(pairs)])
        self.out = nn.Conv2d(LEVELS[-1], 1, 3, 1, 1)

    def forward(self, code: Tensor, noise: Tensor) -> Tensor:
        h = self.start(code).view(-1, LEVELS[0], 7, 7)
        for level in self.levels:
            h = level(h, code, noise)
        return torch.sigmoid(self.out(h))


class Encoder(nn.Module):
    """Films to mean and log variance of their codes, [n, CODE] each."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 32, 64, 128, 192, 256)
        self.steps = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(i, o, 4, 2, 1), nn.GroupNorm(8, o), nn.SiLU())
                for i, o in itertools.pairwise(widths)
            )
        )
        self.out = nn.Linear(256 * 49, 2 * CODE)

    def forward(self, film: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = self.out(self.steps(film).flatten(1)).chunk(2, 1)
        return mean, spread.clamp(-8, 4)


class Critic(nn.Module):
    """Real or drawn, and of which class, by fixed features of several depths: [n, places] each, [n, classes]."""

    def __init__(self, widths: list[int], classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            [
                nn.Sequential(
                    spectral_norm(nn.Conv2d(w, 96, 3, 1, 1)),
                    nn.LeakyReLU(0.2),
                    spectral_norm(nn.Conv2d(96, 1, 3, 1, 1)),
                )
                for w in widths
            ]
        )
        self.name = nn.Linear(widths[-1], classes)

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        said = [head(m).flatten(1) for head, m in zip(self.heads, maps, strict=True)]
        return said, self.name(maps[-1].mean((2, 3)))
