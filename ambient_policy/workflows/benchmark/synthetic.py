"""Synthetic demonstrations to measure on: as many numbers as the maze's, and no meaning."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import Blosc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ambient_datasets.store import Appender, Attributes, Episode, create_store
from ambient_policy.ambient.admission import Admission
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.diffusion.law import UniformOverLevels
from ambient_policy.diffusion.noise import Schedule, ddpm_levels
from ambient_policy.files import write_text
from ambient_policy.seeding import generator
from ambient_policy.workflows.preparation import Parts, prepare
from ambient_policy.workflows.settings import compose

# episodes of each store, and their steps
EPISODES, LENGTH = 100, 1500
# a replay buffer: steps of an episode, which are one chunk; a frame (H,W,3) [px]; compression
REPLAYED, FRAME, BLOSC = 100, (96, 96, 3), Blosc("zstd", 1, Blosc.BITSHUFFLE)


def make_sampler(episodes: int) -> Sampler:
    """Make a sampler of 50 trusted episodes with half the weight, and others with a sigma_min."""
    random = generator(0, "benchmark", episodes)
    trusted = np.arange(episodes) < 50
    lengths = random.integers(20, 200, episodes)
    weight = np.where(trusted, 0.5 / lengths[trusted].sum(), 0.5 / lengths[~trusted].sum())
    own = random.uniform(0.01, 8.0, episodes)
    admission = Admission(np.where(trusted, 0.0, own), np.where(trusted, np.inf, 0.0))
    law = UniformOverLevels(ddpm_levels(Schedule.squaredcos, 100))
    return Sampler(admission, np.cumsum(lengths) - lengths, lengths, weight, law)


def make_store(path: Path) -> None:
    """Write a store of walks across the arena, as the maze records them."""
    state, action = ("agent_x", "agent_y", "goal_x", "goal_y"), ("target_x", "target_y")
    units = ("m", "m")
    task = "ambient_envs/Maze-v0"
    create_store(path, Attributes(task, path.stem, 10.0, state, units * 2, action, units))
    appender, random = Appender(path), generator(0, f"benchmark {path.stem}")
    for start, goal in random.uniform(0.5, 4.5, (EPISODES, 2, 2)):
        walk = start + np.linspace(0, 1, LENGTH)[:, None] * (goal - start)
        appender.append(Episode(np.hstack([walk, np.tile(goal, (LENGTH, 1))]), walk))


def make_parts(folder: Path, overrides: list[str]) -> Parts:
    """Prepare a training on two synthetic stores: experiment=maze with these overrides."""
    paths = {name: folder / f"{name}.zarr" for name in ("trusted", "suboptimal")}
    stores = [f"sources.{name}.path={path}" for name, path in paths.items()]
    whole = [f"sources.{name}.max_episodes=null" for name in paths]
    root = [f"root={folder}", "experiment=maze"]
    settings = compose("train", [*root, *stores, *whole, *overrides])
    for path in paths.values():
        make_store(path)
    return prepare(settings)


def make_stores(folder: Path, stores: int, episodes: int) -> list[Path]:
    """Write stores of so many episodes each, which share their files."""
    state, action = ("agent_x", "agent_y", "goal_x", "goal_y"), ("target_x", "target_y")
    units, model = ("m", "m"), folder / "model.zarr"
    attributes = Attributes("ambient_envs/Maze-v0", "many", 10.0, state, units * 2, action, units)
    create_store(model, attributes)
    appender = Appender(model)
    for length in generator(0, "benchmark many").integers(20, 200, episodes).tolist():
        still = np.zeros((length, 4), np.float32)
        appender.append(Episode(still, still[:, :2]))
    paths = [folder / f"store_{i}.zarr" for i in range(stores)]
    for path in paths:
        shutil.copytree(model, path, copy_function=os.link)
    return paths


def make_replay(path: Path, size: int) -> None:
    """Write a replay buffer of diffusion_policy (zarr v2) with ``size`` bytes of random frames."""
    random, episodes = (
        generator(0, "benchmark replay"),
        max(1, size // (REPLAYED * math.prod(FRAME))),
    )
    for folder in (path, path / "data", path / "meta"):
        write_text(folder / ".zgroup", json.dumps({"zarr_format": 2}))
    arrays: dict[str, tuple[int, ...]] = {"img": FRAME, "state": (2,), "action": (2,)}
    for key, shape in arrays.items():
        kind = np.dtype(np.uint8 if key == "img" else np.float32)
        _declare(path / "data" / key, (episodes * REPLAYED, *shape), REPLAYED, kind)
        for i in range(episodes):
            values = random.integers(0, 256, (REPLAYED, *shape), np.uint8).astype(kind)
            _write_chunk(path / "data" / key, i, values)
    ends = np.arange(1, episodes + 1) * REPLAYED
    _declare(path / "meta" / "episode_ends", ends.shape, episodes, ends.dtype)
    _write_chunk(path / "meta" / "episode_ends", 0, ends)


def _declare(array: Path, shape: tuple[int, ...], rows: int, kind: np.dtype[Any]) -> None:
    """Write the metadata of a zarr v2 array in chunks of so many rows."""
    record = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": (rows, *shape[1:]),
        "dtype": kind.str,
        "compressor": BLOSC.get_config(),
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    write_text(array / ".zarray", json.dumps(record))


def _write_chunk(array: Path, i: int, values: NDArray[Any]) -> None:
    name = ".".join(map(str, (i, *[0] * (values.ndim - 1))))
    (array / name).write_bytes(BLOSC.encode(values))
