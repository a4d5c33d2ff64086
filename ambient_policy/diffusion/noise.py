"""Noise levels: one coordinate (sigma), its conversions, and the schedules of DDPM.

sigma is variance-exploding, in units of normalised action: x_sigma = x0 + sigma eps. This file
alone knows the other coordinates; each is a bijection, its ends (sigma = 0 and inf) included.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import SettingsError

Sigma = NDArray[np.float64]


def vp_from_sigma(sigma: Sigma) -> Sigma:
    """sigma_VP = sigma / sqrt(1 + sigma^2), in [0, 1]."""
    with np.errstate(divide="ignore"):
        return 1 / np.hypot(1, 1 / np.asarray(sigma, np.float64))


def sigma_from_vp(vp: Sigma) -> Sigma:
    """The inverse of ``vp_from_sigma``: sigma = s / sqrt(1 - s^2)."""
    vp = np.asarray(vp, np.float64)
    with np.errstate(divide="ignore"):
        return vp / np.sqrt((1 - vp) * (1 + vp))


def flow_from_sigma(sigma: Sigma) -> Sigma:
    """Flow time tau = sigma / (1 + sigma), in [0, 1]: x_tau = (1 - tau) x0 + tau eps."""
    with np.errstate(divide="ignore"):
        return 1 / (1 + 1 / np.asarray(sigma, np.float64))


def sigma_from_flow(flow: Sigma) -> Sigma:
    """The inverse of ``flow_from_sigma``: sigma = tau / (1 - tau)."""
    flow = np.asarray(flow, np.float64)
    with np.errstate(divide="ignore"):
        return flow / (1 - flow)


def log_snr_from_sigma(sigma: Sigma) -> Sigma:
    """log-SNR = -2 ln sigma, in [-inf, inf]; it falls as sigma rises."""
    with np.errstate(divide="ignore"):
        return -2 * np.log(sigma)


def sigma_from_log_snr(log_snr: Sigma) -> Sigma:
    """The inverse of ``log_snr_from_sigma``."""
    return np.exp(-np.asarray(log_snr, np.float64) / 2)


def step_from_sigma(sigma: Sigma, levels: Sigma) -> Sigma:
    """The step of a schedule (K,) at sigma, in [0, K-1], linear in ln sigma; nan outside."""
    with np.errstate(divide="ignore"):
        logs = np.log(sigma), np.log(levels)
    return np.interp(*logs, np.arange(len(levels)), left=np.nan, right=np.nan)


def sigma_from_step(step: Sigma, levels: Sigma) -> Sigma:
    """The inverse of ``step_from_sigma``; at a whole step exactly its level."""
    whole = np.floor(step).astype(np.int64)
    above = levels[np.minimum(whole + 1, len(levels) - 1)]
    return levels[whole] * (above / levels[whole]) ** (step - whole)


class Schedule(Enum):
    """The DDPM schedules of beta."""

    squaredcos = "squaredcos"  # Nichol and Dhariwal's cosine
    linear = "linear"  # beta from 1e-4 to 0.02 (Ho et al.)


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


class Coordinate(NamedTuple):
    """A way to name a noise level: two functions, inverse to each other, and its range."""

    from_sigma: Callable[[Sigma], Sigma]
    to_sigma: Callable[[Sigma], Sigma]
    low: float
    high: float


def coordinates(levels: Sigma) -> dict[str, Coordinate]:
    """Every coordinate by name; steps are those of the schedule with these levels (K,)."""
    step = partial(step_from_sigma, levels=levels), partial(sigma_from_step, levels=levels)
    return {
        "ve": Coordinate(np.asarray, np.asarray, 0.0, np.inf),
        "vp": Coordinate(vp_from_sigma, sigma_from_vp, 0.0, 1.0),
        "flow": Coordinate(flow_from_sigma, sigma_from_flow, 0.0, 1.0),
        "log_snr": Coordinate(log_snr_from_sigma, sigma_from_log_snr, -np.inf, np.inf),
        "step": Coordinate(*step, 0.0, len(levels) - 1.0),
    }


def as_table(sigma: Sigma, levels: Sigma) -> list[dict[str, float]]:
    """One row per sigma (n,) with every coordinate, for people who think in another one."""
    columns = {name: c.from_sigma(sigma) for name, c in coordinates(levels).items()}
    return [{name: float(column[i]) for name, column in columns.items()} for i in range(len(sigma))]


# what YAML and Python call infinite, where it comes as text: YAML reads .inf alone as a number
INFINITE = {sign + word: float(f"{sign}inf") for sign in ("", "+", "-") for word in (".inf", "inf")}


def resolve_sigma(setting: str, level: Any, levels: Sigma) -> float:
    """Read a noise level that a config states as a number (sigma) or in any coordinate.

    Args:
        setting: name of the setting, for messages.
        level: a number, or a mapping of one coordinate to a number: {vp: 0.074}, {step: 3} ..
        levels: (K,) sigma at each step of the schedule that steps belong to.

    Raises:
        SettingsError: naming the setting, its value and what is allowed.
    """
    entry = level if isinstance(level, Mapping) else {"ve": level}
    known = coordinates(levels)
    if len(entry) != 1 or next(iter(entry)) not in known:
        raise SettingsError(
            f"{setting} = {level}: give sigma as a number, or one of {', '.join(known)} with its "
            "value, e.g. {vp: 0.074} or {step: 3}."
        )
    ((name, value),) = entry.items()
    value = INFINITE.get(str(value).lower(), value)
    low, high = known[name].low, known[name].high
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        what = {"ve": "sigma"}.get(name, name)
        raise SettingsError(f"{setting} = {level}: {what} is a number from {low:g} to {high:g}.")
    return float(known[name].to_sigma(np.array(value, np.float64)))
