"""Cameras in a store: frames come back exactly, appends are whole, faults named, reads lazy."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import zarr

from ambient_datasets.formats import open_any
from ambient_datasets.frames import Frames
from ambient_datasets.store import (
    Attributes,
    Episode,
    Store,
    append_episode,
    create_store,
    open_store,
)
from ambient_datasets.windows import Windows
from ambient_policy.batch import Draw
from ambient_policy.errors import DataError
from ambient_policy.files import make_once
from ambient_policy.horizons import Horizons
from ambient_policy.settings import Trust
from tests.datasets.mixtures import join_sources, make_source
from tests.datasets.stores import described, write_store, write_v2

Describe = Callable[..., Attributes]
SHAPE = (6, 5, 3)
LENGTHS = (3, 20, 16)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ambient_policy" / "frames"


def table(length: int) -> tuple[Any, Any]:
    """Observations and actions of the world of ``describe``."""
    return np.zeros((length, 3), np.float32), np.zeros((length, 2), np.float32)


def pictures(length: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (length, *shape), dtype=np.uint8)


def episode(length: int, seed: int = 0) -> Episode:
    """Different pictures from two cameras; those of the first camera's 20 steps are black."""
    top = pictures(length, seed) * np.uint8(length != 20)
    return Episode(*table(length), {"top": top, "wrist": pictures(length, seed + 100, (4, 4, 3))})


def write(path: Path, attributes: Attributes, lengths: tuple[int, ...] = LENGTHS) -> Store:
    return write_store(path, attributes, [episode(n, i) for i, n in enumerate(lengths)])


@pytest.fixture
def store(tmp_path: Path, describe: Describe) -> Store:
    return write(tmp_path / "a.zarr", describe())


def expected(camera: str, lengths: tuple[int, ...] = LENGTHS) -> np.ndarray[Any, Any]:
    return np.concatenate([episode(n, i).images[camera] for i, n in enumerate(lengths)])


@pytest.mark.parametrize("zipped", [False, True])
def test_frames_come_back_in_any_order(store: Store, zipped: bool) -> None:
    place = Path(shutil.make_archive(str(store.path), "zip", store.path)) if zipped else store.path
    cameras = open_store(place).cameras
    rows = np.random.default_rng(0).integers(0, 39, (5, 2))
    assert {name: frames.shape for name, frames in cameras.items()} == {
        "top": SHAPE,
        "wrist": (4, 4, 3),
    }
    for name, frames in cameras.items():
        assert len(frames) == 39
        np.testing.assert_array_equal(frames.read(rows), expected(name)[rows])


def test_a_store_without_cameras_has_none(tmp_path: Path, describe: Describe) -> None:
    assert write_store(tmp_path / "a.zarr", describe(), [Episode(*table(2))]).cameras == {}


def test_opening_reads_no_pixel_and_reading_unpacks_once(store: Store, cache: Path) -> None:
    assert not cache.exists()
    store.cameras["top"].read(np.array([0]))
    (file,) = cache.glob("*.npy")
    written = file.stat().st_mtime_ns
    open_store(store.path).cameras["top"].read(np.array([5]))
    assert [f.stat().st_mtime_ns for f in cache.glob("*.npy")] == [written]


def test_who_comes_while_another_unpacks_waits_and_finds_it_done(
    store: Store, cache: Path, waits: Event
) -> None:
    store.cameras["top"].read(np.array([0]))
    (file,) = cache.glob("*.npy")
    whole = file.rename(cache / "whole")
    late = open_store(store.path).cameras["top"]

    def unpack(partial: Path) -> None:
        reading.append(pool.submit(late.read, np.arange(39)))
        assert waits.wait(60) and not reading[0].done()
        whole.rename(partial)

    reading: list[Any] = []
    inode = whole.stat().st_ino
    with ThreadPoolExecutor() as pool:
        make_once(file, unpack)
        np.testing.assert_array_equal(reading[0].result(), expected("top"))
    assert file.stat().st_ino == inode


