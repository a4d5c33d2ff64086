"""The noise levels from which a solver steps: n of them, falling, for any law of training.

=============  =========================================================================
leading        diffusers' spacings over the steps 0..K-1 of a discrete schedule:
               every (K // n)-th step from 0
trailing       every (K / n)-th step from the top, K-1
linspace       evenly from K-1 to 0
karras         sigma^(1/7) evenly from sigma_hi to sigma_lo   (Karras et al. 2022, eq. 5)
log_snr        ln sigma evenly from sigma_hi to sigma_lo
uniform_flow   n equal steps of flow time from sigma_hi to 0, stopping short at sigma_lo
=============  =========================================================================

sigma_lo and sigma_hi are the ends of the law. The last three, on a discrete law, also ask the
network about levels between those it was trained on.
"""

from collections.abc import Callable
from enum import Enum

import numpy as np

from ambient_policy.diffusion.law import Law, UniformOverLevels
from ambient_policy.diffusion.noise import Sigma, flow_from_sigma, sigma_from_flow
from ambient_policy.errors import SettingsError

# Where a solver starts, the noise must hide the chunk (deviation about 1 or less), for it starts
# from noise alone.
SIGMA_START = 2.0
MAX_STEPS = 10_000


class Spacing(Enum):
    """Where the levels lie."""

    leading = "leading"  # every (K // n)-th level from the lowest
    trailing = "trailing"  # every (K / n)-th from the highest
    linspace = "linspace"  # evenly from the highest to the lowest
    karras = "karras"  # evenly in sigma^(1/7)
    log_snr = "log_snr"  # evenly in ln sigma
    uniform_flow = "uniform_flow"  # evenly in flow time


def _leading(levels: int, n: int) -> Sigma:
    return np.arange(n - 1.0, -1, -1) * (levels // n)


def _trailing(levels: int, n: int) -> Sigma:
    return np.round(levels - np.arange(n) * levels / n) - 1


def _linspace(levels: int, n: int) -> Sigma:
    return np.round(np.linspace(levels - 1, 0, n))


def _karras(sigma_lo: float, sigma_hi: float, n: int) -> Sigma:
    return np.linspace(sigma_hi ** (1 / 7), sigma_lo ** (1 / 7), n) ** 7


def _uniform_flow(sigma_lo: float, sigma_hi: float, n: int) -> Sigma:
    low, high = flow_from_sigma(np.array([sigma_lo, sigma_hi]))
    return sigma_from_flow(np.linspace(high, max(low, high / n), n))


_BY_STEP: dict[Spacing, Callable[[int, int], Sigma]] = {
    Spacing.leading: _leading,
    Spacing.trailing: _trailing,
    Spacing.linspace: _linspace,
}
_BY_SIGMA: dict[Spacing, Callable[[float, float, int], Sigma]] = {
    Spacing.karras: _karras,
    Spacing.log_snr: lambda sigma_lo, sigma_hi, n: np.geomspace(sigma_hi, sigma_lo, n),
    Spacing.uniform_flow: _uniform_flow,
}


def solver_grid(spacing: Spacing, n: int, law: Law) -> Sigma:
    """Return the levels (n,), falling, > 0.

    Raises:
        SettingsError: unless n >= 1; where a spacing by steps meets a law without levels, more
            steps than levels, or leaves so much of the top out that pure noise is no fair start;
            where the first level is below ``SIGMA_START``.
    """
    if not 1 <= n <= MAX_STEPS:
        raise SettingsError(f"solver.steps = {n} must be from 1 to {MAX_STEPS}.")
    grid = _grid(spacing, n, law)
    if grid[0] < SIGMA_START:
        raise SettingsError(
            f"solver.steps = {n} with solver.spacing = {spacing.value} would start at sigma = "
            f"{grid[0]:.3g}, where noise does not hide a chunk yet; it must start at sigma = "
            f"{SIGMA_START:g} or above. Training reaches {law.sigma_hi:.3g}: use solver.spacing = "
            "trailing or linspace, or train higher levels (noise.levels, noise.schedule, "
            "noise.sigma_hi)."
        )
    return grid


def _grid(spacing: Spacing, n: int, law: Law) -> Sigma:
    if spacing in _BY_SIGMA:
        grid = _BY_SIGMA[spacing](law.sigma_lo, law.sigma_hi, n)
        for end in (law.sigma_lo, law.sigma_hi):  # as they are, not as roundings leave them
            grid[np.isclose(grid, end, rtol=1e-6, atol=0)] = end
        return grid
    if not isinstance(law, UniformOverLevels):
        raise SettingsError(
            f"solver.spacing = {spacing.value} counts the levels of a discrete schedule, and this "
            f"noise.law has none; use {', '.join(s.value for s in _BY_SIGMA)}."
        )
    if n > len(law.levels):
        raise SettingsError(
            f"solver.steps = {n} exceeds noise.levels = {len(law.levels)}; take at most as many, "
            f"or with solver.spacing = {', '.join(s.value for s in _BY_SIGMA)} any number."
        )
    return law.levels[_BY_STEP[spacing](len(law.levels), n).astype(np.int64)]
