"""Several workers from the command line: conversion, and annotation of several stores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.store import open_store
from ambient_policy.cli import perform
from ambient_policy.errors import SettingsError
from tests.datasets.stores import write_v2

LEVELS = ["sigma_min=0.3", "sigma_max=0"]


@pytest.fixture
def asked(maze: list[str]) -> list[str]:
    return ["data=maze", *(o for o in maze if ".path=" in o)]


def lows(root: Path) -> list[list[float]]:
    """The sigma_min of both stores."""
    found: list[Any] = [
        open_store(root / f"{name}.zarr").annotation for name in ("trusted", "suboptimal")
    ]
    return [[] if annotation is None else annotation.sigma_min.tolist() for annotation in found]


@pytest.mark.parametrize(
    "changes",
    [["source=all"], ["source=[suboptimal,trusted]"], ["source=all", "jobs.workers=2"]],
    ids=" ".join,
)
def test_several_stores_are_annotated(asked: list[str], tmp_path: Path, changes: list[str]) -> None:
    perform("annotate", [*asked, *LEVELS, *changes])
    assert lows(tmp_path) == [[0.3] * 3, [0.3] * 5]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["source=[]"], r"source = \[\]: give a name, a list of different names, or all"),
        (["source=[trusted,trusted]"], "give a name, a list of different names, or all"),
        (["source=[trusted,trustd]"], "unknown source 'trustd'; known: suboptimal, trusted"),
        (["source=all", "jobs.workers=0"], "jobs.workers = 0: give at least 1"),
        (["source=all", "sigma_min=null", "sigma_max=null", "table=t.csv"], "annotate one at a ti"),
        (
            ["source=all", "sources.trusted.path=${sources.suboptimal.path}"],
            "trusted, suboptimal share a store|suboptimal, trusted share a store",
        ),
    ],
)
def test_what_cannot_be_said_of_several_is_refused(
    asked: list[str],
    snapshot: Callable[[], dict[str, bytes]],
    changes: list[str],
    text: str,
) -> None:
    before = snapshot()
    with pytest.raises(SettingsError, match=text):
        perform("annotate", [*asked, *LEVELS, *changes])
    assert snapshot() == before


def test_a_conversion_with_two_workers_is_that_of_one(tmp_path: Path) -> None:
    rows = np.linspace(1, 2, 60, dtype=np.float32)[:, None]
    arrays = {"data/state": rows * [1.0, 2.0], "data/action": -rows}
    write_v2(tmp_path / "replay.zarr", {**arrays, "meta/episode_ends": np.array([20, 40, 60])})
    command = ["recipe.format=diffusion_policy", f"path={tmp_path}/replay.zarr"]
    command += ["recipe.state=[state]", "recipe.action=[action]", "recipe.control_rate=10"]
    for name, workers in (("one", 1), ("two", 2)):
        perform("convert", [*command, f"out={tmp_path}/{name}.zarr", f"jobs.workers={workers}"])
    one, two = (open_store(tmp_path / f"{name}.zarr") for name in ("one", "two"))
    np.testing.assert_array_equal(one.observations(), two.observations())
    np.testing.assert_array_equal(one.actions(), two.actions())
    assert one.attributes == two.attributes and one.episode_ends.tolist() == [20, 40, 60]
