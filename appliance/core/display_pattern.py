"""The test pattern of a display, as grey levels and places: what is drawn, and what a person should see of it.

source: after the SMPTE RP-133 pattern and AAPM TG18-QC (Samei et al. 2005): patches from black to white, 5 % within 0 %
and 95 % within 100 %, squares of low contrast, line pairs at the screen's own resolution. The drawing is ours, and it
calibrates nothing: a browser cannot know the screen's luminance (PS3.14).
"""

from dataclasses import dataclass

SIDE = 1024  # of the whole square, in units of the drawing; a line pair's unit is the screen's own pixel
BACKGROUND = 0.5
STEPS = 11  # of the ramp: 0 %, 10 %, … 100 %
LOW_CONTRASTS = (0.01, 0.02, 0.04, 0.08)
PAIR_WIDTHS = (1, 2, 4)  # pixels of the screen


@dataclass(frozen=True, slots=True)
class Patch:
    """A square of one grey. level: share of white; x, y, side in units of the drawing."""

    level: float
    x: int
    y: int
    side: int


def grey(level: float) -> int:
    """The grey value of a share of white, 0 to 255."""
    return round(255 * level)


def patches() -> list[Patch]:
    """Every patch in the order in which they are drawn, the later on top of the former."""
    step = SIDE // (STEPS + 1)
    ramp = [Patch(n / (STEPS - 1), step // 2 + n * step, 128, step) for n in range(STEPS)]
    black, white = Patch(0.0, 192, 320, 256), Patch(1.0, SIDE - 192 - 256, 320, 256)
    inner = [Patch(0.05, black.x + 64, black.y + 64, 128), Patch(0.95, white.x + 64, white.y + 64, 128)]
    low = [
        Patch(BACKGROUND + sign * contrast, 128 + n * 208, y, 64)
        for n, contrast in enumerate(LOW_CONTRASTS)
        for sign, y in ((1, 640), (-1, 736))
    ]
    return [*ramp, black, white, *inner, *low]


# What whoever looks answers, each with yes or no; all yes is a display that may be worked at.
QUESTIONS: dict[str, str] = {
    "five": "I see the 5 % square inside the black one and the 95 % square inside the white one.",
    "ramp": "I see each of the eleven steps of the ramp apart from its neighbours.",
    "low": "I see both rows of faint squares at least down to 2 %.",
    "lines": "I see the finest lines as lines, upright and lying, and not as grey.",
    "clean": "I see no smear, no flicker, no colour and no reflection.",
}