FULL_DISK = """
mkdir -p "$XDG_CACHE_HOME" && mount -t tmpfs -o size=16k none "$XDG_CACHE_HOME" || exit 77
exec "$0" -c "$1" "$2"
"""
READ = """
import sys
from pathlib import Path
import numpy as np
from ambient_datasets.store import open_store
open_store(Path(sys.argv[1])).cameras["top"].read(np.array([0]))
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare(1) to mount a small disk with")
def test_a_full_disk_is_told(tmp_path: Path, describe: Describe) -> None:
    store = write_store(
        tmp_path / "a.zarr", describe(), [Episode(*table(300), {"top": pictures(300)})]
    )
    words = ["unshare", "-Urm", "sh", "-c", FULL_DISK, sys.executable, READ, str(store.path)]
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **paths})
    if result.returncode == 77 or result.stderr.startswith("unshare:"):
        pytest.skip(f"no disk may be mounted here: {result.stderr}")
    assert result.returncode == 1
    assert re.search(r"CheckpointError: .*npy could not be written: .*No space left", result.stderr)


def resident() -> int:
    """Bytes of this process in memory, pages of mapped files included."""
    result = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert result
    return 1024 * int(result[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")
def test_what_was_read_does_not_stay_in_memory(tmp_path: Path, describe: Describe) -> None:
    """All of 60 MB are read; under a memory map they would be counted as this process's."""
    shape, count = (100, 200, 3), 100
    attributes = describe()
    create_store(tmp_path / "a.zarr", attributes, {"top": shape})
    for i in range(10):
        top = np.full((count, *shape), i, np.uint8)
        append_episode(tmp_path / "a.zarr", Episode(*table(count), {"top": top}))
    frames = open_store(tmp_path / "a.zarr").cameras["top"]
    frames.read(np.arange(5))
    before = resident()
    for rows in np.random.default_rng(0).permutation(10 * count).reshape(-1, 10):
        assert frames.read(rows)[:, 0, 0, 0].tolist() == (rows // count).tolist()
    assert resident() - before < 20e6


def test_a_store_that_grew_is_unpacked_anew(store: Store) -> None:
    store.cameras["top"].read(np.array([0]))
    append_episode(store.path, episode(7, seed=3))
    grown = open_store(store.path).cameras["top"]
    np.testing.assert_array_equal(grown.read(np.arange(46)), expected("top", (*LENGTHS, 7)))


def test_an_episode_in_flight_is_invisible_and_overwritten(store: Store) -> None:
    """As a process killed between writing frames and committing leaves it."""
    group = zarr.open_group(str(store.path), mode="r+")
    for key, junk in {"observation.top": 9, "observation.state": 1.0, "action": 1.0}.items():
        array = group[f"data/{key}"]
        assert isinstance(array, zarr.Array)
        array.resize((60, *array.shape[1:]))
        array[39:44] = junk
    ends = group["meta/episode_ends"]
    assert isinstance(ends, zarr.Array)
    ends.resize((4,))
    seen = open_store(store.path).cameras
    assert {name: len(frames) for name, frames in seen.items()} == {"top": 39, "wrist": 39}
    np.testing.assert_array_equal(seen["top"].read(np.arange(39)), expected("top"))
    append_episode(store.path, episode(7, seed=3))
    top = open_store(store.path).cameras["top"]
    np.testing.assert_array_equal(top.read(np.arange(46)), expected("top", (*LENGTHS, 7)))


def refused(text: str) -> Any:
    return pytest.raises(DataError, match=re.compile(text, re.DOTALL))


def chunk(store: Store, camera: str, number: int) -> Path:
    return store.path / "data" / f"observation.{camera}" / "c" / str(number) / "0/0/0"


def test_a_lost_chunk_is_no_black_picture(store: Store) -> None:
    chunk(store, "top", 1).unlink()  # its frames are all black, as its fill value would be
    with refused("observation.top: episode 1: chunk file 'c/1/0/0/0' is lost"):
        open_store(store.path).cameras["top"].read(np.array([0]))


def test_a_corrupt_chunk_is_named(store: Store) -> None:
    file = chunk(store, "wrist", 2)
    file.write_bytes(file.read_bytes()[:-6] + b"\x00" * 6)
    with refused("observation.wrist: episode 2: chunk file 'c/2/0/0/0' is truncated or corrupt"):
        open_store(store.path).cameras["wrist"].read(np.array([0]))


def test_unequal_lengths(store: Store) -> None:
    array = zarr.open_array(str(store.path / "data/observation.top"), mode="r+")
    array.resize((38, *SHAPE))
    with refused("observation.top: episode 2: 38 rows, but meta/episode_ends ends at row 39"):
        open_store(store.path)


def test_broken_metadata(store: Store) -> None:
    (store.path / "data/observation.top/zarr.json").write_text("{")
    with refused(f"{store.path}: data/observation.top: its metadata cannot be read.*Restore"):
        open_store(store.path)


def test_an_append_needs_every_camera_in_its_size(store: Store) -> None:
    top, wrist = pictures(2), pictures(2, shape=(4, 4, 3))
    with refused("observation.wrist: episode 3: the episode has .* Give frames of every camera"):
        append_episode(store.path, Episode(*table(2), {"top": top}))
    with refused("observation.extra: episode 3: the episode has .* and of no other"):
        append_episode(store.path, Episode(*table(2), {"top": top, "wrist": wrist, "extra": top}))
    with refused(r"each row of the episode has shape \(4, 4, 3\), of the store \(6, 5, 3\)"):
        append_episode(store.path, Episode(*table(2), {"top": wrist, "wrist": wrist}))
    assert len(open_store(store.path)) == 3


def test_episodes_of_wrong_frames() -> None:
    wrong: list[Any] = [pictures(3), pictures(2).astype(np.float32), pictures(2)[0]]
    for frames in wrong:
        with refused(r"frames of camera 'top' have shape .* give \(2, height, width, 3\) uint8"):
            Episode(*table(2), {"top": frames})


def test_cameras_no_store_can_have(tmp_path: Path, describe: Describe) -> None:
    for name in ("state", "a/b", ""):
        with refused(f"camera '{name}': give a name of letters"):
            create_store(tmp_path / "a.zarr", describe(), {name: SHAPE})
    with refused(r"camera 'top': frames of shape \(6, 5, 1\) given"):
        create_store(tmp_path / "a.zarr", describe(), {"top": (6, 5, 1)})
    assert not (tmp_path / "a.zarr").exists()


# of diffusion_policy's stores


def write_pictures(path: Path, img: np.ndarray[Any, Any]) -> None:
    arrays = {
        "data/state": np.arange(50, dtype=np.float32).reshape(10, 5),
        "data/action": np.ones((10, 2), np.float32),
        "data/img": img,
        "meta/episode_ends": np.array([3, 8, 10], np.int64),
    }
    write_v2(path, arrays)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_frames_of_diffusion_policy_become_bytes_exactly(
    tmp_path: Path, describe: Describe, kind: Any
) -> None:
    write_pictures(tmp_path / "r.zarr", pictures(10).astype(kind))
    attributes = describe(observation_names=("c", "a"), observation_units=("m", "m"))
    source = described(
        tmp_path / "r.zarr", attributes, observation_columns=[2, 0], cameras={"pixels": "img"}
    )
    store = open_any(source)
    np.testing.assert_array_equal(store.observations()[:, 0], np.arange(2, 50, 5))
    np.testing.assert_array_equal(store.observations()[:, 1], np.arange(0, 50, 5))
    frames = store.cameras["pixels"].read(np.array([9, 0, 4]))
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, pictures(10)[[9, 0, 4]])


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, np.nan])
def test_floats_that_are_no_bytes_are_refused(
    tmp_path: Path, describe: Describe, value: float, cache: Path
) -> None:
    floats = pictures(10).astype(np.float32)
    floats[5, 1, 2, 0] = value
    write_pictures(tmp_path / "r.zarr", floats)
    attributes = describe(observation_names=tuple("abcde"), observation_units=("m",) * 5)
    store = open_any(described(tmp_path / "r.zarr", attributes, cameras={"pixels": "img"}))
    with refused(f"data/img: episode 1: row 5 holds {value}, and pixels must be whole numbers"):
        store.cameras["pixels"].read(np.array([0]))
    assert list(cache.iterdir()) == []


