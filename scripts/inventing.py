"""Demonstrations made up to be measured on: as many numbers as the maze's, and no meaning."""

from pathlib import Path

import numpy as np

from ambient_datasets.store import Appender, Attributes, Episode, create_store
from ambient_policy.ambient.admission import Admission
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.diffusion.law import UniformOverLevels
from ambient_policy.diffusion.noise import Schedule, ddpm_levels
from ambient_policy.seeding import generator
from assemble import Parts, build
from compose import compose

# of each store
EPISODES, LENGTH = 100, 1500


def invent_sampler(episodes: int) -> Sampler:
    """50 trusted episodes with half the weight; each of the others has a sigma_min of its own."""
    random = generator(0, "benchmark", episodes)
    trusted = np.arange(episodes) < 50
    lengths = random.integers(20, 200, episodes)
    weight = np.where(trusted, 0.5 / lengths[trusted].sum(), 0.5 / lengths[~trusted].sum())
    own = random.uniform(0.01, 8.0, episodes)
    admission = Admission(np.where(trusted, 0.0, own), np.where(trusted, np.inf, 0.0))
    law = UniformOverLevels(ddpm_levels(Schedule.squaredcos, 100))
    return Sampler(admission, np.cumsum(lengths) - lengths, lengths, weight, law)


def invent_store(path: Path) -> None:
    """Walks across the arena, as the maze would record them."""
    state, action = ("agent_x", "agent_y", "goal_x", "goal_y"), ("target_x", "target_y")
    units = ("m", "m")
    task = "ambient_envs/Maze-v0"
    create_store(path, Attributes(task, path.stem, 10.0, state, units * 2, action, units))
    appender, random = Appender(path), generator(0, f"benchmark {path.stem}")
    for start, goal in random.uniform(0.5, 4.5, (EPISODES, 2, 2)):
        walk = start + np.linspace(0, 1, LENGTH)[:, None] * (goal - start)
        appender.append(Episode(np.hstack([walk, np.tile(goal, (LENGTH, 1))]), walk))


def invent_parts(folder: Path, overrides: list[str]) -> Parts:
    """The parts of a training on two invented stores: experiment=maze but for the overrides."""
    paths = {name: folder / f"{name}.zarr" for name in ("trusted", "suboptimal")}
    stores = [f"sources.{name}.path={path}" for name, path in paths.items()]
    whole = [f"sources.{name}.max_episodes=null" for name in paths]
    root = [f"root={folder}", "experiment=maze"]
    settings = compose("train", [*root, *stores, *whole, *overrides])
    for path in paths.values():
        invent_store(path)
    return build(settings)
