"""The walk with a camera: collect pictures, train on them, roll the policy out before them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ambient_datasets.store import open_store
from ambient_policy.cli import perform
from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.records import read_episodes
from ambient_policy.saved import load_policy
from ambient_policy.workflows import settings as compose
from ambient_policy.workflows.preparation import prepare
from tests.workflows.tiny import TINY, tiny_encoder

SIZE = 32


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Unpacked frames go to a folder of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three demonstrations seen from above."""
    pytest.importorskip("ompl")
    root = tmp_path_factory.mktemp("cameras")
    names = [f"path={root}/rrt.zarr", "expert=rrt", "episodes=3", "jobs.workers=1"]
    perform("collect", [*names, "cameras=[top]", f"image_size={SIZE}"])
    return root


def overrides(root: Path) -> list[str]:
    """A training of two steps through the camera."""
    return [
        "experiment=maze_camera",
        f"task.kwargs.image_size={SIZE}",
        f"root={root}/runs",
        "arm=cotrain",
        *(f"sources.{name}.path={root}/rrt.zarr" for name in ("trusted", "suboptimal")),
        *(f"sources.{name}.max_episodes=null" for name in ("trusted", "suboptimal")),
        *TINY,
        *tiny_encoder("top"),
        "network.encoders.top.crop=[28,28]",
        "task.max_steps=40",
        "training.steps=2",
        "training.batch=4",
    ]


@pytest.fixture(scope="module")
def trained(root: Path) -> Path:
    """The folder of that training."""
    threads = torch.get_num_threads()
    perform("train", overrides(root))
    torch.set_num_threads(threads)
    return root / "runs" / "cotrain" / "seed-0"


@pytest.mark.slow
def test_what_was_collected_is_what_is_taught(root: Path) -> None:
    store = open_store(root / "rrt.zarr")
    assert len(store) == 3 and store.cameras["top"].shape == (SIZE, SIZE, 3)
    parts = prepare(compose.compose("train", overrides(root)))
    batch = parts.batch_at(0)
    assert batch.observations["top"].shape == (4, 2, SIZE, SIZE, 3)
    assert batch.observations["top"].dtype == torch.uint8
    states = store.observations()
    for seen, picture in zip(
        batch.observations["state"][:, -1], batch.observations["top"][:, -1], strict=True
    ):
        rows = np.flatnonzero((states == seen.numpy()).all(axis=1))
        assert np.array_equal(store.cameras["top"].read(rows[:1])[0], picture.numpy())


def test_a_policy_trained_on_pictures_is_rolled_out_before_pictures(
    trained: Path, tmp_path: Path
) -> None:
    policy = load_policy(trained)
    assert policy.spec.cameras == {"top": (SIZE, SIZE, 3)}
    for name in ("one", "two"):
        asked = ["episodes=2", "threads=1", "videos=[100000]", "video_format=gif"]
        perform("evaluate", [f"run={trained}", f"out={tmp_path}/{name}", *asked])
    one, two = (read_episodes(tmp_path / name / "episodes.jsonl") for name in ("one", "two"))
    assert len(one) == 2 and [e.duration for e in one] == [e.duration for e in two]
    assert (tmp_path / "one" / "videos" / "100000.gif").stat().st_size > 0


def test_the_pictures_reach_the_plan(trained: Path) -> None:
    policy = load_policy(trained)
    history: dict[str, Any] = {"state": np.full((1, 2, 4), 2.5, np.float32)}
    noise = np.random.default_rng(0).normal(size=(policy.noises, 1, 16, 2)).astype(np.float32)
    pictures = [np.full((1, 2, SIZE, SIZE, 3), 0, np.uint8) for _ in range(2)]
    pictures[1][:, :, 8:24, 20:28] = 255
    dark, bright = (policy.plan({**history, "top": picture}, noise) for picture in pictures)
    again = policy.plan({**history, "top": pictures[1]}, noise)
    assert not np.allclose(dark, bright, atol=1e-4) and np.array_equal(bright, again)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            ["task=maze"],
            r"'ambient_envs/Maze-v0' shows no 'top', only a state.*task.kwargs.cameras",
        ),
        (
            ["task.kwargs.cameras=[tilted]"],
            "observes: 'top'; known: state, tilted.* Say which of them is the policy's 'top'",
        ),
        (
            ["task.kwargs.image_size=31"],
            r"shows 'top' in shape \(31, 31, 3\), but the demonstrations have \(32, 32, 3\)",
        ),
    ],
)
def test_a_world_that_does_not_show_what_was_learned(
    root: Path, changes: list[str], text: str
) -> None:
    asked = [o for o in overrides(root) if changes != ["task=maze"] or not o.startswith("task")]
    with pytest.raises(SettingsError, match=text):
        prepare(compose.compose("train", [*asked, *changes]))


def test_a_task_that_was_collected_under_other_keywords(root: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown task.kwargs 'cameras'.*cameras=\[top\]"):
        perform("collect", ["expert=rrt", f"path={root}/other.zarr", "task=maze_camera"])
    assert (
        json.loads((root / "rrt.zarr" / "zarr.json").read_text())["attributes"]["source"] == "rrt"
    )
