"""Pictures that are no chest film, drawn from a seed: pages, screens, phantoms, noise, limbs of simple shapes.

They teach and test the check that a picture is what its header says. None is made from anybody's image.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 160
Picture = NDArray[np.float32]
Rng = np.random.Generator


def _cloud(rng: Rng, cells: int) -> Picture:
    """Smooth noise in 0..1 with about `cells` bumps a side."""
    coarse = rng.random((cells + 1, cells + 1)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.float32).clip(0, 1)


def _point(rng: Rng, low: int = 0, high: int = SIDE) -> tuple[int, int]:
    return int(rng.integers(low, high)), int(rng.integers(low, high))


def page(rng: Rng) -> Picture:
    """Lines of words, dark on light or light on dark."""
    picture = np.full((SIDE * 3, SIDE * 3), 235, np.uint8)
    size, y = rng.uniform(0.4, 1.6), 30
    while y < SIDE * 3:
        words = "".join(chr(int(c)) for c in rng.integers(33, 123, rng.integers(6, 60)))
        cv2.putText(picture, words, (int(rng.integers(0, 60)), y), int(rng.integers(0, 6)), size, 20, 1 + (size > 1))
        y += int(size * rng.uniform(22, 60))
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return 1 - small if rng.random() < 0.5 else small


def screen(rng: Rng) -> Picture:
    """Windows, bars, buttons and a picture within."""
    picture = np.full((SIDE, SIDE), rng.random(), np.float32)
    for _ in range(int(rng.integers(4, 30))):
        cv2.rectangle(picture, _point(rng), _point(rng), float(rng.random()), int(rng.choice([-1, 1, 2])))
    if rng.random() < 0.5:
        size = int(rng.integers(30, 100))
        y, x = _point(rng, 0, SIDE - size)
        picture[y : y + size, x : x + size] = _cloud(rng, 9)[:size, :size]
    words = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(int(rng.integers(0, 20))):
        cv2.putText(words, "Abc 123", _point(rng), 0, 0.3, int(rng.integers(60, 256)), 1)
    return np.maximum(picture, words.astype(np.float32) / 255)


def phantom(rng: Rng) -> Picture:
    """Step wedges, line pairs, grids, discs: what a physicist images."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    kind = int(rng.integers(0, 5))
    if kind == 0:
        picture = np.floor(columns / SIDE * rng.integers(3, 14)) / 14
    elif kind == 1:
        picture = 0.5 + 0.5 * np.sign(np.sin(columns * rng.uniform(0.05, 1.2) + rows * rng.uniform(-0.5, 0.5)))
    elif kind == 2:
        gap = int(rng.integers(6, 40))
        picture = ((rows % gap < 2) | (columns % gap < 2)).astype(np.float32)
    elif kind == 3:
        picture = 0.2 + 0.1 * _cloud(rng, 3)
        for _ in range(int(rng.integers(1, 25))):
            cv2.circle(picture, _point(rng), int(rng.integers(2, 40)), float(rng.random()), -1)
    else:
        picture = columns / SIDE * rng.random() + rows / SIDE * rng.random()
    return np.asarray(picture + rng.normal(0, rng.choice([0, 0.02, 0.06]), picture.shape), np.float32)


def noise(rng: Rng) -> Picture:
    """Noise of one grain or of all grains (1/f), and pictures of one grey."""
    kind = int(rng.integers(0, 4))
    if kind == 0:
        return rng.random((SIDE, SIDE), np.float32)
    if kind == 1:
        return _cloud(rng, int(rng.integers(1, 40)))
    if kind == 2:
        return np.asarray(np.full((SIDE, SIDE), 0.5) + rng.normal(0, 0.01, (SIDE, SIDE)), np.float32)
    layers = [_cloud(rng, 2**k) / 2 ** (k * rng.uniform(0.4, 1.2)) for k in range(1, 7)]
    return np.asarray(np.sum(layers, 0), np.float32)


