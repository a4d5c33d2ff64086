"""Who may teach what: an episode teaches sigma > sigma_min OR sigma < sigma_max, both strict.

Trusted everywhere is (0, inf); rejected everywhere is (inf, 0).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambient_policy.diffusion.noise import Sigma
from ambient_policy.errors import SettingsError

Mask = NDArray[np.bool_]


def buffer_factor(s_max: float) -> float:
    """The factor by which sigma must exceed sigma_min so that 1 / (1 - r) < s_max.

    The ambient loss is amplified by 1/(1 - r), r = sigma_min^2 / sigma^2; hence
    sigma > sigma_min sqrt(s_max / (s_max - 1)).

    Raises:
        SettingsError: unless s_max > 1.
    """
    if not s_max > 1:
        raise SettingsError(
            f"loss.s_max = {s_max} must be above 1: it bounds the amplification 1/(1 - r) of the "
            "ambient loss (ambient-omni uses 4; .inf puts no bound)."
        )
    return float(np.sqrt(1 / (1 - 1 / s_max)))


@dataclass(frozen=True)
class Admission:
    """The noise levels each of E episodes may teach.

    Attributes:
        sigma_min: (E,), in [0, inf].
        sigma_max: (E,), in [0, inf].
        ambient_loss: whether targets above sigma_min are x_trust (ambient loss) or x0 (ordinary).
        s_max: bound on the amplification of the ambient loss; unused by the ordinary loss.
    """

    sigma_min: Sigma
    sigma_max: Sigma
    ambient_loss: bool = False
    s_max: float = 4.0

    @property
    def threshold(self) -> Sigma:
        """(E,) level above which an episode is admitted: sigma_min, with the buffer if any."""
        return self.sigma_min * (buffer_factor(self.s_max) if self.ambient_loss else 1.0)

    def admits(self, episode: NDArray[np.int64], sigma: Sigma) -> Mask:
        """Whether each episode may teach each sigma, both (...,)."""
        return (sigma > self.threshold[episode]) | (sigma < self.sigma_max[episode])

    def trust(self, episode: NDArray[np.int64], sigma: Sigma) -> Sigma:
        """sigma_trust of admitted pairs: sigma_min where the ambient loss teaches, else 0."""
        if not self.ambient_loss:
            return np.zeros_like(sigma)
        return np.where(sigma > self.threshold[episode], self.sigma_min[episode], 0.0)
