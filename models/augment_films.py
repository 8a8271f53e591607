"""Films as other rooms would have made them: placed, exposed, processed and covered otherwise. Training only (torch).

Every change keeps the diagnosis. Corners are blanked and the aspect is stretched often, so that neither a marker nor
the shape of the plate can stand for a disease.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def placed(x: Tensor, *, turn: float = 0.17, scale: float = 0.22, stretch: float = 0.2, shift: float = 0.15) -> Tensor:
    """Turned (radians), scaled, stretched, shifted and half the time mirrored, each evenly within its bound."""
    n, device = len(x), x.device

    def even(bound: float) -> Tensor:
        return (torch.rand(n, device=device) * 2 - 1) * bound

    angle, size, aspect = even(turn), 1 + even(scale), torch.exp(even(stretch))
    side = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    warp = torch.zeros(n, 2, 3, device=device)
    warp[:, 0, 0] = size * aspect * torch.cos(angle) * side
    warp[:, 0, 1] = -torch.sin(angle) * size
    warp[:, 1, 0] = torch.sin(angle) * size * side
    warp[:, 1, 1] = size / aspect * torch.cos(angle)
    warp[:, :, 2] = torch.stack([even(shift), even(shift)], 1)
    border = "border" if torch.rand(1) < 0.5 else "zeros"
    grid = F.affine_grid(warp, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode=border, align_corners=False)


def blurred(x: Tensor, size: int) -> Tensor:
    half = size // 2
    return F.avg_pool2d(F.pad(x, (half, half, half, half), mode="replicate"), size, 1)


def processed(x: Tensor) -> Tensor:
    """Another tone curve, another edge enhancement, another sharpness, another noise."""
    n, device = len(x), x.device

    def one() -> Tensor:
        return torch.rand(n, 1, 1, 1, device=device)

    x = x.clamp(1e-4, 1) ** torch.exp((one() - 0.5) * 1.2)
    steep, middle = 2 + 6 * one(), 0.3 + 0.4 * one()
    curve = torch.sigmoid(steep * (x - middle))
    low, high = torch.sigmoid(-steep * middle), torch.sigmoid(steep * (1 - middle))
    x = torch.where(one() < 0.4, (curve - low) / (high - low), x)
    if torch.rand(1) < 0.3:  # unsharp masking of a wide neighbourhood, as plate readers do
        smooth = blurred(blurred(x, 15), 15)
        x = (x + (one() * 0.9) * (x - smooth)).clamp(0, 1)
    if torch.rand(1) < 0.3:
        x = blurred(x, 3)
    if torch.rand(1) < 0.25:
        small = F.interpolate(x, scale_factor=0.6, mode="bilinear", antialias=True)
        x = F.interpolate(small, size=x.shape[-2:], mode="bilinear")
    return x + torch.randn_like(x) * 0.06 * one()


def covered(x: Tensor) -> Tensor:
    """A quarter-sized patch gone, corners gone, edges black: what is decided must not hang on any one place."""
    n, side, device = len(x), x.shape[-1], x.device
    rows = torch.arange(side, device=device).view(1, 1, -1, 1)
    columns = torch.arange(side, device=device).view(1, 1, 1, -1)

    def within(top: Tensor, left: Tensor, size: int) -> Tensor:
        return (rows >= top) & (rows < top + size) & (columns >= left) & (columns < left + size)

    def somewhere(limit: int) -> Tensor:
        return torch.randint(0, limit, (n, 1, 1, 1), device=device)

    def often(p: float) -> Tensor:
        return torch.rand(n, 1, 1, 1, device=device) < p

    hole = side // 4
    gone = within(somewhere(side - hole), somewhere(side - hole), hole) & often(0.5)
    mark = side // 6
    for top in (0, side - mark):
        for left in (0, side - mark):
            gone = gone | (within(torch.tensor(top), torch.tensor(left), mark) & often(0.25))
    x = torch.where(gone, x.mean((2, 3), keepdim=True), x)
    edge = somewhere(side // 8)
    bars = (rows < edge) | (columns < somewhere(side // 8)) | (columns >= side - somewhere(side // 8))
    return torch.where(bars & often(0.2), torch.zeros_like(x), x)


def augmented(x: Tensor) -> Tensor:
    """[n, 1, side, side] in 0..1, each film changed in its own way."""
    return covered(processed(placed(x)))
