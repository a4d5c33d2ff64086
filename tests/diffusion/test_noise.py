"""The coordinates of noise, against FACTS' table and against diffusers."""

from typing import Any

import numpy as np
import pytest
from diffusers import DDPMScheduler

from ambient_policy.diffusion.noise import (
    Schedule,
    as_table,
    coordinates,
    ddpm_levels,
    resolve_sigma,
    vp_from_sigma,
)
from ambient_policy.errors import SettingsError

LEVELS = ddpm_levels(Schedule.squaredcos, 100)
COORDINATES = coordinates(LEVELS)
INSIDE = np.geomspace(LEVELS[0], LEVELS[-1], 777)


@pytest.mark.parametrize("name", list(COORDINATES))
def test_coordinates_round_trip(name: str) -> None:
    there, back, low, high = COORDINATES[name]
    np.testing.assert_allclose(back(there(INSIDE)), INSIDE, rtol=1e-9)
    value = np.linspace(max(low, -12), min(high, 12), 333)
    np.testing.assert_allclose(there(back(value)), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["ve", "vp", "flow", "log_snr"])
def test_the_ends_of_a_coordinate_are_no_noise_and_nothing_but_noise(name: str) -> None:
    there, back, low, high = COORDINATES[name]
    ends = np.array([high, low] if name == "log_snr" else [low, high])
    np.testing.assert_array_equal(back(ends), [0, np.inf])
    np.testing.assert_array_equal(there(np.array([0, np.inf])), ends)


def test_a_whole_step_is_its_level_and_between_steps_ln_sigma_is_linear() -> None:
    step = COORDINATES["step"]
    np.testing.assert_array_equal(step.to_sigma(np.arange(100.0)), LEVELS)
    np.testing.assert_array_equal(step.from_sigma(LEVELS), np.arange(100))
    np.testing.assert_allclose(step.to_sigma(np.array(3.5)), np.sqrt(LEVELS[3] * LEVELS[4]))
    assert np.isnan(step.from_sigma(np.array([0.0, 0.02, 1e9, np.inf]))).all()
    (one,) = ddpm_levels(Schedule.linear, 1)
    assert coordinates(np.array([one]))["step"].to_sigma(np.array(0.0)) == one


@pytest.mark.parametrize("steps", [10, 100, 1000])
@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [(Schedule.squaredcos, "squaredcos_cap_v2"), (Schedule.linear, "linear")],
)
def test_levels_equal_diffusers(schedule: Schedule, theirs: str, steps: int) -> None:
    alpha_bar = DDPMScheduler(steps, beta_schedule=theirs).alphas_cumprod.double().numpy()
    vp = vp_from_sigma(ddpm_levels(schedule, steps))
    np.testing.assert_allclose(vp, np.sqrt(1 - alpha_bar), atol=5e-6)


def test_the_published_table() -> None:
    steps = [0, 1, 2, 3, 4, 5, 10, 18, 20, 26, 29, 50, 90]
    sigma = [0.0251, 0.0418, 0.0580, 0.0739, 0.0898, 0.106, 0.186, 0.319, 0.353, 0.462, 0.520]
    table = as_table(LEVELS[steps], LEVELS)
    np.testing.assert_allclose([row["ve"] for row in table], [*sigma, 1.04, 7.08], rtol=6e-3)
    assert [row["step"] for row in table] == steps
    assert table[3]["vp"] == pytest.approx(0.0737, abs=5e-5)
    assert table[3]["flow"] == pytest.approx(LEVELS[3] / (1 + LEVELS[3]))
    assert table[3]["log_snr"] == pytest.approx(-2 * np.log(LEVELS[3]))


@pytest.mark.parametrize(
    ("level", "sigma"),
    [
        (0.27, 0.27),
        (0, 0.0),
        (float("inf"), np.inf),
        ({"ve": 0.5}, 0.5),
        ({"vp": 0.6}, 0.75),
        ({"flow": 0.2}, 0.25),
        ({"log_snr": 0}, 1.0),
        ({"vp": 1}, np.inf),
        ({"step": 3}, LEVELS[3]),
    ],
)
def test_a_threshold_in_any_coordinate_is_a_sigma(level: Any, sigma: float) -> None:
    assert resolve_sigma("tuned.sigma_min", level, LEVELS) == pytest.approx(sigma, rel=1e-12)


@pytest.mark.parametrize("word", [".inf", "inf", ".Inf", "+.inf", np.inf])
def test_infinity_has_several_names(word: str | float) -> None:
    assert resolve_sigma("sigma_min", word, LEVELS) == np.inf
    assert resolve_sigma("sigma_min", {"log_snr": f"-{word}".replace("-+", "-")}, LEVELS) == np.inf


def test_a_threshold_at_a_step_excludes_that_step_exactly() -> None:
    assert resolve_sigma("sigma_min", {"step": 3}, LEVELS) == LEVELS[3]


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (-1, r"tuned.sigma_min = -1: sigma is a number from 0 to inf"),
        (float("nan"), r"tuned.sigma_min = nan: sigma is a number from 0 to inf"),
        ("much", r"tuned.sigma_min = much: sigma is a number"),
        (True, r"tuned.sigma_min = True: sigma is a number"),
        (None, r"tuned.sigma_min = None: sigma is a number"),
        ({"vp": 1.2}, r"tuned.sigma_min = {'vp': 1.2}: vp is a number from 0 to 1"),
        ({"step": 100}, r"{'step': 100}: step is a number from 0 to 99"),
        ({"stp": 3}, r"{'stp': 3}: give sigma .* ve, vp, flow, log_snr, step .* {step: 3}"),
        ({"step": 3, "vp": 0.1}, r"tuned.sigma_min = .* one of ve, vp"),
        ({}, r"tuned.sigma_min = {}: give sigma"),
    ],
)
def test_a_threshold_that_is_none_is_refused(level: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        resolve_sigma("tuned.sigma_min", level, LEVELS)
