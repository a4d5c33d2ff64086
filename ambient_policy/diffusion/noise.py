"""Noise levels: one coordinate (sigma), its conversions, and the grid that training draws from.

sigma is variance-exploding, in units of normalised action: x_sigma = x0 + sigma eps. This file
alone knows the other coordinates.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import SettingsError

Sigma = NDArray[np.float64]


def vp_from_sigma(sigma: Sigma) -> Sigma:
    """sigma_VP = sigma / sqrt(1 + sigma^2), in [0, 1)."""
    return sigma / np.sqrt(1 + sigma**2)


def sigma_from_vp(vp: Sigma) -> Sigma:
    """The inverse of ``vp_from_sigma``: sigma = s / sqrt(1 - s^2)."""
    return vp / np.sqrt(1 - vp**2)


def flow_from_sigma(sigma: Sigma) -> Sigma:
    """Flow time tau = sigma / (1 + sigma), in [0, 1)."""
    return sigma / (1 + sigma)


def sigma_from_flow(flow: Sigma) -> Sigma:
    """The inverse of ``flow_from_sigma``."""
    return flow / (1 - flow)


def log_snr_from_sigma(sigma: Sigma) -> Sigma:
    """log-SNR = -2 ln sigma."""
    return -2 * np.log(sigma)


def sigma_from_log_snr(log_snr: Sigma) -> Sigma:
    """The inverse of ``log_snr_from_sigma``."""
    return np.exp(-log_snr / 2)


class Schedule(Enum):
    """The DDPM schedules of beta."""

    squaredcos = "squaredcos"
    linear = "linear"


def _squaredcos_betas(steps: int) -> Sigma:
    """Nichol and Dhariwal 2021, eq. 17: abar(t) = cos^2((t + .008) / 1.008 pi/2), beta <= 0.999."""
    t = np.arange(steps + 1) / steps
    alpha_bar = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    betas: Sigma = np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
    return betas


def _linear_betas(steps: int) -> Sigma:
    """Ho et al. 2020, section 4: beta from 1e-4 to 0.02."""
    return np.linspace(1e-4, 0.02, steps)


def ddpm_levels(schedule: Schedule, steps: int) -> Sigma:
    """sigma at each DDPM step 0..steps-1, rising: sigma^2 = (1 - abar) / abar, (steps,)."""
    betas = {Schedule.squaredcos: _squaredcos_betas, Schedule.linear: _linear_betas}[schedule]
    alpha_bar = np.cumprod(1 - betas(steps))
    return np.sqrt((1 - alpha_bar) / alpha_bar)


@dataclass(frozen=True)
class UniformOverLevels:
    """The training law of sigma: each level equally often.

    Attributes:
        levels: (K,) rising, > 0.
    """

    levels: Sigma

    def __post_init__(self) -> None:
        if len(self.levels) == 0 or (self.levels <= 0).any() or (np.diff(self.levels) <= 0).any():
            raise SettingsError("a law of sigma needs at least one level, positive and rising.")

    def draw(self, generator: np.random.Generator, count: int) -> Sigma:
        """(count,) independent noise levels."""
        return self.levels[generator.integers(len(self.levels), size=count)]

    def covered(self, low: float, high: float) -> Sigma:
        """The levels with low <= sigma <= high."""
        return self.levels[(self.levels >= low) & (self.levels <= high)]


def as_table(levels: Sigma) -> list[dict[str, Any]]:
    """One row per level with every coordinate, for people who think in another one."""
    columns = {
        "sigma": levels,
        "vp": vp_from_sigma(levels),
        "flow": flow_from_sigma(levels),
        "log_snr": log_snr_from_sigma(levels),
    }
    return [
        {"step": k, **{name: float(values[k]) for name, values in columns.items()}}
        for k in range(len(levels))
    ]
