"""Maze experts: plan a path from the first observation, then command points along it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ambient_envs.free_space import FreeSpace, free_space
from ambient_envs.maze import RADIUS, MazeTask
from ambient_envs.planners.gcs import plan_gcs
from ambient_envs.planners.rrt import plan_rrt
from ambient_envs.planners.trajectory import Trajectory
from ambient_policy.errors import unknown

CLEARANCE = 0.13  # between the robot and any wall along a plan [m]
SPEED = 1.0  # along a plan [m/s]

Planner = Callable[[FreeSpace, NDArray[np.float64], NDArray[np.float64], int], Trajectory | None]


@dataclass(frozen=True)
class Expert:
    """An expert that follows the paths of a planner."""

    planner: Planner

    def actions(
        self, task: MazeTask, observation: NDArray[np.float32], seed: int
    ) -> Iterator[NDArray[np.float32]] | None:
        """Yield target positions (2,) [m] without end, from the first observation (4,) on.

        The target at a control step is where the path will be at the end of it. None stands for no
        plan.
        """
        free = free_space(task.layout, RADIUS + CLEARANCE)
        start, goal = np.split(observation.astype(np.float64), 2)
        path = self.planner(free, start, goal, seed)
        if path is None:
            return None
        return (path.at((k + 1) * task.dt).astype(np.float32) for k in count())


def _gcs(
    free: FreeSpace, start: NDArray[np.float64], goal: NDArray[np.float64], seed: int
) -> Trajectory | None:
    return plan_gcs(free, start, goal, SPEED)


def _rrt(
    free: FreeSpace, start: NDArray[np.float64], goal: NDArray[np.float64], seed: int
) -> Trajectory | None:
    return plan_rrt(free, start, goal, seed, SPEED)


EXPERTS: dict[str, Expert] = {"gcs": Expert(_gcs), "rrt": Expert(_rrt)}


def find_expert(name: str) -> Expert:
    """Find the expert with this name.

    Raises:
        SettingsError: if there is none, with the names that exist.
    """
    if name not in EXPERTS:
        raise unknown("expert", name, EXPERTS)
    return EXPERTS[name]
