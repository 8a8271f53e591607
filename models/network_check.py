"""The small net that says what a picture is, whatever its header says. torch; the product runs the exported graph."""

import torch
import torch.nn.functional as F
from network_kinds import KINDS
from torch import Tensor, nn

SIDE_PX = 96
WIDTHS = (24, 48, 96, 144)


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class Check(nn.Module):
    """[n, 1, SIDE_PX, SIDE_PX] in 0..1 to logits of KINDS [n, 8]."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = nn.Sequential(nn.Conv2d(1, a, 5, 2, 2, bias=False), nn.BatchNorm2d(a), nn.ReLU())
        self.stages = nn.Sequential(Residual(a, b), Residual(b, c), Residual(c, d))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * d, len(KINDS)))

    def forward(self, x: Tensor) -> Tensor:
        h = self.stages(self.stem(2 * x - 1))
        said: Tensor = self.head(torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1))
        return said


class Exported(nn.Module):
    """check.onnx: picture [1, 1, SIDE_PX, SIDE_PX] to kinds [1, 8], mean probabilities of it and its mirror."""

    def __init__(self, check: Check) -> None:
        super().__init__()
        self.check = check

    def forward(self, picture: Tensor) -> Tensor:
        both = torch.softmax(self.check(torch.cat([picture, picture.flip(3)], 0)), 1)
        return both.mean(0, keepdim=True)
