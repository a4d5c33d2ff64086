"""Metrics: closed forms, and the two kinds of jerk that make up all of it."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ambient_policy.evaluation import metrics

DT = 0.1


def test_a_cubic_has_constant_jerk() -> None:
    t = np.arange(30) * DT
    path = np.stack([t**3, 2 * t**3 + t], axis=1)  # jerk (6, 12)
    assert metrics.squared_jerk(path, DT) == pytest.approx(180, rel=1e-6)
    assert metrics.boundary_squared_jerk(path, DT, 8) == pytest.approx(180, rel=1e-6)
    assert metrics.inside_squared_jerk(path, DT, 8) == pytest.approx(180, rel=1e-6)


def test_a_parabola_has_constant_acceleration_and_no_jerk() -> None:
    t = np.arange(30) * DT
    path = np.stack([t**2, 0 * t], axis=1)
    assert metrics.squared_acceleration(path, DT) == pytest.approx(4, rel=1e-9)
    assert metrics.squared_jerk(path, DT) == pytest.approx(0, abs=1e-12)


def test_a_circle() -> None:
    dt, omega, radius = 1e-3, 2.0, 1.5
    angle = omega * np.arange(2000) * dt
    path = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert metrics.squared_acceleration(path, dt) == pytest.approx(
        (radius * omega**2) ** 2, rel=1e-4
    )
    assert metrics.squared_jerk(path, dt) == pytest.approx((radius * omega**3) ** 2, rel=1e-4)
    assert metrics.path_length(path) == pytest.approx(radius * omega * 1999 * dt, rel=1e-4)
    assert metrics.duration(path, dt) == pytest.approx(1.999)


def test_units_scale_as_their_names_say() -> None:
    path = np.random.default_rng(0).normal(size=(20, 2))
    assert metrics.squared_jerk(path, DT / 2) == pytest.approx(64 * metrics.squared_jerk(path, DT))
    assert metrics.squared_acceleration(3 * path, DT) == pytest.approx(
        9 * metrics.squared_acceleration(path, DT)
    )


def test_too_short_is_not_defined() -> None:
    path = np.zeros((3, 2))
    assert math.isnan(metrics.squared_jerk(path, DT))
    assert metrics.squared_acceleration(path, DT) == 0
    assert math.isnan(metrics.squared_acceleration(path[:2], DT))
    assert math.isnan(metrics.boundary_squared_jerk(path, DT, 8))
    assert (metrics.path_length(path[:1]), metrics.duration(path[:1], DT)) == (0, 0)


def test_a_kink_at_a_replanning_instant_is_boundary_jerk_alone() -> None:
    t = np.arange(17) * 1.0
    path = np.stack([t, np.maximum(t - 8, 0)], axis=1)  # straight, a corner at sample 8, straight
    assert metrics.inside_squared_jerk(path, 1.0, 8) == 0
    assert metrics.boundary_squared_jerk(path, 1.0, 8) == 1
    shifted = np.stack([t, np.maximum(t - 5, 0)], axis=1)
    assert metrics.boundary_squared_jerk(shifted, 1.0, 8) == 0
    assert metrics.inside_squared_jerk(shifted, 1.0, 8) > 0


@pytest.mark.parametrize("act", [1, 2, 3, 8, 40])
def test_boundary_and_inside_make_up_the_whole(act: int) -> None:
    steps = 25
    path = np.random.default_rng(act).normal(size=(steps + 1, 2))
    inner = [any(i < k * act < i + 3 for k in range(1, steps + 1)) for i in range(steps - 2)]
    parts = [
        count * value
        for count, value in (
            (sum(inner), metrics.boundary_squared_jerk(path, DT, act)),
            (len(inner) - sum(inner), metrics.inside_squared_jerk(path, DT, act)),
        )
        if count
    ]
    assert sum(parts) / len(inner) == pytest.approx(metrics.squared_jerk(path, DT))
    assert math.isnan(metrics.inside_squared_jerk(path, DT, act)) == (act <= 2)
    assert math.isnan(metrics.boundary_squared_jerk(path, DT, act)) == (act == 40)


def minimum_jerk(duration: float, dt: float, length: float = 1.0) -> NDArray[np.float64]:
    s = np.arange(0, duration + dt / 2, dt) / duration
    along = length * (10 * s**3 - 15 * s**4 + 6 * s**5)
    return np.stack([0.6 * along, 0.8 * along], axis=1)


def test_ldlj_of_a_minimum_jerk_movement() -> None:
    """720 L^2 / T^5 of squared jerk, 1.875 L / T of peak speed."""
    for duration, length in ((1.0, 1.0), (3.0, 0.2)):
        path = minimum_jerk(duration, duration / 2000, length)
        expected = -math.log(720 / 1.875**2)
        assert metrics.log_dimensionless_jerk(path, duration / 2000) == pytest.approx(
            expected, abs=0.01
        )


def test_smoothness_does_not_ask_for_size_pace_or_direction() -> None:
    path = minimum_jerk(2.0, 0.01) + 0.002 * np.random.default_rng(1).normal(size=(201, 2))
    turned = 3 * path @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 5
    for measure in (metrics.spectral_arc_length, metrics.log_dimensionless_jerk):
        assert measure(turned, 0.01) == pytest.approx(measure(path, 0.01))
    slow = metrics.log_dimensionless_jerk(path, 0.02)
    assert slow == pytest.approx(metrics.log_dimensionless_jerk(path, 0.01))


def test_pauses_and_noise_are_less_smooth() -> None:
    once = minimum_jerk(2.0, 0.05)
    twice = np.concatenate([once, once[1:] + once[-1]])
    noisy = once + 0.01 * np.random.default_rng(2).normal(size=once.shape)
    for measure in (metrics.spectral_arc_length, metrics.log_dimensionless_jerk):
        assert measure(once, 0.05) > measure(twice, 0.05)
        assert measure(once, 0.05) > measure(noisy, 0.05)
    assert -2 < metrics.spectral_arc_length(once, 0.05) < -1


def test_who_rests_has_no_smoothness() -> None:
    rest = np.ones((20, 2))
    assert math.isnan(metrics.spectral_arc_length(rest, DT))
    assert math.isnan(metrics.log_dimensionless_jerk(rest, DT))
    assert math.isnan(metrics.log_dimensionless_jerk(np.eye(3), DT))
    assert math.isnan(metrics.spectral_arc_length(rest[:1], DT))


def test_progress_is_a_share_of_the_way() -> None:
    goal, path = np.array([4.0, 0.0]), np.array([[0.0, 0.0], [3.0, 0.0]])
    assert metrics.progress(path, goal) == pytest.approx(0.75)
    assert metrics.progress(path - 5, goal - 5) == pytest.approx(0.75)
    assert metrics.progress(-path, goal) == 0 and metrics.progress(path, np.zeros(2)) == 1
    assert math.isnan(metrics.progress(path, None)) and math.isnan(metrics.progress(path, goal[:1]))
