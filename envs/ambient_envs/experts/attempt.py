"""One expert trying one episode in the MuJoCo world. Imports no torch: worker processes run it."""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from ambient_envs.experts.maze import Expert, find_expert
from ambient_envs.maze import MazeTask
from ambient_envs.task import STATE, Parts


@dataclass(frozen=True)
class World:
    """The world of an expert, and its cameras.

    Attributes:
        task_id: one of ``ambient_envs.ALL_TASKS``.
        layout: one of ``ambient_envs.layouts.LAYOUTS``.
        cameras: cameras to record beside the state, (image_size, image_size, 3) uint8 each.
    """

    task_id: str
    layout: str
    cameras: tuple[str, ...] = ()
    image_size: int = 96

    @property
    def frames(self) -> dict[str, tuple[int, int, int]]:
        """(H,W,3) [px] of each camera."""
        return dict.fromkeys(self.cameras, (self.image_size, self.image_size, 3))

    def make(self) -> MazeTask:
        """Make the task."""
        env = gymnasium.make(
            self.task_id,
            layout=self.layout,
            cameras=self.cameras,
            image_size=self.image_size,
        )
        return cast(MazeTask, env.unwrapped)


@dataclass(frozen=True)
class Attempt:
    """The record of one episode of an expert.

    Attributes:
        observations: (T,O) float32, the state at each control step.
        actions: (T,A) float32, the command at each control step.
        failure: "" for a success, else the reason ("no plan", "wall", "time", "diverged").
        images: camera -> (T,H,W,3) uint8, the picture at each control step.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    failure: str
    images: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


def run_episode(task: MazeTask, expert: Expert, world_seed: int, planner_seed: int) -> Attempt:
    """Reset the world, let the expert plan, and execute the plan until the episode ends."""
    seen = _parts(task.reset(seed=world_seed)[0])
    stream = expert.actions(task, seen[STATE], planner_seed)
    if stream is None:
        return Attempt(np.empty((0, 4), np.float32), np.empty((0, 2), np.float32), "no plan")
    views, actions = [], []
    for action in stream:
        views.append(seen)
        actions.append(action)
        observation, _, terminated, truncated, info = task.step(action)
        seen = _parts(observation)
        if terminated or truncated:
            break
    rows = {name: np.stack([view[name] for view in views]) for name in seen}
    return Attempt(rows.pop(STATE), np.stack(actions), info["failure"], rows)


def _parts(observation: Any) -> Parts:
    return observation if isinstance(observation, dict) else {STATE: observation}


def attempt_episode(
    world: World, expert: str, world_seed: int, planner_seed: int, goal_seed: int | None = None
) -> Attempt:
    """Run an episode of the expert with this name, in a worker process.

    Args:
        world: in which it tries.
        expert: its name.
        world_seed, planner_seed: of start and goal, and of the plan.
        goal_seed: of the world whose goal is recorded; None records the goal that was pursued.
    """
    task = task_in(world)
    attempt = run_episode(task, find_expert(expert), world_seed, planner_seed)
    return attempt if goal_seed is None else with_goal(task, attempt, goal_seed)


def with_goal(task: MazeTask, attempt: Attempt, goal_seed: int) -> Attempt:
    """Record the goal of another world: right motions, wrong task."""
    columns = [task.observation_names.index(name) for name in task.goal_names]
    observations = attempt.observations.copy()
    other = _parts(task.reset(seed=goal_seed)[0])[STATE]
    observations[:, columns] = other[columns]
    return replace(attempt, observations=observations)


@cache
def task_in(world: World) -> MazeTask:
    """Make the task of a world, once in each process; every episode resets it."""
    return world.make()
