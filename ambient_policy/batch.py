"""The values that cross folder borders between sampler, data and training."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

# parts of an observation beside its pictures
STATE = "state"  # its low-dimensional numbers
EMBODIMENT = "embodiment"  # whose they are, where there are several
INSTRUCTION = "instruction"  # what is to be done, where the policy is told


@dataclass(frozen=True)
class Draw:
    """B draws. The noise level travels with the window it was drawn for (never in a side table).

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

    def rows(self, which: slice) -> "Draw":
        """Some of the draws, in their order."""
        return Draw(self.window[which], self.sigma[which], self.sigma_trust[which])


@dataclass(frozen=True)
class Batch:
    """What one training step sees; observations and actions in their own units.

    Attributes:
        observations: by the name of the part: low-dimensional ones (B,To,O) float32 ("state" is
            that of our stores), images (B,To,H,W,C) uint8; "embodiment" and "instruction" (B,)
            int64, numbers of the policy's embodiments and texts, where it has several or is told.
        actions: (B,Tp,A) float32.
        kept_noise: (B,Tp,A) float32, standard normal, fixed per (source, step, dimension) for ever,
            also for steps beyond the episode's end.
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

    def rows(self, which: slice) -> "Batch":
        """Some of its draws, in their order."""
        parts = {name: part[which] for name, part in self.observations.items()}
        others = (getattr(self, field.name) for field in fields(self)[1:])
        return Batch(parts, *(values[which] for values in others))
