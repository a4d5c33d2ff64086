"""One expert trying one episode in the MuJoCo world. Imports no torch: worker processes run it."""

from dataclasses import dataclass
from functools import cache
from typing import cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from ambient_envs.experts.maze import Expert, find_expert
from ambient_envs.maze import MazeTask


@dataclass(frozen=True)
class Attempt:
    """What happened.

    Attributes:
        observations: (T,O) float32, seen at each control step.
        actions: (T,A) float32, commanded while it was seen.
        failure: "" for a success, else why not ("no plan", "wall", "time", "diverged").
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    failure: str


def run_episode(task: MazeTask, expert: Expert, world_seed: int, planner_seed: int) -> Attempt:
    """Reset the world, let the expert plan, and execute the plan until the episode ends."""
    observation, _ = task.reset(seed=world_seed)
    stream = expert.actions(task, observation, planner_seed)
    if stream is None:
        return Attempt(np.empty((0, 4), np.float32), np.empty((0, 2), np.float32), "no plan")
    observations, actions = [], []
    for action in stream:
        observations.append(observation)
        actions.append(action)
        observation, _, terminated, truncated, info = task.step(action)
        if terminated or truncated:
            break
    return Attempt(np.stack(observations), np.stack(actions), info["failure"])


def attempt_episode(
    task_id: str, layout: str, expert: str, world_seed: int, planner_seed: int
) -> Attempt:
    """``run_episode`` by name: what a worker process is asked for."""
    return run_episode(task_in(task_id, layout), find_expert(expert), world_seed, planner_seed)


@cache
def task_in(task_id: str, layout: str) -> MazeTask:
    """The task of that id, made once a process and reset for every episode."""
    return cast(MazeTask, gymnasium.make(task_id, layout=layout).unwrapped)
