"""Stores of diffusion_policy (zarr v2 with Blosc, folder or zip) open as they are."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ambient_datasets.formats import open_any, open_diffusion_policy
from ambient_datasets.store import Attributes, Store
from ambient_policy.errors import DataError
from tests.datasets.stores import described, write_v2

MakeStore = Callable[..., Store]
Describe = Callable[..., Attributes]
PUSHT = Path(__file__).parents[3] / "shared/data/pusht_human_zarr/pusht_cchi_v7_replay.zarr"
NAMES = ("agent_x", "agent_y", "block_x", "block_y", "block_angle")
UNITS = ("px", "px", "px", "px", "rad")


def write_replay(path: Path, changes: Mapping[str, Any]) -> None:
    """3 episodes and 10 rows, some arrays of them changed."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "data/state": rng.normal(size=(10, 3)).astype(np.float32),
        "data/action": rng.normal(size=(10, 2)).astype(np.float32),
        "data/keypoint": rng.normal(size=(10, 2, 2)).astype(np.float64),
        "meta/episode_ends": np.array([3, 8, 10], np.int64),
    }
    write_v2(path, {**arrays, **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_replay(tmp_path / "replay.zarr", {})
    return tmp_path / "replay.zarr"


def refused(path: Path, attributes: Attributes, *parts: str, **keys: Any) -> None:
    pattern = ".*".join(re.escape(part) for part in (str(path), *parts))
    with pytest.raises(DataError, match=re.compile(pattern, re.DOTALL)):
        open_diffusion_policy(described(path, attributes, **keys))


@pytest.mark.parametrize("zipped", [False, True])
def test_folder_and_zip_open(path: Path, describe: Describe, zipped: bool) -> None:
    state, action = (zarr.open_array(str(path / "data" / key))[:] for key in ("state", "action"))
    given = Path(shutil.make_archive(str(path), "zip", path)) if zipped else path
    store = open_any(described(given, describe()))
    assert store.annotation is None and store.attributes == describe()
    assert store.episode_ends.tolist() == [3, 8, 10]
    np.testing.assert_array_equal(store.observations(), state)
    np.testing.assert_array_equal(store.actions(), action)


def test_several_keys_stand_side_by_side_flattened(path: Path, describe: Describe) -> None:
    names = tuple("abcdefg")
    attributes = describe(observation_names=names, observation_units=("m",) * 7)
    store = open_diffusion_policy(
        described(path, attributes, observation_keys=["keypoint", "state"])
    )
    keypoint, state = (zarr.open_array(str(path / "data" / k))[:] for k in ("keypoint", "state"))
    assert isinstance(keypoint, np.ndarray)
    expected = np.concatenate([keypoint.reshape(10, 4), state], axis=1).astype(np.float32)
    np.testing.assert_array_equal(store.observations(), expected)


def test_our_own_store_needs_no_description(make_store: MakeStore, describe: Describe) -> None:
    store = make_store("a")
    np.testing.assert_array_equal(open_any(described(store.path)).actions(), store.actions())
    with pytest.raises(
        DataError, match="says itself what its numbers mean.*Remove the source's attributes"
    ):
        open_any(described(store.path, describe()))


def test_a_foreign_store_needs_one(path: Path) -> None:
    with pytest.raises(DataError, match="no store of ours. If it is a diffusion_policy store"):
        open_any(described(path))


def test_missing_key_lists_what_is_there(path: Path, describe: Describe) -> None:
    refused(
        path,
        describe(),
        "data/low_dim: missing; this store holds data/action, data/keypoint, data/state, meta",
        observation_keys=["low_dim"],
    )
    refused(path, describe(), "data/act: missing", action_key="act")
    refused(path, describe(), "no observation key given", observation_keys=[])


def test_wrong_number_of_names(path: Path, describe: Describe) -> None:
    attributes = describe(observation_names=("a", "b"), observation_units=("m", "m"))
    refused(path, attributes, "data/state: 3 columns, but 2 observation names", "Name every")


@pytest.mark.parametrize("rows", [9, 11])
def test_unequal_lengths(tmp_path: Path, describe: Describe, rows: int) -> None:
    write_replay(tmp_path / "b.zarr", {"data/action": np.ones((rows, 2), np.float32)})
    text = f"data/action: episode 2: {rows} rows, but meta/episode_ends ends at row 10"
    refused(tmp_path / "b.zarr", describe(), text, "equal lengths")


def test_nan(tmp_path: Path, describe: Describe) -> None:
    action = np.ones((10, 2), np.float32)
    action[8, 0] = np.nan
    write_replay(tmp_path / "b.zarr", {"data/action": action})
    refused(tmp_path / "b.zarr", describe(), "data/action: episode 2: step 0, dimension 'target_x'")


def test_integers(tmp_path: Path, describe: Describe) -> None:
    write_replay(tmp_path / "b.zarr", {"data/action": np.ones((10, 2), np.int32)})
    refused(tmp_path / "b.zarr", describe(), "data/action: shape (10, 2) and type int32 given")


@pytest.mark.parametrize("zipped", [False, True])
def test_lost_chunk(path: Path, describe: Describe, zipped: bool) -> None:
    (path / "data/action/1.0").unlink()
    given = Path(shutil.make_archive(str(path), "zip", path)) if zipped else path
    text = "data/action: episode 1: chunk file '1.0' is lost, and zarr would read 0.0 instead"
    refused(given, describe(), text, "write_empty_chunks=True")


@pytest.mark.parametrize("kept", [-5, 16, 3, 0])
def test_truncated_chunk(path: Path, describe: Describe, kept: int) -> None:
    chunk = path / "data/action/1.0"
    chunk.write_bytes(chunk.read_bytes()[:kept])
    text = "data/action: episode 1: chunk file '1.0' is truncated or corrupt"
    refused(path, describe(), text, f"({len(chunk.read_bytes())} bytes, its Blosc header says")


def test_corrupt_chunk(path: Path, describe: Describe) -> None:
    chunk = path / "data/action/1.0"
    header = chunk.read_bytes()[:16]
    chunk.write_bytes(b"\xff" * 4 + header[4:] + b"\xff" * (len(chunk.read_bytes()) - 16))
    refused(path, describe(), "data/action: episode 1: chunk file '1.0' is truncated or corrupt")


@pytest.mark.skipif(not PUSHT.exists(), reason="the human Push-T store is not on this machine")
def test_the_human_push_t_store_opens() -> None:
    attributes = Attributes(
        "gym_pusht/PushT-v0", "human", 10.0, NAMES, UNITS, ("x", "y"), ("px", "px")
    )
    store = open_any(described(PUSHT, attributes))
    assert (len(store), store.observations().shape, store.actions().shape) == (
        206,
        (25650, 5),
        (25650, 2),
    )
    assert store.annotation is None
    assert (store.episode_lengths.min(), store.episode_lengths.max()) == (49, 246)


@pytest.mark.skipif(not PUSHT.exists(), reason="the human Push-T store is not on this machine")
def test_the_human_push_t_store_has_pictures() -> None:
    attributes = Attributes(
        "gym_pusht/PushT-v0", "human", 10.0, NAMES[:2], UNITS[:2], ("x", "y"), ("px", "px")
    )
    store = open_any(
        described(PUSHT, attributes, observation_columns=[0, 1], cameras={"pixels": "img"})
    )
    frames = store.cameras["pixels"]
    assert (len(frames), frames.shape) == (25650, (96, 96, 3))
    assert store.observations().shape == (25650, 2)
