"""The result of a planner: positions over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Trajectory:
    """A path with times, linear between its samples, standing still before and after.

    Attributes:
        times: (n,) [s], ascending from 0.
        positions: (n,2) [m].
    """

    times: NDArray[np.float64]
    positions: NDArray[np.float64]

    def at(self, time: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """(...,) times [s] -> (...,2) positions [m]."""
        x, y = (np.interp(np.asarray(time), self.times, column) for column in self.positions.T)
        return np.stack([x, y], axis=-1)

    @property
    def duration(self) -> float:
        """The time from the first to the last sample [s]."""
        return float(self.times[-1])


def arc_length(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,2) [m] -> (n,) length of the polyline up to each vertex [m]."""
    steps = np.hypot(*np.diff(positions, axis=0).T)
    return np.concatenate(([0.0], np.cumsum(steps)))


def constant_speed(vertices: NDArray[np.float64], speed: float) -> Trajectory:
    """Follow a polyline (n,2) [m] at constant speed [m/s], corners included."""
    return Trajectory(arc_length(vertices) / speed, vertices)


def eased(positions: NDArray[np.float64], speed: float, ramp: float) -> Trajectory:
    """Follow a dense curve (n,2) [m] at a speed [m/s] that starts and ends at rest.

    In both ramps (each ``ramp`` seconds at most) the speed follows the quintic 6u^5 - 15u^4 + 10u^3
    between 0 and ``speed``, so velocity and acceleration along the curve are continuous.
    """
    length = arc_length(positions)
    ramp = min(ramp, length[-1] / speed)
    duration = length[-1] / speed + ramp
    times = np.linspace(0.0, duration, max(2, round(duration / 0.002) + 1))
    walked = _eased_length(times, speed, ramp)
    left = _eased_length(duration - times, speed, ramp)
    travelled = np.where(times < duration / 2, walked, length[-1] - left)
    x, y = (np.interp(travelled, length, column) for column in positions.T)
    return Trajectory(times, np.stack([x, y], axis=-1))


def _eased_length(times: NDArray[np.float64], speed: float, ramp: float) -> NDArray[np.float64]:
    """Return the length [m] of the path since rest: the integral of the speed."""
    u = np.clip(times / ramp, 0.0, 1.0)
    climb = ramp * (u**6 - 3.0 * u**5 + 2.5 * u**4)  # integral of the quintic; ramp / 2 at u = 1
    return speed * (climb + np.maximum(times - ramp, 0.0))
