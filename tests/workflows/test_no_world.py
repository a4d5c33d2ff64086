"""Demonstrations of a task that no world here has: they train; evaluating is refused, at once."""

from pathlib import Path

import numpy as np
import pytest

from ambient_datasets.records import Attributes, Episode
from ambient_policy.cli import perform
from ambient_policy.errors import SettingsError
from tests.datasets.stores import write_store
from tests.workflows.tiny import TINY

UNKNOWN = "unknown environment 'bridge'; known: .*'package:bridge'"


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """experiment=converted on a small store of the task "bridge"."""
    store = tmp_path_factory.mktemp("store") / "bridge.zarr"
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 20, 5)).astype(np.float32)
    episodes = [Episode(table[:, :3], table[:, 3:]) for table in rows]
    names, units = ("x", "y", "z"), ("m", "m", "m")
    attributes = Attributes("bridge", "human", 5.0, names, units, names[:2], units[:2])
    write_store(store, attributes, episodes)
    small = ["network.encoders.state.layers=[16]", *TINY]
    place = f"sources.demonstrations.path={store}"
    return ["experiment=converted", "task.id=bridge", "task.path=[x,y]", place, *small]


def test_it_trains_and_evaluating_names_the_world(overrides: list[str], tmp_path: Path) -> None:
    perform("train", [*overrides, f"root={tmp_path}"])
    with pytest.raises(SettingsError, match=UNKNOWN):
        perform("evaluate", [f"run={tmp_path}/ambient/seed-0", "episodes=2"])
    assert not (tmp_path / "ambient/seed-0/evaluation").exists()


def test_a_comparison_names_the_world_before_it_trains(
    overrides: list[str], tmp_path: Path
) -> None:
    changes = ",".join(f'"{change}"' for change in overrides)
    arms = ["arms={target_only: []}", "seeds=[0]", "evaluation.episodes=2"]
    with pytest.raises(SettingsError, match=UNKNOWN):
        perform("compare", [f"root={tmp_path}/runs", f"overrides=[{changes}]", *arms])
    assert not (tmp_path / "runs").exists()
