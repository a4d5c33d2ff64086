"""Solvers against diffusers, step by step, and against a distribution known in closed form."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from ambient_policy.diffusion.noise import Schedule, ddpm_levels, vp_from_sigma
from ambient_policy.diffusion.solve import Solver, leading_levels, noises_needed, solve
from ambient_policy.errors import SettingsError

LEVELS = ddpm_levels(Schedule.squaredcos, 100)


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    """An arbitrary smooth denoiser; what it answers does not matter for an equivalence."""
    return torch.tanh(x / (1 + sigma[:, None, None] ** 2)) * 0.7


@pytest.mark.parametrize("steps", [1, 7, 10, 100])
@pytest.mark.parametrize("solver", list(Solver))
def test_every_step_equals_diffusers(solver: Solver, steps: int) -> None:
    kind: Any = DDIMScheduler if solver is Solver.ddim else DDPMScheduler
    theirs = kind(
        100, beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False
    )
    theirs.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(
        noises_needed(solver, steps), 3, 8, 2, generator=generator, dtype=torch.float64
    )
    grid = leading_levels(LEVELS, steps)
    ours = list(solve(denoise, noise, grid, solver))
    x = noise[0]
    for k, step in enumerate(theirs.timesteps):
        alpha = float(np.sqrt(1 - vp_from_sigma(grid)[k] ** 2))
        torch.testing.assert_close(ours[k][0] * alpha, x, atol=1e-5, rtol=1e-5)
        x0_hat = denoise(x / alpha, torch.full((3,), float(grid[k]), dtype=torch.float64))
        if solver is Solver.ddim:
            x = theirs.step(x0_hat, step, x).prev_sample
        else:
            x = _ddpm_step(theirs, x0_hat, int(step), x, noise[min(k + 1, len(noise) - 1)])
    torch.testing.assert_close(ours[-1][0], x, atol=1e-5, rtol=1e-5)


def _ddpm_step(theirs: Any, x0_hat: Tensor, step: int, x: Tensor, eps: Tensor) -> Tensor:
    """diffusers' mean (a step whose own noise is subtracted) and variance, with our noise."""
    own = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    stepped = theirs.step(x0_hat, step, x, generator=torch.Generator().manual_seed(1))
    mean: Tensor = stepped.prev_sample
    if step == 0:
        return mean
    deviation: Tensor = theirs._get_variance(step) ** 0.5
    return mean + deviation * (eps - own)


@pytest.mark.parametrize("solver", list(Solver))
def test_exact_denoiser_of_a_gaussian_reproduces_it(solver: Solver) -> None:
    mean, deviation, n = 0.4, 0.3, 6000

    def exact(x: Tensor, sigma: Tensor) -> Tensor:
        shrink = deviation**2 / (deviation**2 + sigma**2)
        return mean + shrink[:, None, None] * (x - mean)

    # DDPM's posterior variance is exact only for many small steps, hence a fine grid.
    grid = ddpm_levels(Schedule.squaredcos, 1000)[::-1]
    noise = torch.randn(1000, n, 1, 1, generator=torch.Generator().manual_seed(0)).double()
    *_, (chunk, _) = solve(exact, noise, grid, solver)
    assert chunk.mean().item() == pytest.approx(mean, abs=0.015)
    assert chunk.std().item() == pytest.approx(deviation, rel=0.03)


def test_leading_spacing_visits_the_published_steps() -> None:
    np.testing.assert_array_equal(leading_levels(LEVELS, 10), LEVELS[::10][::-1])


@pytest.mark.parametrize("steps", [15, 60])
def test_steps_that_start_below_the_top_are_refused(steps: int) -> None:
    with pytest.raises(SettingsError, match=rf"steps = {steps} would start .* 10, 20, 25, 50, 100"):
        leading_levels(LEVELS, steps)


@pytest.mark.parametrize("steps", [0, 101])
def test_steps_outside_the_levels_are_refused(steps: int) -> None:
    with pytest.raises(SettingsError, match=rf"solver.steps = {steps} is outside 1..100"):
        leading_levels(LEVELS, steps)
