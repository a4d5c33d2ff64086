"""The maze: a point robot reaches a goal without touching a wall.

Observation: position and goal [m], and pictures of the chosen cameras ("top", "tilted"). Action:
absolute target position [m] at 10 Hz. Success: within 0.15 m of the goal inside 30 s. Touching a
wall, as MuJoCo's contacts see it at any physics step, ends the episode as a failure.
"""

from importlib.resources import files
from typing import Any

import mujoco
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from ambient_envs.batched import BatchedTask
from ambient_envs.free_space import FreeSpace, free_space
from ambient_envs.layouts import ARENA, layout_walls
from ambient_envs.task import Floats, MujocoTask

RADIUS = 0.1  # of the robot [m]
GOAL_RADIUS = 0.15  # success is nearer than this [m]
START_CLEARANCE = 0.15  # between the robot and any wall at start and goal [m]
START_DISTANCE = 1.5  # between start and goal at least [m]
WALL_HEIGHT = 0.25  # [m]


class MazeTask(MujocoTask):
    """``ambient_envs/Maze-v0``.

    Args:
        layout: one of ``ambient_envs.layouts.LAYOUTS``.
        settings: ``render_mode``, ``camera``, ``cameras`` and ``image_size`` of ``MujocoTask``.
    """

    observation_names = ("agent_x", "agent_y", "goal_x", "goal_y")
    observation_units = ("m", "m", "m", "m")
    goal_names = ("goal_x", "goal_y")
    action_names = ("target_x", "target_y")
    action_units = ("m", "m")

    def __init__(self, layout: str = "corridors", **settings: Any) -> None:
        self.layout = layout
        self.action_space = Box(0.0, ARENA, (2,), np.float32)
        super().__init__(maze_model(layout), Box(-np.inf, np.inf, (4,), np.float32), **settings)
        self._free = free_space(layout, RADIUS + START_CLEARANCE)

    def reset_world(self, data: mujoco.MjData, random: np.random.Generator) -> None:
        """Draw start and goal uniformly in free space, far enough apart and connected."""
        start, goal = start_and_goal(self._free, random)
        data.qpos[:] = start
        data.mocap_pos[0, :2] = goal

    def goals(self, states: Floats) -> Floats:
        """(W,S) -> (W,2) [m]."""
        return self.mocap_positions(states)[:, 0, :2]

    def observe(self, states: Floats) -> NDArray[np.float32]:
        """(W,S) -> (W,4): agent_x, agent_y, goal_x, goal_y [m]."""
        parts = (self.positions(states), self.goals(states))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def success(self, states: Floats) -> NDArray[np.bool_]:
        """(W,S) -> (W,): is the robot's centre within 0.15 m of the goal?"""
        offset = self.positions(states) - self.goals(states)
        return np.asarray(np.hypot(offset[:, 0], offset[:, 1]) < GOAL_RADIUS)

    def failure(self, states: Floats, sensors: Floats) -> NDArray[np.object_]:
        """(W,S), (W,substeps,1) -> (W,): "wall" where the robot touched one at any physics step."""
        touched = sensors[:, :, 0].max(axis=1) > 0
        return np.where(touched, "wall", "").astype(object)

    def facts(self, states: Floats) -> dict[str, Floats]:
        """The goal (W,2) [m]."""
        return {"goal": self.goals(states).copy()}


def batched_maze(num_envs: int = 1, threads: int | None = None, **settings: Any) -> BatchedTask:
    """Make the batched twin of ``MazeTask(**settings)``, for ``gymnasium.make_vec``."""
    return BatchedTask(MazeTask(**settings), num_envs, threads)


def start_and_goal(
    free: FreeSpace, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw two points (2,) [m], uniform among the pairs that are far apart and connected."""
    while True:
        points = random.uniform(0.0, ARENA, (2, 2))
        first, second = (free.region_at(x, y) for x, y in points.tolist())
        apart = np.hypot(*(points[1] - points[0])) >= START_DISTANCE
        if first >= 0 and first == second and apart:
            return points[0], points[1]


def maze_model(layout: str) -> mujoco.MjModel:
    """Build the robot's world with the walls of a layout."""
    xml = files("ambient_envs").joinpath("assets", "maze.xml").read_text(encoding="utf-8")
    spec = mujoco.MjSpec.from_string(xml)
    for i, (x_low, y_low, x_high, y_high) in enumerate(layout_walls(layout)):
        spec.worldbody.add_geom(
            name=f"wall_{i}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[(x_low + x_high) / 2, (y_low + y_high) / 2, WALL_HEIGHT / 2],
            size=[(x_high - x_low) / 2, (y_high - y_low) / 2, WALL_HEIGHT / 2],
            material="wall",
        )
    return spec.compile()
