"""A model package once its bytes were verified: plain values that the court and the bench of inference share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from appliance.core.decide import Model


@dataclass(frozen=True, slots=True)
class Golden:
    """Drawn inputs and what they must give, within tolerance.

    films     float32 [n, 1, frames, side, side], each one input of exit 1
    exits     for each exit its logits float32 [n] and features float32 [n, features]
    pictures  float32 [n, 1, 1, side, side], inputs of the check network; None where the package has none
    kinds     float32 [n, kinds], what the check network must say of them; None where the package has none
    """

    films: NDArray[np.float32]
    exits: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    pictures: NDArray[np.float32] | None
    kinds: NDArray[np.float32] | None
    tolerance: float


@dataclass(frozen=True, slots=True)
class Package:
    """A package that matched its checksums and bears a trusted signature; its graphs by file name, as bytes.

    untrusted  files of certificates that no trusted key signed: they are not among the model's
    """

    model: Model
    graphs: Mapping[str, bytes] = field(repr=False)
    golden: Golden = field(repr=False)
    untrusted: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return self.model.manifest.title
