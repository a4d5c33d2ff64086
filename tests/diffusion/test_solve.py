"""Solvers against diffusers, step by step, and against their own textbooks."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    HeunDiscreteScheduler,
)
from torch import Tensor

from ambient_policy.diffusion.grid import Spacing, solver_grid
from ambient_policy.diffusion.law import UniformOverLevels
from ambient_policy.diffusion.noise import Schedule, Sigma, ddpm_levels, flow_from_sigma
from ambient_policy.diffusion.solve import Solver, noises_needed, solve, solver_calls

LAW = UniformOverLevels(ddpm_levels(Schedule.squaredcos, 100))
BY_STEP = [Spacing.leading, Spacing.trailing, Spacing.linspace]


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    """An arbitrary smooth denoiser; what it answers does not matter for an equivalence."""
    return torch.tanh(x / (1 + sigma[:, None, None] ** 2)) * 0.7


def answer(x: Tensor, sigma: float) -> Tensor:
    return denoise(x, torch.full((len(x),), sigma, dtype=x.dtype))


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def ours(solver: Solver, grid: Sigma, noise: Tensor) -> tuple[list[Tensor], list[float]]:
    """x at every call and at the end, and the level of every call."""
    calls = solver_calls(solver, grid)
    return [x for x, _ in solve(denoise, noise, calls)], [call.sigma for call in calls]


def assert_same_way(mine: list[Tensor], sigma: list[float], theirs: list[Tensor]) -> None:
    """Equal in VP letters, theirs, to 1e-5; both end at x0."""
    for x, level, y in zip(mine, [*sigma, 0.0], theirs, strict=True):
        torch.testing.assert_close(x / np.hypot(1, level), y, atol=1e-5, rtol=1e-5)


def vp_way(theirs: Any, sigma: list[float], x: Tensor) -> list[Tensor]:
    """Their samples from x on, the denoiser answering at our levels."""
    way = [x]
    for level, step in zip(sigma, theirs.timesteps, strict=True):
        way.append(theirs.step(answer(way[-1] * np.hypot(1, level), level), step, way[-1])[0])
    return way


DDPM_LIKE: dict[str, Any] = {
    "num_train_timesteps": 100,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "sample",
}


# diffusers' DDIM steps by K // n, which meets its own trailing levels only where n divides K
@pytest.mark.parametrize(
    ("spacing", "steps"),
    [*(("leading", n) for n in (4, 7, 10, 100)), *(("trailing", n) for n in (1, 4, 10, 100))],
)
def test_ddim_equals_diffusers_step_by_step(spacing: str, steps: int) -> None:
    theirs = DDIMScheduler(**DDPM_LIKE, clip_sample=False, timestep_spacing=spacing)
    theirs.set_timesteps(steps)
    noise = normal(1, 3, 8, 2)
    mine, sigma = ours(Solver.ddim, solver_grid(Spacing(spacing), steps, LAW), noise)
    assert_same_way(mine, sigma, vp_way(theirs, sigma, noise[0]))


@pytest.mark.parametrize("steps", [4, 7, 10, 100])
def test_ddpm_equals_diffusers_step_by_step(steps: int) -> None:
    theirs: Any = DDPMScheduler(**DDPM_LIKE, clip_sample=False)
    theirs.set_timesteps(steps)
    noise = normal(noises_needed(Solver.ddpm, steps), 3, 8, 2)
    mine, sigma = ours(Solver.ddpm, solver_grid(Spacing.leading, steps, LAW), noise)
    way = [noise[0]]
    for k, step in enumerate(theirs.timesteps):
        x0_hat = answer(way[-1] * np.hypot(1, sigma[k]), sigma[k])
        eps = noise[k + 1] if k + 1 < steps else None
        way.append(_ddpm_step(theirs, x0_hat, int(step), way[-1], eps))
    assert_same_way(mine, sigma, way)


def _ddpm_step(theirs: Any, x0_hat: Tensor, step: int, x: Tensor, eps: Tensor | None) -> Tensor:
    """diffusers' mean (a step whose own noise is subtracted) and variance, with our noise."""
    own = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    mean: Tensor = theirs.step(x0_hat, step, x, generator=torch.Generator().manual_seed(1))[0]
    if eps is None:
        return mean
    deviation: Tensor = theirs._get_variance(step) ** 0.5
    return mean + deviation * (eps - own)