def test_what_is_no_picture_and_columns_that_are_not_there(
    tmp_path: Path, describe: Describe
) -> None:
    path = tmp_path / "r.zarr"
    write_pictures(path, pictures(10))
    attributes = describe(observation_names=tuple("abcde"), observation_units=("m",) * 5)
    with refused(r"data/state: shape \(10, 5\) and type float32 given, \(rows, height, width, 3\)"):
        open_any(described(path, attributes, cameras={"pixels": "state"}))
    with refused("data/image: missing; this store holds data/action, data/img"):
        open_any(described(path, attributes, cameras={"pixels": "image"}))
    for columns in ([0, 1, 2, 3, 5], [0, 1, 2, 3, 3], [0, 1, 2, 3, -1]):
        with refused(r"data/state: observation_columns = .* but the columns are 0 to 4"):
            open_any(described(path, attributes, observation_columns=columns))
    with refused("2 of 5 columns taken, but 5 observation names"):
        open_any(described(path, attributes, observation_columns=[0, 1]))


def test_our_own_stores_describe_their_cameras_themselves(store: Store) -> None:
    for keys in ({"cameras": {"a": "b"}}, {"observation_columns": [0]}):
        with refused("says itself what its numbers mean"):
            open_any(described(store.path, **keys))


# in a mixture


