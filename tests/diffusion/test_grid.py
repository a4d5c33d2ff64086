"""Where solvers step: diffusers' spacings, Karras' formula, the ends of the law."""

import numpy as np
import pytest
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from ambient_policy.diffusion.grid import Spacing, solver_grid
from ambient_policy.diffusion.law import ContinuousLaw, Law, LawKind, UniformOverLevels
from ambient_policy.diffusion.noise import Schedule, ddpm_levels, flow_from_sigma
from ambient_policy.errors import SettingsError

LAW = UniformOverLevels(ddpm_levels(Schedule.squaredcos, 100))
EDM = ContinuousLaw(LawKind.log_normal, -1.2, 1.2, 0.002, 80.0)
BY_STEP = (Spacing.leading, Spacing.trailing, Spacing.linspace)
BY_SIGMA = (Spacing.karras, Spacing.log_snr, Spacing.uniform_flow)


@pytest.mark.parametrize("steps", [4, 7, 10, 14, 50, 100])
@pytest.mark.parametrize("spacing", BY_STEP)
def test_spacings_by_step_are_diffusers(spacing: Spacing, steps: int) -> None:
    theirs = DDIMScheduler(100, timestep_spacing=spacing.value)
    theirs.set_timesteps(steps)
    np.testing.assert_array_equal(solver_grid(spacing, steps, LAW), LAW.levels[theirs.timesteps])


def test_karras_spacing_is_the_published_formula() -> None:
    i, n, low, high = np.arange(18), 18, 0.002 ** (1 / 7), 80 ** (1 / 7)
    published = (high + i / (n - 1) * (low - high)) ** 7
    np.testing.assert_allclose(solver_grid(Spacing.karras, 18, EDM), published, rtol=1e-9)


def test_uniform_flow_takes_equal_steps_to_zero() -> None:
    tau = flow_from_sigma(solver_grid(Spacing.uniform_flow, 10, EDM))
    np.testing.assert_allclose(np.diff([*tau, 0.0]), -(80 / 81) / 10)


def test_log_snr_spacing_has_equal_ratios() -> None:
    sigma = solver_grid(Spacing.log_snr, 10, EDM)
    np.testing.assert_allclose(sigma[1:] / sigma[:-1], (0.002 / 80) ** (1 / 9))


@given(st.sampled_from(BY_SIGMA), st.integers(1, 100), st.sampled_from([LAW, EDM]))
def test_a_grid_falls_from_the_top_of_the_law_and_stays_inside(
    spacing: Spacing, n: int, law: Law
) -> None:
    grid = solver_grid(spacing, n, law)
    assert grid.shape == (n,) and grid[0] == law.sigma_hi and grid[-1] >= law.sigma_lo
    assert (np.diff(grid) < 0).all()
    if spacing is not Spacing.uniform_flow and n > 1:
        assert grid[-1] == law.sigma_lo


@pytest.mark.parametrize("spacing", [Spacing.trailing, Spacing.linspace, *BY_SIGMA])
def test_one_step_starts_at_the_top(spacing: Spacing) -> None:
    assert solver_grid(spacing, 1, LAW) == LAW.sigma_hi


@pytest.mark.parametrize(("steps", "sigma"), [(1, "0.0251"), (2, "1.04"), (60, "1.39")])
def test_a_start_that_noise_does_not_hide_is_refused(steps: int, sigma: str) -> None:
    words = rf"steps = {steps} with .* leading would start at sigma = {sigma}, .* trailing or linsp"
    with pytest.raises(SettingsError, match=words):
        solver_grid(Spacing.leading, steps, LAW)


def test_a_schedule_that_ends_too_low_is_refused() -> None:
    low = UniformOverLevels(ddpm_levels(Schedule.linear, 100))
    with pytest.raises(SettingsError, match=r"Training reaches 1.32: .* train higher levels"):
        solver_grid(Spacing.trailing, 10, low)


def test_a_schedule_of_one_level_has_one_step() -> None:
    one = UniformOverLevels(np.array([3.0]))
    assert [solver_grid(spacing, 1, one).tolist() for spacing in Spacing] == [[3.0]] * 6


@pytest.mark.parametrize("spacing", BY_STEP)
def test_more_steps_than_levels_are_refused(spacing: Spacing) -> None:
    with pytest.raises(SettingsError, match=r"steps = 101 exceeds noise.levels = 100; .* karras"):
        solver_grid(spacing, 101, LAW)


@pytest.mark.parametrize("spacing", list(Spacing))
def test_no_step_is_refused(spacing: Spacing) -> None:
    with pytest.raises(SettingsError, match=r"solver.steps = 0 must be from 1 to"):
        solver_grid(spacing, 0, LAW)


@pytest.mark.parametrize("spacing", BY_STEP)
def test_a_law_without_levels_has_no_spacing_by_step(spacing: Spacing) -> None:
    with pytest.raises(SettingsError, match=rf"{spacing.value} counts .* karras, log_snr, uniform"):
        solver_grid(spacing, 10, EDM)
