"""Planners: closed forms of retiming, laws of paths, determinism."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from ambient_envs.experts import EXPERTS, Expert, find_expert, run_episode
from ambient_envs.free_space import FreeSpace, free_space
from ambient_envs.maze import MazeTask
from ambient_envs.planners import gcs, rrt
from ambient_envs.planners.extra import planner_library
from ambient_envs.planners.trajectory import Trajectory, arc_length, constant_speed, eased
from ambient_policy.errors import SettingsError

START, GOAL = np.array([0.5, 0.5]), np.array([4.5, 2.5])
LAYOUT, GROW = "corridors", 0.18
MARGIN = 1e-3  # what a solver may be off [m]


@pytest.fixture(scope="module")
def free() -> FreeSpace:
    return free_space(LAYOUT, GROW)


def test_polylines_are_walked_at_constant_speed() -> None:
    corner = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    path = constant_speed(corner, speed=2.0)
    assert path.duration == pytest.approx(3.5)
    assert path.at(1.5) == pytest.approx([3.0, 0.0])
    assert path.at(np.array([-1.0, 1.0, 9.0])) == pytest.approx(
        np.array([[0.0, 0.0], [2.0, 0.0], [3.0, 4.0]])
    )


def test_easing_starts_and_ends_at_rest_with_a_quintic_speed() -> None:
    """On a straight line of 2 m at 1 m/s with ramps of 0.5 s: v = 6u^5 - 15u^4 + 10u^3."""
    line = np.linspace([0.0, 0.0], [2.0, 0.0], 500)
    path = eased(line, speed=1.0, ramp=0.5)
    assert path.duration == pytest.approx(2.5)
    times = np.linspace(0.01, 2.49, 249)
    speed = (path.at(times + 0.004) - path.at(times - 0.004))[:, 0] / 0.008
    u = np.clip(np.minimum(times, 2.5 - times) / 0.5, 0.0, 1.0)
    assert speed == pytest.approx(6 * u**5 - 15 * u**4 + 10 * u**3, abs=2e-3)
    assert path.at(2.5) == pytest.approx([2.0, 0.0])


def test_a_path_too_short_for_its_ramps_is_eased_more_slowly() -> None:
    path = eased(np.linspace([0.0, 0.0], [0.2, 0.0], 50), speed=1.0, ramp=0.5)
    assert path.duration == pytest.approx(0.4)
    assert path.at(0.2) == pytest.approx([0.1, 0.0])


def stays_free(free: FreeSpace, points: NDArray[np.float64], margin: float) -> bool:
    """Within a margin [m] of free space, to the left or right, above or below."""
    around = [points + margin * np.array(step) for step in ((1, 1), (-1, 1), (1, -1), (-1, -1))]
    return all(
        any(free.region_at(x, y) >= 0 for x, y in four)
        for four in np.stack(around, axis=1).tolist()
    )


def test_gcs_curves_agree_to_the_second_derivative_where_they_meet(free: FreeSpace) -> None:
    pytest.importorskip("pydrake")
    curves = gcs.gcs_path(free, START, GOAL, 1.0)
    assert curves is not None and len(curves) >= 4
    for before, after in pairwise(curves):
        for order in range(gcs.CONTINUITY + 1):
            left = before.EvalDerivative(before.end_time(), order)
            right = after.EvalDerivative(after.start_time(), order)
            assert left == pytest.approx(right, abs=1e-3)
    ends = curves[0].value(curves[0].start_time()), curves[-1].value(curves[-1].end_time())
    assert np.concatenate(ends).ravel() == pytest.approx([*START, *GOAL], abs=MARGIN)


def test_gcs_demonstrations_are_smooth_over_time_and_free(free: FreeSpace) -> None:
    pytest.importorskip("pydrake")
    path = gcs.plan_gcs(free, START, GOAL, 1.0)
    assert path is not None and stays_free(free, path.positions, MARGIN)
    h = 0.01
    points = path.at(np.arange(0.0, path.duration, h))
    velocity, acceleration, change = (np.diff(points, k, axis=0) / h**k for k in (1, 2, 3))
    assert np.hypot(*velocity.T).max() < 1.02
    assert np.hypot(*velocity[[0, -1]].T).max() < 0.05  # at rest at both ends
    # A jump of the acceleration by a would show here as a / h: hundreds.
    assert np.hypot(*acceleration.T).max() < 10.0 and np.hypot(*change.T).max() < 150.0


def test_rrt_paths_are_free_and_made_of_short_edges(free: FreeSpace) -> None:
    pytest.importorskip("ompl")
    path = rrt.rrt_path(free, START, GOAL, seed=0)
    assert path is not None
    assert path[0] == pytest.approx(START) and path[-1] == pytest.approx(GOAL, abs=1e-5)
    assert np.diff(arc_length(path)).max() <= rrt.STEP + 1e-9
    walked = constant_speed(path, 1.0)
    assert stays_free(free, walked.at(np.linspace(0.0, walked.duration, 500)), rrt.RESOLUTION)


def test_a_rrt_plan_depends_on_its_seed_alone(free: FreeSpace) -> None:
    """Not on the plans made before, nor on the process."""
    pytest.importorskip("ompl")
    plans = {seed: rrt.rrt_path(free, START, GOAL, seed) for seed in (1, 2, 3)}
    assert plans[1] is not None and plans[2] is not None
    assert not np.array_equal(plans[1], plans[2])
    code = (
        "import sys, numpy as np\n"
        "from ambient_envs.free_space import free_space\n"
        "from ambient_envs.planners.rrt import rrt_path\n"
        f"free = free_space({LAYOUT!r}, {GROW})\n"
        f"start, goal = np.array({START.tolist()}), np.array({GOAL.tolist()})\n"
        "for seed in (3, 1): print(rrt_path(free, start, goal, seed).tobytes().hex())\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    for seed, text in zip((3, 1), printed, strict=True):
        plan, again = plans[seed], rrt.rrt_path(free, START, GOAL, seed)
        assert plan is not None and again is not None
        assert plan.tobytes().hex() == text and np.array_equal(plan, again)


def test_a_goal_behind_walls_has_no_plan() -> None:
    closed = free_space("rooms", 0.45)
    goal = np.array([4.0, 1.6])
    assert closed.region_at(0.5, 0.5) >= 0 and closed.region_at(*goal.tolist()) >= 0
    pytest.importorskip("ompl")
    assert rrt.rrt_path(closed, START, goal, seed=0) is None
    assert rrt.plan_rrt(closed, START, goal, 0, 1.0) is None
    pytest.importorskip("pydrake")
    assert gcs.gcs_path(closed, START, goal, 1.0) is None
    assert gcs.plan_gcs(closed, START, goal, 1.0) is None


def test_without_a_plan_the_attempt_fails_in_its_first_step() -> None:
    attempt = run_episode(MazeTask(), Expert(lambda *_: None), 0, 0)
    assert attempt.failure == "no plan" and len(attempt.actions) == 0


def test_executed_gcs_paths_are_far_smoother_than_executed_rrt_paths() -> None:
    pytest.importorskip("pydrake")
    pytest.importorskip("ompl")
    task = MazeTask()

    def squared_jerk(expert: str) -> float:
        """Third difference of the executed path at 10 Hz over dt^3, squared [(m/s^3)^2]."""
        runs = [run_episode(task, EXPERTS[expert], seed, seed) for seed in range(5)]
        paths = [run.observations[:, :2].astype(np.float64) for run in runs]
        jerks = [np.diff(path, 3, axis=0) / task.dt**3 for path in paths]
        return float(np.mean(np.concatenate([(jerk**2).sum(axis=1) for jerk in jerks])))

    assert squared_jerk("rrt") > 5 * squared_jerk("gcs")


def test_an_expert_commands_where_its_path_will_be() -> None:
    line = Trajectory(np.array([0.0, 1.0]), np.array([[1.0, 1.0], [1.0, 2.0]]))
    actions = Expert(lambda *_: line).actions(MazeTask(), np.zeros(4, np.float32), 0)
    assert actions is not None
    commanded = np.stack([next(actions) for _ in range(12)])
    assert commanded[:, 1] == pytest.approx(np.minimum(1.1 + 0.1 * np.arange(12), 2.0))


def test_messages() -> None:
    with pytest.raises(SettingsError, match="unknown expert 'rtt'; known: gcs, rrt. Did you mean"):
        find_expert("rtt")
    with pytest.raises(SettingsError, match=r"needs the package 'ompl'.*\[planners\]"):
        planner_library("ompl_that_nobody_installed", "ompl")