def test_a_batch_has_the_frames_of_its_steps(tmp_path: Path, describe: Describe) -> None:
    stores = [
        write(tmp_path / f"{name}.zarr", describe(), lengths=LENGTHS[i:])
        for i, name in enumerate("ab")
    ]
    sources = [
        make_source(store.path.stem, store, trust=Trust.trusted, max_episodes=2) for store in stores
    ]
    mixture = join_sources(sources, cameras=["wrist"])
    every = np.concatenate([expected("wrist")[:23], expected("wrist", LENGTHS[1:])])
    t = np.random.default_rng(0).permutation(len(mixture))
    draw = Draw(t, np.ones(len(t)), np.zeros(len(t)))
    batch = Windows(mixture, Horizons(3, 4, 2), seed=0).gather(draw)
    assert batch.observations.keys() == {"state", "wrist"}
    first = mixture.episode_starts[mixture.episode_of_window(t)]
    for i in range(3):
        rows = np.maximum(t - 2 + i, first)
        np.testing.assert_array_equal(batch.observations["wrist"][:, i].numpy(), every[rows])


def test_a_camera_must_be_had_by_all_and_alike(
    store: Store, tmp_path: Path, describe: Describe
) -> None:
    small = Episode(*table(2), {"top": pictures(2, shape=(4, 4, 3))})
    stores = {"a": store, "b": write_store(tmp_path / "b.zarr", describe(), [small])}
    sources = [make_source(name, s, trust=Trust.trusted) for name, s in stores.items()]
    with refused("b.zarr: source 'b' has no camera 'wrist'; it has top. Choose among these"):
        join_sources(sources, cameras=["wrist"])
    with refused(r"frames of camera 'top' have different sizes.*'a': \(6, 5, 3\), 'b': \(4, 4, 3"):
        join_sources(sources, cameras=["top"])
    assert isinstance(join_sources(sources[:1], cameras=["top"]).cameras["top"].parts[0], Frames)
