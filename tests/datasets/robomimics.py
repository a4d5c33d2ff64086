"""Writes small files of robomimic's layout for the tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.demonstrations import Request
from ambient_datasets.formats.robomimic import open_robomimic
from ambient_datasets.records import Episode

STEPS = {"demo_0": 3, "demo_10": 2, "demo_2": 5}
ENV_ARGS = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20, "robots": "Panda"}}


def ask(**changes: Any) -> Recipe:
    values = {"state": ("pos", "states[1:3]"), "action": ("actions",), "cameras": {"top": "cam"}}
    labels = {"format": "robomimic", "task": "lift", "source": "human"}
    return Recipe(**{**labels, **values, **changes})


def write(path: Path, change: Callable[[h5py.File], Any] | None = None, libver: Any = None) -> Path:
    """3 demonstrations and 10 rows with a packed camera and checksummed positions; then changed."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w", libver=libver) as file:
        data = file.create_group("data")
        data.attrs.update({"total": 10, "env_args": json.dumps(ENV_ARGS)})
        for name, steps in STEPS.items():
            demo = data.create_group(name)
            demo.attrs["num_samples"] = steps
            demo["actions"] = rng.normal(size=(steps, 2))
            demo["states"] = rng.normal(size=(steps, 4))
            pos, cam = rng.normal(size=(steps, 3)), rng.integers(0, 256, (steps, 4, 5, 3), np.uint8)
            demo.create_dataset(
                "obs/pos", data=pos, compression="gzip", shuffle=True, fletcher32=True
            )
            demo.create_dataset("obs/cam", data=cam, compression="gzip", chunks=(1, 4, 5, 3))
        file["mask/train"] = np.array([b"demo_10", b"demo_2"])
        if change is not None:
            change(file)
    return path


def read(path: Path, request: Request | None = None) -> list[Episode]:
    source = open_robomimic(path, request or ask())
    return [source.episode(i) for i in range(len(source))]
