"""The coordinates of noise, against FACTS' table and against diffusers."""

import numpy as np
import pytest
from diffusers import DDPMScheduler

from ambient_policy.diffusion import noise
from ambient_policy.diffusion.noise import Schedule, UniformOverLevels, ddpm_levels
from ambient_policy.errors import SettingsError

SIGMA = np.geomspace(1e-3, 50, 200)


@pytest.mark.parametrize("name", ["vp", "flow", "log_snr"])
def test_coordinates_round_trip(name: str) -> None:
    there = getattr(noise, f"{name}_from_sigma")
    back = getattr(noise, f"sigma_from_{name}")
    np.testing.assert_allclose(back(there(SIGMA)), SIGMA, rtol=1e-10)


@pytest.mark.parametrize("steps", [10, 100, 1000])
@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [(Schedule.squaredcos, "squaredcos_cap_v2"), (Schedule.linear, "linear")],
)
def test_levels_equal_diffusers(schedule: Schedule, theirs: str, steps: int) -> None:
    alpha_bar = DDPMScheduler(steps, beta_schedule=theirs).alphas_cumprod.double().numpy()
    vp = noise.vp_from_sigma(ddpm_levels(schedule, steps))
    np.testing.assert_allclose(vp, np.sqrt(1 - alpha_bar), atol=5e-6)


def test_levels_of_the_published_table() -> None:
    steps = [0, 1, 2, 3, 4, 5, 10, 18, 20, 26, 29, 50, 90]
    sigma = [0.0251, 0.0418, 0.0580, 0.0739, 0.0898, 0.106, 0.186, 0.319, 0.353, 0.462, 0.520]
    levels = ddpm_levels(Schedule.squaredcos, 100)[steps]
    np.testing.assert_allclose(levels, [*sigma, 1.04, 7.08], rtol=6e-3)
    table = noise.as_table(levels)
    assert table[3]["vp"] == pytest.approx(0.0737, abs=5e-5)
    assert table[3]["flow"] == pytest.approx(levels[3] / (1 + levels[3]))


def test_uniform_law_draws_every_level_equally() -> None:
    law = UniformOverLevels(np.array([0.1, 0.2, 0.4]))
    drawn = law.draw(np.random.default_rng(0), 30000)
    _, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_allclose(counts, 10000, rtol=0.05)


@pytest.mark.parametrize("levels", [[], [0.0, 1.0], [2.0, 1.0], [1.0, 1.0]])
def test_a_law_needs_rising_positive_levels(levels: list[float]) -> None:
    with pytest.raises(SettingsError, match="positive and rising"):
        UniformOverLevels(np.array(levels))
