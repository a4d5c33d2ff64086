"""Smoothness and length of an executed path, each with its signal, rate and unit.

The signal is always the *executed* path: positions (T+1,D) sampled once per control step, dt [s]
apart, from the reset to the end of the episode (not the actions commanded). Derivatives are plain
finite differences, unfiltered. Units are for positions in metres; other lengths scale them.
A path too short for its difference gives NaN, a number that says "not defined" in every mean.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def squared_jerk(path: Floats, dt: float) -> float:
    """Mean squared jerk [(m/s^3)^2] of a path (T+1,D), dt [s]; NaN when T < 3.

    Third difference over dt^3, squared Euclidean norm, mean over its T-2 values.
    """
    return _mean(_squared_difference(path, dt, order=3))


def squared_acceleration(path: Floats, dt: float) -> float:
    """Mean squared acceleration [(m/s^2)^2] of a path (T+1,D), dt [s]; NaN when T < 2.

    Second difference over dt^2, squared Euclidean norm, mean over its T-1 values.
    """
    return _mean(_squared_difference(path, dt, order=2))


def boundary_squared_jerk(path: Floats, dt: float, act: int) -> float:
    """Mean squared jerk [(m/s^3)^2] where two chunks meet; NaN when no chunk was replanned.

    Only third differences whose four samples hold a replanning instant k*Ta (Ta = ``act`` control
    steps) strictly inside: two in every chunk for Ta > 2, all of them for Ta <= 2.
    """
    jerk = _squared_difference(path, dt, order=3)
    return _mean(jerk[_straddles(len(jerk), act)])


def inside_squared_jerk(path: Floats, dt: float, act: int) -> float:
    """Mean squared jerk [(m/s^3)^2] inside chunks: the differences ``boundary`` leaves out.

    NaN when there are none, as for Ta <= 2.
    """
    jerk = _squared_difference(path, dt, order=3)
    return _mean(jerk[~_straddles(len(jerk), act)])


def log_dimensionless_jerk(path: Floats, dt: float) -> float:
    """LDLJ of a path (T+1,D), dt [s]: no unit, larger is smoother; NaN when T < 3 or at rest.

    Balasubramanian, Melendez-Calderon and Burdet 2012, eq. 8, for a path in D dimensions.
    """
    jerk, peak = _squared_difference(path, dt, order=3), _speed(path, dt).max(initial=0.0)
    if not jerk.any() or not peak > 0:
        return float("nan")
    # LDLJ = -ln(duration^3 / v_peak^2 * integral of |jerk|^2)
    return float(-np.log(duration(path, dt) ** 3 / peak**2 * jerk.sum() * dt))


def spectral_arc_length(
    path: Floats, dt: float, highest: float = 10.0, least: float = 0.05
) -> float:
    """SPARC of a path (T+1,D), dt [s]: no unit, at most 0, larger is smoother; NaN at rest.

    The negative length of the curve of the speed's spectrum, both axes scaled to 1.
    Balasubramanian, Melendez-Calderon, Roby-Brami and Burdet 2015, eqs. 1 and 2.

    Args:
        path: positions.
        dt: control period.
        highest: end of the spectrum [Hz]; half the control rate if that is lower.
        least: the spectrum ends where it stays below this share of its largest value.
    """
    speed = _speed(path, dt)
    if not speed.any():
        return float("nan")
    size = 2 ** (int(np.ceil(np.log2(len(speed)))) + 4)  # zero padding, as published
    frequency, spectrum = np.fft.rfftfreq(size, dt), np.abs(np.fft.rfft(speed, size))
    share = (spectrum / spectrum.max())[frequency <= highest]
    last = int(np.flatnonzero(share >= least)[-1])
    steps = np.diff(share[: last + 1])
    return float(-np.sqrt(1 / max(last, 1) ** 2 + steps**2).sum())


def progress(path: Floats, goal: Floats | None) -> float:
    """Share in [0,1] of the distance to the goal (G,) that is behind a path (T+1,D) at its end.

    In a straight line, walls or not. NaN without a goal, or with one of other dimensions.
    """
    if goal is None or goal.shape != path.shape[1:]:
        return float("nan")
    first, last = (float(np.linalg.norm(path[i] - goal)) for i in (0, -1))
    return min(max(1 - last / first, 0.0), 1.0) if first > 0 else 1.0


def path_length(path: Floats) -> float:
    """Length [m] of the polygon through a path (T+1,D); 0 for a single point."""
    return float(np.linalg.norm(np.diff(path.astype(np.float64), axis=0), axis=1).sum())


def duration(path: Floats, dt: float) -> float:
    """Time [s] from the first to the last sample of a path (T+1,D)."""
    return (len(path) - 1) * dt


def _speed(path: Floats, dt: float) -> NDArray[np.float64]:
    """(T,) [m/s]."""
    return np.asarray(np.linalg.norm(np.diff(path.astype(np.float64), axis=0), axis=1) / dt)


def _squared_difference(path: Floats, dt: float, order: int) -> NDArray[np.float64]:
    """(T+1-order,) squared norm of the order-th derivative."""
    derivative = np.diff(path.astype(np.float64), n=order, axis=0) / dt**order
    return np.asarray(np.square(derivative).sum(axis=1))


def _straddles(count: int, act: int) -> NDArray[np.bool_]:
    """(count,) whether samples i..i+3 hold a multiple of ``act`` at i+1 or i+2."""
    first = np.arange(count)
    return np.asarray(((first + 1) % act == 0) | ((first + 2) % act == 0))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
