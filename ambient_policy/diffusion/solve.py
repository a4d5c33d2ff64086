"""From noise to a chunk: DDIM and DDPM on a falling grid of noise levels, in sigma.

In VE letters one step from sigma to sigma' < sigma, given x0_hat = D(x; sigma), is

    DDIM  x' = x0_hat + (sigma' / sigma) (x - x0_hat)                  Song et al. 2021, eq. 12
    DDPM  x' = x0_hat + rho (x - x0_hat) + sigma' sqrt(1 - rho) eps,   rho = sigma'^2 / sigma^2
                                                                      Ho et al. 2020, eqs. 6-7
and the last step goes to sigma' = 0, where both give x0_hat.
"""

from collections.abc import Callable, Iterator
from enum import Enum
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ambient_policy.diffusion.noise import Sigma
from ambient_policy.errors import SettingsError

Denoiser = Callable[[Tensor, Tensor], Tensor]


class Solver(Enum):
    """How to go from one level to the next."""

    ddim = "ddim"
    ddpm = "ddpm"


def leading_levels(levels: Sigma, steps: int) -> Sigma:
    """diffusers' "leading" spacing: every (K // steps)-th level from 0, falling, (steps,).

    Raises:
        SettingsError: unless 1 <= steps <= K, or when the spacing leaves so much of the top out
            that pure noise is no fair start there (60 of 100 levels would begin at level 59).
    """
    if not 1 <= steps <= len(levels):
        raise SettingsError(
            f"solver.steps = {steps} is outside 1..{len(levels)}, the number of noise levels."
        )
    stride = len(levels) // steps
    if steps > 1 and (steps - 1) * stride < len(levels) - 2 * stride:
        fitting = [n for n in range(1, len(levels) + 1) if len(levels) % n == 0]
        raise SettingsError(
            f"solver.steps = {steps} would start at level {(steps - 1) * stride} of {len(levels)}, "
            f"which is not pure noise; these reach the top: {', '.join(map(str, fitting))}."
        )
    visited = np.arange(steps) * stride
    return levels[visited][::-1].copy()


def noises_needed(solver: Solver, steps: int) -> int:
    """Standard normal chunks ``solve`` takes: the start, and one per DDPM step but the last."""
    return 1 if solver is Solver.ddim else steps


def solve(
    denoise: Denoiser, noise: Tensor, levels: Sigma, solver: Solver
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x, x0_hat) at every level of the grid and (x0, x0) at the end.

    The start is sqrt(1 + sigma_hi^2) times standard normal: VP's unit normal, as in diffusers.

    Args:
        denoise: D, (B,Tp,A) and sigma (B,) -> x0_hat (B,Tp,A).
        noise: (``noises_needed``,B,Tp,A) standard normal.
        levels: (K,) falling, > 0.
        solver: which step to take.
    """
    grid = [*levels.tolist(), 0.0]
    x = noise[0] * float(np.hypot(1.0, grid[0]))
    for k, (sigma, sigma_next) in enumerate(pairwise(grid)):
        x0_hat = denoise(x, torch.full_like(x[:, 0, 0], sigma))
        yield x, x0_hat
        shrink = sigma_next / sigma
        if solver is Solver.ddim or sigma_next == 0:
            x = x0_hat + shrink * (x - x0_hat)
        else:
            spread = sigma_next * float(np.sqrt(1 - shrink**2))
            x = x0_hat + shrink**2 * (x - x0_hat) + spread * noise[k + 1]
    yield x, x
