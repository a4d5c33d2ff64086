"""Small stores that the tests of this folder share."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.guards import apart
from ambient_datasets.guards.forks import Reading, perform
from ambient_datasets.store import Attributes, Episode, Store
from tests.datasets.stores import write_store

MakeStore = Callable[..., Store]


@pytest.fixture
def describe() -> Callable[..., Attributes]:
    """Attributes of a world with three observations and two actions; keywords change them."""

    def make(**changes: Any) -> Attributes:
        values: dict[str, Any] = {
            "task": "ambient_envs/Maze-v0",
            "source": "gcs",
            "control_rate": 10.0,
            "observation_names": ("x", "y", "angle"),
            "observation_units": ("m", "m", "rad"),
            "action_names": ("target_x", "target_y"),
            "action_units": ("m", "m"),
        }
        return Attributes(**{**values, **changes})

    return make


@pytest.fixture
def make_store(tmp_path: Path, describe: Callable[..., Attributes]) -> MakeStore:
    """A store of episodes with the given lengths; every number in it is different."""

    def make(name: str, lengths: tuple[int, ...] = (3, 5, 2), **changes: Any) -> Store:
        rows = np.arange(sum(lengths), dtype=np.float32)[:, None]
        table = (rows + [0.1, 0.2, 0.3, 0.4, 0.5]).astype(np.float32)
        parts = np.split(table, np.cumsum(lengths))[:-1]
        episodes = [Episode(part[:, :3], part[:, 3:]) for part in parts]
        return write_store(tmp_path / f"{name}.zarr", describe(**changes), episodes)

    return make


class Here:
    """Reads in this process, in the place of the program that forks."""

    def __init__(self) -> None:
        self.file = io.BytesIO()

    def ask(self, reading: Reading) -> tuple[bytes, str]:
        answer = perform(reading.read, self.file)
        return answer[:1], answer[1:].decode()

    def take(self) -> dict[str, Any]:
        self.file.seek(0)
        return dict(np.load(self.file))


@pytest.fixture
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be read in a process of its own is read in this one, under limits of the test."""
    monkeypatch.setattr(apart, "_find_server", Here)
