"""Small stores that the tests of this folder share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.store import Attributes, Episode, Store, append_episode, create_store
from ambient_datasets.store import open_store as open_it

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
        path = tmp_path / f"{name}.zarr"
        create_store(path, describe(**changes))
        start = 0
        for length in lengths:
            rows = np.arange(start, start + length, dtype=np.float32)[:, None]
            observations = (rows + [0.1, 0.2, 0.3]).astype(np.float32)
            append_episode(path, Episode(observations, (rows + [0.4, 0.5]).astype(np.float32)))
            start += length
        return open_it(path)

    return make
