"""The values that cross folder borders between sampler, data and training."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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


@dataclass(frozen=True)
class Batch:
    """What one training step sees; observations and actions in their own units.

    Attributes:
        observations: (B,To,O) float32.
        actions: (B,Tp,A) float32.
        kept_noise: (B,Tp,A) float32, standard normal, fixed per (source, step, dimension) for ever.
        sigma: (B,) float32 [normalised action].
        sigma_trust: (B,) float32 [normalised action].
        is_pad: (B,Tp) bool, true where the action repeats the last one of its episode.
    """

    observations: Tensor
    actions: Tensor
    kept_noise: Tensor
    sigma: Tensor
    sigma_trust: Tensor
    is_pad: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})
