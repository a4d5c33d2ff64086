"""Trusted demonstrations: Drake's GcsTrajectoryOptimization, solved by Clarabel (no licence).

Free space is covered by overlapping rectangles; a path is a chain of Bezier curves, one in each
rectangle it crosses, that agree up to the second derivative where they meet. The shape is walked
along its arc length, so that it stays continuous to the second derivative over time too.
"""

import logging
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_envs.free_space import FreeSpace, Rectangle
from ambient_envs.planners.extra import planner_library
from ambient_envs.planners.trajectory import Trajectory, eased

ORDER = 6  # of the Bezier curves
CONTINUITY = 2  # derivatives that agree where curves meet
RAMP = 0.6  # from rest to full speed, and back [s]
SAMPLES = 400  # of the shape per curve
ENERGY = 3.0  # weight of the squared control polygon's steps: rounds corners


def gcs_path(
    free: FreeSpace, start: NDArray[np.float64], goal: NDArray[np.float64], speed: float
) -> list[Any] | None:
    """The short, smooth path from start to goal (2,) [m] through free space.

    Returns:
        Drake's ``BezierCurve`` objects in their order, one unit of the parameter each; None if the
        solver found no path.
    """
    planning, sets = _drake("planning"), _drake("geometry.optimization")
    logging.getLogger("drake").setLevel(logging.WARNING)  # three lines of INFO a plan otherwise
    regions = free.rectangles()
    gcs = planning.GcsTrajectoryOptimization(2)
    inside = gcs.AddRegions(
        [sets.HPolyhedron.MakeBox(box[:2], box[2:]) for box in regions],
        _overlaps(regions),
        ORDER,
        h_min=0.01,
        h_max=20.0,
        name="free",
    )
    source, target = (
        gcs.AddRegions([sets.Point(point)], 0, name=name)
        for point, name in ((start, "start"), (goal, "goal"))
    )
    gcs.AddEdges(source, inside)
    gcs.AddEdges(inside, target)
    gcs.AddTimeCost(1.0)
    gcs.AddPathLengthCost(1.0)
    inside.AddPathEnergyCost(ENERGY)
    gcs.AddVelocityBounds(np.full(2, -speed), np.full(2, speed))
    for derivative in range(1, CONTINUITY + 1):
        inside.AddPathContinuityConstraints(derivative)
    path, result = gcs.SolvePath(source, target, _options())
    return _curves(gcs.NormalizeSegmentTimes(path)) if result.is_success() else None


def plan_gcs(
    free: FreeSpace, start: NDArray[np.float64], goal: NDArray[np.float64], speed: float
) -> Trajectory | None:
    """``gcs_path`` from rest to rest at a cruising speed [m/s]; None if no path was found."""
    curves = gcs_path(free, start, goal, speed)
    if curves is None:
        return None
    parts = [
        curve.vector_values(np.linspace(curve.start_time(), curve.end_time(), SAMPLES)).T
        for curve in curves
    ]
    return eased(np.concatenate([parts[0], *(part[1:] for part in parts[1:])]), speed, RAMP)


def _curves(path: Any) -> list[Any]:
    """The curves of a path, without the lone points of start and goal (order 0)."""
    segments = (path.segment(k) for k in range(path.get_number_of_segments()))
    return [segment for segment in segments if segment.order() > 0]


def _drake(part: str) -> Any:
    return planner_library(f"pydrake.{part}", "drake")


def _overlaps(boxes: list[Rectangle]) -> list[tuple[int, int]]:
    """Ordered pairs of rectangles that share more than a border."""
    low, high = np.array(boxes)[:, None, :2], np.array(boxes)[:, None, 2:]
    shared = np.minimum(high, high.swapaxes(0, 1)) - np.maximum(low, low.swapaxes(0, 1))
    pairs = np.argwhere((shared > 1e-6).all(axis=-1))
    return [(int(i), int(j)) for i, j in pairs if i != j]


@cache
def _options() -> Any:
    """Convex relaxation and rounding under a fixed seed, Clarabel for every program."""
    options = _drake("geometry.optimization").GraphOfConvexSetsOptions()
    options.convex_relaxation = True
    options.preprocessing = True
    options.max_rounded_paths = 5
    options.rounding_seed = 0
    solver = _drake("solvers").ClarabelSolver()
    options.solver = options.restriction_solver = options.preprocessing_solver = solver
    return options
