"""The values that cross folder borders between sampler, data and training."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# parts of an observation beside its pictures
STATE = "state"  # its low-dimensional numbers
EMBODIMENT = "embodiment"  # number of the body, for a policy of several
INSTRUCTION = "instruction"  # number of the text, for a policy that follows instructions


@dataclass(frozen=True)
class Draw:
    """B draws of a window and the noise level that it teaches.

    Attributes:
        window: (B,) int64, index among all windows of the mixture (one window per control step).
        sigma: (B,) float64, noise level [normalised action], > 0.
        sigma_trust: (B,) float64, level at which the target is trusted, 0 <= sigma_trust < sigma.
    """

    window: NDArray[np.int64]
    sigma: NDArray[np.float64]
    sigma_trust: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.window)

    def rows(self, which: slice) -> Draw:
        """Return some of the draws, in their order."""
        return Draw(self.window[which], self.sigma[which], self.sigma_trust[which])


@dataclass(frozen=True)
class Batch:
    """The B draws of one training step; observations and actions in their own units.

    Attributes:
        observations: part by name: "state" (B,To,O) float32, images (B,To,H,W,C) uint8;
            "embodiment" (B,) int64 for a policy of several bodies, "instruction" (B,) int64 for a
            policy that follows instructions.
        actions: (B,Tp,A) float32.
        kept_noise: (B,Tp,A) float32, standard normal, the same for ever for each (source, step,
            dimension), also for steps beyond the episode's end.
        sigma: (B,) float32 [normalised action].
        sigma_trust: (B,) float32 [normalised action].
        is_pad: (B,Tp) bool, true where the action repeats the last one of its episode.
        crop: (B,2) float32 in [0,1): where training crops an image, as a fraction of the free
            margin in height and width.
    """

    observations: dict[str, Tensor]
    actions: Tensor
    kept_noise: Tensor
    sigma: Tensor
    sigma_trust: Tensor
    is_pad: Tensor
    crop: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def rows(self, which: slice) -> Batch:
        """Return some of the draws, in their order."""
        parts = {name: part[which] for name, part in self.observations.items()}
        others = (getattr(self, field.name) for field in fields(self)[1:])
        return Batch(parts, *(values[which] for values in others))
