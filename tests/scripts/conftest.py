"""Tiny stores and tiny trainings that the tests of the scripts share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import compare
import evaluate
from ambient_datasets.store import Attributes, Episode, append_episode, create_store
from collect import CollectSettings
from comparing import CompareSettings
from compose import register

MakeStore = Callable[..., Path]

# what the scripts do when they are called by name
register("collect_settings", CollectSettings)
register("evaluate_settings", evaluate.EvaluateSettings)
register("compare_settings", compare.CompareSettings)
assert compare.CompareSettings is CompareSettings


def describe(source: str, **changes: Any) -> Attributes:
    """Attributes of a maze store; keywords change them."""
    values: dict[str, Any] = {
        "task": "ambient_envs/Maze-v0",
        "source": source,
        "control_rate": 10.0,
        "observation_names": ("agent_x", "agent_y", "goal_x", "goal_y"),
        "observation_units": ("m",) * 4,
        "action_names": ("target_x", "target_y"),
        "action_units": ("m", "m"),
    }
    return Attributes(**{**values, **changes})


def write_store(path: Path, episodes: int = 3, steps: int = 20, **changes: Any) -> Path:
    """A store of straight walks to the goal, each another."""
    attributes = describe(path.stem, **changes)
    create_store(path, attributes)
    widths = len(attributes.observation_names), len(attributes.action_names)
    rng = np.random.default_rng(len(path.stem))
    for _ in range(episodes):
        start, goal = rng.uniform(0.5, 4.5, (2, 2))
        walk = start + np.linspace(0, 1, steps)[:, None] * (goal - start)
        observations = np.concatenate([walk, np.tile(goal, (steps, 1))], axis=1)
        padded = np.resize(observations, (steps, widths[0]))
        append_episode(path, Episode(padded, np.resize(walk, (steps, widths[1]))))
    return path


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Writes a store of a name; keywords change its attributes and size."""

    def make(name: str, **changes: Any) -> Path:
        return write_store(tmp_path / f"{name}.zarr", **changes)

    return make


def tiny(root: Path) -> list[str]:
    """Overrides of a training of four steps on the two stores of ``root``."""
    return [
        "experiment=maze",
        f"root={root}/runs",
        f"sources.trusted.path={root}/trusted.zarr",
        f"sources.suboptimal.path={root}/suboptimal.zarr",
        "sources.trusted.max_episodes=null",
        "sources.suboptimal.max_episodes=null",
        "network.widths=[16,32]",
        "network.embedding=16",
        "network.encoder=[16]",
        "noise.levels=20",
        "solver.steps=2",
        "training.steps=4",
        "training.batch=8",
        "training.warmup=1",
        "training.log_every=1",
        "training.checkpoint_every=2",
    ]


@pytest.fixture
def maze(tmp_path: Path, make_store: MakeStore) -> list[str]:
    """Overrides of a tiny training in tmp_path, its two stores written."""
    make_store("trusted")
    make_store("suboptimal", episodes=5)
    return tiny(tmp_path)


@pytest.fixture(scope="session")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two stores, for tests that only read them."""
    root = tmp_path_factory.mktemp("playground")
    write_store(root / "trusted.zarr")
    write_store(root / "suboptimal.zarr", episodes=5)
    return root


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The scripts set torch's threads; give them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
