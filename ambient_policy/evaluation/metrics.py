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


def path_length(path: Floats) -> float:
    """Length [m] of the polygon through a path (T+1,D); 0 for a single point."""
    return float(np.linalg.norm(np.diff(path.astype(np.float64), axis=0), axis=1).sum())


def duration(path: Floats, dt: float) -> float:
    """Time [s] from the first to the last sample of a path (T+1,D)."""
    return (len(path) - 1) * dt


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
