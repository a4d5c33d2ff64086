"""Solvers: from noise to a chunk in sigma. A solver is a table of numbers, ready before the loop.

With D the denoiser's answer at a call and D' at the call before, every call is one line,

    x <- a x + b D + c D' + d eps

and a step from sigma to s < sigma, with q = s / sigma, takes

=========  =============================================================================
ddim       a = q, b = 1 - q                                      Song et al. 2021, eq. 12
ddpm       a = q^2, b = 1 - q^2, d = s sqrt(1 - q^2)           Ho et al. 2020, eqs. 6-7
heun       the line of ddim; then a call at s: a = 1, b = -c = (sigma - s) / 2s
                                                     Karras et al. 2022, alg. 1, see below
dpmpp_2m   a = q, b = (1 - q)(1 + g), c = -(1 - q) g,  g = ln(sigma / s) / 2 ln(sigma' / sigma)
           with sigma' the level before; at first g = 0          Lu et al. 2022, alg. 2
=========  =============================================================================

The last step goes to s = 0, where the answer is D. Karras' corrector is x + (s - sigma)(d + d')/2
with slopes d = (x - D) / sigma and d' = (x1 - D1) / s; the predictor moved along a line to D, so
that d = (x1 - D) / s as well, which leaves x1 + (sigma - s)(D1 - D) / 2s.

An Euler step in flow time is the step of ddim: x / (1 + sigma) and the velocity turn one into the
other. Hence ``euler`` is another name of ``ddim``, on spacing ``uniform_flow`` as a rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ambient_policy.diffusion.noise import Sigma

if TYPE_CHECKING:
    from torch import Tensor

    Denoiser = Callable[[Tensor, Tensor], Tensor]


class Solver(Enum):
    """How to go from one level to the next."""

    ddim = "ddim"  # deterministic, first order
    ddpm = "ddpm"  # with fresh noise at each step
    heun = "heun"  # second order, two network calls per step (EDM)
    dpmpp_2m = "dpmpp_2m"  # second order, one call per step (DPM-Solver++ 2M)
    euler = "ddim"  # another name of ddim: the Euler step in flow time


class Call(NamedTuple):
    """One call of the denoiser at sigma, and what follows it: x <- a x + b D + c D' + d eps."""

    sigma: float
    a: float
    b: float
    c: float = 0.0
    d: float = 0.0


def _ddim(before: float, sigma: float, s: float) -> list[Call]:
    return [Call(sigma, s / sigma, 1 - s / sigma)]


def _ddpm(before: float, sigma: float, s: float) -> list[Call]:
    q2 = (s / sigma) ** 2
    return [Call(sigma, q2, 1 - q2, d=s * math.sqrt(1 - q2))]


def _heun(before: float, sigma: float, s: float) -> list[Call]:
    if s == 0:
        return _ddim(before, sigma, s)
    b = (sigma - s) / (2 * s)
    return [*_ddim(before, sigma, s), Call(s, 1.0, b, c=-b)]


def _dpmpp_2m(before: float, sigma: float, s: float) -> list[Call]:
    if s == 0:
        return _ddim(before, sigma, s)
    q, g = s / sigma, math.log(sigma / s) / (2 * math.log(before / sigma))
    return [Call(sigma, q, (1 - q) * (1 + g), c=-(1 - q) * g)]


_STEPS: dict[Solver, Callable[[float, float, float], list[Call]]] = {
    Solver.ddim: _ddim,
    Solver.ddpm: _ddpm,
    Solver.heun: _heun,
    Solver.dpmpp_2m: _dpmpp_2m,
}


def solver_calls(solver: Solver, grid: Sigma) -> list[Call]:
    """List the calls down a grid of levels (n,), falling, > 0: n calls, for heun 2n - 1."""
    step, before = _STEPS[solver], math.inf  # ln(inf) = inf: g = 0 in the first step
    calls = []
    for sigma, s in pairwise([*grid.tolist(), 0.0]):
        calls += step(before, sigma, s)
        before = sigma
    return calls


def noises_needed(solver: Solver, steps: int) -> int:
    """Count the noise chunks of ``solve``: the start, and one per DDPM step but the last."""
    return steps if solver is Solver.ddpm else 1


def solve(denoise: Denoiser, noise: Tensor, calls: list[Call]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x, x0_hat) at every call and (x0, x0) at the end.

    The start is sqrt(1 + sigma_hi^2) times standard normal: VP's unit normal, as in diffusers.

    Args:
        denoise: D, (B,Tp,A) and sigma (B,) -> x0_hat (B,Tp,A).
        noise: (``noises_needed``,B,Tp,A) standard normal.
        calls: from ``solver_calls``.
    """
    x = noise[0] * math.hypot(1.0, calls[0].sigma)
    sigma = x.new_tensor([call.sigma for call in calls])
    sigma, before = sigma[:, None].expand(-1, len(x)), x
    for k, (_, a, b, c, d) in enumerate(calls):
        x0_hat = denoise(x, sigma[k])
        yield x, x0_hat
        x = a * x + b * x0_hat
        if c:
            x = x + c * before
        if d:
            x = x + d * noise[k + 1]
        before = x0_hat
    yield x, x
