"""Suboptimal demonstrations: OMPL's RRT, unsmoothed, its corners walked at constant speed."""

from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_envs.free_space import FreeSpace
from ambient_envs.layouts import ARENA
from ambient_envs.planners.extra import planner_library
from ambient_envs.planners.trajectory import Trajectory, constant_speed

STEP = 0.2  # longest edge of the tree [m]: short edges, many corners
RESOLUTION = 0.02  # between the points of an edge that are checked for walls [m]
GOAL_BIAS = 0.05  # share of samples that are the goal
MOST_SAMPLES = 20_000  # then the planner gives up


def rrt_path(
    free: FreeSpace, start: NDArray[np.float64], goal: NDArray[np.float64], seed: int
) -> NDArray[np.float64] | None:
    """Find a path from start to goal (2,) [m] with a random tree.

    Returns:
        Vertices (n,2) [m] from start to goal; None if no path was found. A function of the
        arguments alone: OMPL seeds a new planner and sampler from one global sequence, which
        begins anew here, and the planner stops after a number of samples, not of seconds.
    """
    base, geometric, util = (
        planner_library(f"ompl.{part}", "ompl") for part in ("base", "geometric", "util")
    )
    util.setLogLevel(util.LOG_NONE)  # OMPL calls a second setSeed an error; see the docstring
    util.RNG.setSeed(1 + seed % (2**32 - 2))
    information = _information(base, free)
    planner = geometric.RRT(information)
    planner.setRange(STEP)
    planner.setGoalBias(GOAL_BIAS)
    problem = _problem(base, information, start, goal)
    planner.setProblemDefinition(problem)
    planner.setup()
    samples = count(1)
    planner.solve(base.PlannerTerminationCondition(lambda: next(samples) > MOST_SAMPLES))
    if not problem.hasExactSolution():
        return None
    return np.array([(state[0], state[1]) for state in problem.getSolutionPath().getStates()])


def _information(base: Any, free: FreeSpace) -> Any:
    """The plane with its walls, as OMPL's space information."""
    space = base.RealVectorStateSpace(2)
    bounds = base.RealVectorBounds(2)
    bounds.setLow(0.0)
    bounds.setHigh(ARENA)
    space.setBounds(bounds)
    information = base.SpaceInformation(space)
    information.setStateValidityChecker(lambda state: free.region_at(state[0], state[1]) >= 0)
    information.setStateValidityCheckingResolution(RESOLUTION / (ARENA * 2**0.5))
    information.setup()
    return information


def _problem(
    base: Any, information: Any, start: NDArray[np.float64], goal: NDArray[np.float64]
) -> Any:
    """Define OMPL's problem: from start to goal, exactly."""
    states = [information.allocState(), information.allocState()]
    for state, point in zip(states, (start, goal), strict=True):
        state[0], state[1] = point.tolist()
    problem = base.ProblemDefinition(information)
    problem.setStartAndGoalStates(*states, 1e-6)
    return problem


def plan_rrt(
    free: FreeSpace, start: NDArray[np.float64], goal: NDArray[np.float64], seed: int, speed: float
) -> Trajectory | None:
    """``rrt_path`` at constant speed [m/s]; None if no path was found."""
    path = rrt_path(free, start, goal, seed)
    return None if path is None else constant_speed(path, speed)