@pytest.mark.parametrize("steps", [4, 5, 10, 25, 100])
@pytest.mark.parametrize("spacing", [*BY_STEP, Spacing.karras])
@pytest.mark.parametrize(("solver", "order"), [(Solver.ddim, 1), (Solver.dpmpp_2m, 2)])
def test_dpm_solver_equals_diffusers_step_by_step(
    solver: Solver, order: int, spacing: Spacing, steps: int
) -> None:
    """Of order 1 it is DDIM, here on the spacings that diffusers' DDIM does not follow exactly."""
    karras = spacing is Spacing.karras
    theirs = DPMSolverMultistepScheduler(
        **DDPM_LIKE, solver_order=order, final_sigmas_type="zero", use_karras_sigmas=karras
    )
    grid = solver_grid(spacing, steps, LAW)
    if karras:
        theirs.set_timesteps(steps)
    else:
        theirs.set_timesteps(timesteps=np.searchsorted(LAW.levels, grid).tolist())
    np.testing.assert_allclose(grid, theirs.sigmas[:-1], rtol=1e-4)
    noise = normal(1, 3, 8, 2)
    mine, sigma = ours(solver, grid, noise)
    assert_same_way(mine, sigma, vp_way(theirs, sigma, noise[0]))


@pytest.mark.parametrize("steps", [4, 5, 10, 30])
@pytest.mark.parametrize("spacing", [Spacing.trailing, Spacing.karras])
def test_heun_equals_diffusers_step_by_step(spacing: Spacing, steps: int) -> None:
    """On their levels, in float64: Heun multiplies any difference by sigma / sigma_next."""
    theirs: Any = HeunDiscreteScheduler(
        num_train_timesteps=100,
        beta_schedule="squaredcos_cap_v2",
        timestep_spacing="linspace" if spacing is Spacing.karras else "trailing",
        use_karras_sigmas=spacing is Spacing.karras,
    )
    theirs.set_timesteps(steps)
    theirs.sigmas = theirs.sigmas.double()
    grid = np.unique(theirs.sigmas.numpy())[:0:-1]
    np.testing.assert_allclose(grid, solver_grid(spacing, steps, LAW), rtol=1e-4)
    mine, sigma = ours(Solver.heun, grid, normal(1, 3, 8, 2))
    assert len(sigma) == 2 * steps - 1
    x, way = mine[0], [mine[0] / np.hypot(1, sigma[0])]
    for level, after, step in zip(sigma, [*sigma[1:], 0.0], theirs.timesteps, strict=True):
        x = theirs.step((x - answer(x, level)) / level, step, x)[0]
        way.append(x / np.hypot(1, after))
    assert_same_way(mine, sigma, way)


def test_heun_equals_the_published_algorithm() -> None:
    """Karras et al. 2022, algorithm 1, line by line."""
    grid, noise = solver_grid(Spacing.karras, 12, LAW), normal(1, 3, 8, 2)
    x = noise[0] * np.hypot(1, grid[0])
    for t, t_next in pairwise([*grid.tolist(), 0.0]):
        d = (x - answer(x, t)) / t
        x_next = x + (t_next - t) * d
        if t_next != 0:
            d_next = (x_next - answer(x_next, t_next)) / t_next
            x_next = x + (t_next - t) * (d + d_next) / 2
        x = x_next
    torch.testing.assert_close(ours(Solver.heun, grid, noise)[0][-1], x, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("spacing", list(Spacing))
def test_ddim_is_eulers_method_in_flow_time(spacing: Spacing) -> None:
    """x_tau = (1 - tau) x0 + tau eps, dx/dtau = u = (x_tau - x0_hat) / tau."""
    assert Solver["euler"] is Solver.ddim
    grid, noise = solver_grid(spacing, 20, LAW), normal(1, 3, 8, 2)
    mine, sigma = ours(Solver.ddim, grid, noise)
    tau = [*flow_from_sigma(grid).tolist(), 0.0]
    x = mine[0] / (1 + sigma[0])
    for k, level in enumerate(sigma):
        velocity = (x - answer(x * (1 + level), level)) / tau[k]
        x = x + (tau[k + 1] - tau[k]) * velocity
        after = [*sigma, 0.0][k + 1]
        torch.testing.assert_close(mine[k + 1] / (1 + after), x, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 13, 100])
@pytest.mark.parametrize("solver", list(Solver))
def test_every_number_of_steps_ends_at_the_denoisers_answer(solver: Solver, steps: int) -> None:
    grid = solver_grid(Spacing.log_snr, steps, LAW)
    noise = normal(noises_needed(solver, steps), 3, 8, 2)
    calls = solver_calls(solver, grid)
    *_, (x, x0_hat), (end, same) = solve(denoise, noise, calls)
    assert len(calls) == (2 * steps - 1 if solver is Solver.heun else steps)
    assert all(a.sigma >= b.sigma for a, b in pairwise(calls))
    torch.testing.assert_close(x0_hat, answer(x, calls[-1].sigma))
    assert torch.equal(end, same)
    torch.testing.assert_close(end, x0_hat)


def test_only_ddpm_takes_fresh_noise() -> None:
    assert {s: noises_needed(s, 9) for s in Solver if noises_needed(s, 9) > 1} == {Solver.ddpm: 9}
