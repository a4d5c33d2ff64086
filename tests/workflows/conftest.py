"""Tiny stores and tiny trainings that the tests of the scripts share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ambient_datasets.store import Attributes, Episode, append_episode, create_store
from ambient_policy.cli import perform
from ambient_policy.workflows.configs import OWN
from tests.copies import copied
from tests.workflows.tiny import TINY

Snapshot = dict[str, bytes]


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


@copied
def write_store(path: Path, /, episodes: int = 3, steps: int = 20, **changes: Any) -> Path:
    """A store of straight walks to a goal, each another."""
    attributes = describe(path.stem, **changes)
    create_store(path, attributes)
    widths = len(attributes.observation_names), len(attributes.action_names)
    rng = np.random.default_rng(len(path.stem))
    for _ in range(episodes):
        start, goal = rng.uniform(0.5, 4.5, (2, 2))
        walk = start + np.linspace(0, 1, steps)[:, None] * (goal - start)
        observed = np.concatenate([walk, np.tile(goal, (steps, 1))], axis=1)
        append_episode(
            path,
            Episode(np.resize(observed, (steps, widths[0])), np.resize(walk, (steps, widths[1]))),
        )
    return path


def tiny_overrides(root: Path) -> list[str]:
    """Overrides of a training of four steps, in root/runs, on the two stores of root."""
    return [
        "experiment=maze",
        f"root={root}/runs",
        f"sources.trusted.path={root}/trusted.zarr",
        f"sources.suboptimal.path={root}/suboptimal.zarr",
        "sources.trusted.max_episodes=null",
        "sources.suboptimal.max_episodes=null",
        "network.encoders.state.layers=[16]",
        *TINY,
    ]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The scripts set torch's threads; give them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """Writes tmp_path/<name>.zarr; keywords change its size and attributes."""

    def make(name: str, **changes: Any) -> Path:
        return write_store(tmp_path / f"{name}.zarr", **changes)

    return make


@pytest.fixture
def maze(tmp_path: Path, make_store: Callable[..., Path]) -> list[str]:
    """Overrides of a tiny training in tmp_path, its two stores written."""
    make_store("trusted")
    make_store("suboptimal", episodes=5)
    return tiny_overrides(tmp_path)


@pytest.fixture
def snapshot(tmp_path: Path) -> Callable[[], Snapshot]:
    """Every file under tmp_path with its bytes, now."""

    def take() -> Snapshot:
        files = (file for file in tmp_path.rglob("*") if file.is_file())
        return {str(file.relative_to(tmp_path)): file.read_bytes() for file in files}

    return take


@pytest.fixture
def own_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a file of the user's own folder of configs, tmp_path/configs, and puts it in front."""

    def write(name: str, text: str) -> None:
        file = tmp_path / "configs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        monkeypatch.setenv(OWN, str(tmp_path / "configs"))

    return write


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two stores, for tests that leave them as they are."""
    root = tmp_path_factory.mktemp("shared")
    write_store(root / "trusted.zarr")
    write_store(root / "suboptimal.zarr", episodes=5)
    return root


@pytest.fixture(scope="session")
def shared_maze(shared_root: Path) -> list[str]:
    """Overrides of a tiny training in the shared folder; give it a root of its own to train."""
    return tiny_overrides(shared_root)


@pytest.fixture(scope="session")
def trained(shared_root: Path, shared_maze: list[str]) -> Path:
    """The folder of a finished tiny training of arm=ambient."""
    perform("train", [*shared_maze, "arm=ambient"])
    return shared_root / "runs" / "ambient" / "seed-0"
