"""Experts: who shows a task how it is done, well or badly."""

from ambient_envs.experts.attempt import Attempt, World, attempt_episode, run_episode
from ambient_envs.experts.maze import EXPERTS, Expert, find_expert

__all__ = [
    "EXPERTS",
    "Attempt",
    "Expert",
    "World",
    "attempt_episode",
    "find_expert",
    "run_episode",
]
