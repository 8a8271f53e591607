"""What the cleaner and the inspector see with: two detectors and two recognisers of text, as callables.

The models behind them are the world's (appliance.world.eyes); the rules that use them are pure. Cleaner and inspector
are given different models, so that what one overlooks the other need not.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # [row, column, 3]
Likelihood = NDArray[np.float32]  # [row, column], 0 to 1: that the pixel belongs to the core of a line of text


@dataclass(frozen=True, slots=True)
class Reading:
    """A line of text as a recogniser reads it.

    text       as read; it may be a patient's name, so it is never shown
    certainty  0 to 1, one for each character of text
    """

    text: str = field(repr=False)
    certainty: tuple[float, ...]

    @property
    def characters(self) -> float:
        """How many characters the reading is worth: one read with certainty counts 1, a guess counts nothing."""
        return sum(max(0.0, (each - GUESS) / (1.0 - GUESS)) for each in self.certainty)


GUESS = 0.4  # certainty that noise and anatomy reach


class Eyes(Protocol):
    """Detectors take any size; recognisers take one upright line and scale it to their own height.

    find, read    the cleaner's
    find_again, read_again  the inspector's: other models
    """

    def find(self, picture: Picture) -> Likelihood: ...

    def read(self, line: Picture) -> Reading: ...

    def find_again(self, picture: Picture) -> Likelihood: ...

    def read_again(self, line: Picture) -> Reading: ...