def _tissue(rng: Rng, shape: Picture) -> Picture:
    """A shape's thickness as a film of it: soft edge, texture, a bright core."""
    inside = cv2.GaussianBlur(shape, (0, 0), rng.uniform(1, 3))
    core = cv2.erode(shape, np.ones((5, 5), np.uint8), iterations=int(rng.integers(1, 5)))
    bone = cv2.GaussianBlur(core, (0, 0), 1.5)
    grain = 0.15 * (_cloud(rng, 20) - 0.5) + 0.1 * (_cloud(rng, 60) - 0.5)
    ground = rng.uniform(0, 0.15)
    picture = ground + inside * (rng.uniform(0.2, 0.5) + grain) + bone * rng.uniform(0.1, 0.5) * (0.6 + _cloud(rng, 12))
    return np.asarray(picture + rng.normal(0, 0.01, shape.shape), np.float32)


def limb(rng: Rng) -> Picture:
    """Five fingers, or one or two long bones with a joint."""
    shape = np.zeros((SIDE, SIDE), np.float32)
    if rng.random() < 0.5:
        wrist = (SIDE // 2 + int(rng.integers(-20, 20)), SIDE - 10)
        palm = (wrist[0], SIDE - 55)
        cv2.ellipse(shape, palm, (int(rng.integers(20, 32)), 38), 0, 0, 360, 1.0, -1)
        cv2.line(shape, wrist, palm, 1.0, 34)
        for angle in np.linspace(-0.75, 0.6, 5) + rng.normal(0, 0.06, 5):
            length = rng.uniform(60, 95)
            tip = (int(palm[0] + length * np.sin(angle)), int(palm[1] - length * np.cos(angle)))
            cv2.line(shape, palm, tip, 1.0, int(rng.integers(9, 15)))
    else:
        for _ in range(int(rng.integers(1, 3))):
            middle = _point(rng, 50, 110)
            cv2.line(shape, (int(rng.integers(20, 140)), 0), middle, 1.0, int(rng.integers(18, 50)))
            cv2.line(shape, middle, (int(rng.integers(20, 140)), SIDE), 1.0, int(rng.integers(18, 50)))
    return _tissue(rng, shape)


def breast(rng: Rng) -> Picture:
    """A half ellipse at the edge with strands, or two side by side in a slice."""
    shape = np.zeros((SIDE, SIDE), np.float32)
    if rng.random() < 0.5:
        x = 0 if rng.random() < 0.5 else SIDE
        cv2.ellipse(shape, (x, SIDE // 2), (int(rng.integers(60, 120)), int(rng.integers(50, 78))), 0, 0, 360, 1.0, -1)
    else:
        for x in (45, 115):
            size = (int(rng.integers(25, 38)), int(rng.integers(30, 60)))
            cv2.ellipse(shape, (x, int(rng.integers(60, 90))), size, 0, 0, 360, 1.0, -1)
        cv2.ellipse(shape, (SIDE // 2, SIDE), (75, int(rng.integers(40, 70))), 0, 0, 360, 1.0, -1)
    return np.asarray(_tissue(rng, shape) * (0.6 + 0.8 * _cloud(rng, 25)), np.float32)


def head(rng: Rng) -> Picture:
    """A bright ring with grey matter inside, at any size and place."""
    picture = np.zeros((SIDE, SIDE), np.float32)
    middle, size = _point(rng, 55, 105), int(rng.integers(18, 72))
    axes, angle = (size, int(size * rng.uniform(1.0, 1.4))), float(rng.uniform(0, 180))
    inside = np.zeros_like(picture)
    cv2.ellipse(inside, middle, axes, angle, 0, 360, 1.0, -1)
    picture += inside * (0.3 + 0.25 * _cloud(rng, 9) + 0.1 * _cloud(rng, 30))
    cv2.ellipse(picture, middle, axes, angle, 0, 360, float(rng.uniform(0.6, 1)), int(rng.integers(2, 9)))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.5)), np.float32)


DRAWN: dict[str, Callable[[Rng], Picture]] = {
    "page": page,
    "screen": screen,
    "phantom": phantom,
    "noise": noise,
    "limb": limb,
    "breast": breast,
    "head": head,
}


def drawn(kinds: list[str], count: int, seed: int) -> NDArray[np.float32]:
    """`count` pictures [count, SIDE, SIDE] in 0..1, the kinds in turn; equal seeds give equal pictures."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        picture = DRAWN[kinds[number % len(kinds)]](rng)
        low, high = np.percentile(picture, [0.5, 99.5])
        found.append(((picture - low) / max(high - low, 1e-3)).clip(0, 1))
    return np.stack(found).astype(np.float32)
