"""Damaged and hostile LeRobotDatasets: each gives what was written, or one error naming a file."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ambient_datasets.demonstrations import Request
from ambient_datasets.formats.lerobot import open_lerobot
from ambient_policy.errors import DataError
from tests.datasets.lerobots import Recording, write_lerobot
from tests.samples import few

VERSIONS = ("v2.1", "v3.0")
CAMERA = "observation.images.top"
REQUEST = Request("lerobot", ["observation.state"], ["action"], {"top": CAMERA}, "arm", "human")
STRANGE: list[Any] = [
    None,
    -1,
    0,
    2**70,
    float("nan"),
    float("inf"),
    "",
    "..",
    "/etc/passwd",
    "\ud800",
    "片付け",
    "{0.__class__}",
    True,
    [],
    {},
    [[[]]],
    [0],
    [-3],
    [2**40, 2**40],
]
LOSS = 20  # of a video, on average over a frame; another frame is 80 off
COLUMNS = ("observation.state", "action", "timestamp", "frame_index", "episode_index", "task_index")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Recording]:
    folder = tmp_path_factory.mktemp("originals")
    return {
        (version, camera): write_lerobot(folder / version / camera, version, camera=camera)
        for version in VERSIONS
        for camera in ("image", "video")
    }


def check(root: Path, original: Recording) -> str:
    """What came of reading all: "read" where every number is right, else the error."""
    try:
        compare(root, original)
    except DataError as error:
        told = str(error)
    else:
        return "read"
    assert str(root) in told
    return told


def compare(root: Path, original: Recording) -> None:
    source = open_lerobot(root, REQUEST)
    assert len(source) == len(original.states)
    for i, (state, action) in enumerate(zip(original.states, original.actions, strict=True)):
        episode = source.episode(i)
        np.testing.assert_array_equal(episode.observations, state)
        np.testing.assert_array_equal(episode.actions, action)
        off = np.abs(episode.images["top"].astype(float) - original.pixels[i])
        assert off.max() == 0 or off.mean(axis=(1, 2, 3)).max() < LOSS


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Truncated, flipped, zeroed, repeated or exchanged bytes."""
    place, kind = int(rng.integers(len(data))), rng.integers(5)
    stop = place + int(rng.integers(1, 64))
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[:place] + bytes(len(data[place:stop])) + data[stop:]
    if kind == 2:
        return data[:stop] + data[place:]
    flipped = bytearray(data)
    for where in rng.integers(place, min(stop, len(data)), 1 if kind == 3 else 8):
        flipped[where] ^= int(rng.integers(1, 256))
    return bytes(flipped)


@pytest.mark.parametrize("camera", ["image", "video"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", few(range(200), 3))
def test_damaged_bytes(
    tmp_path: Path, originals: Any, version: str, camera: str, seed: int
) -> None:
    original = originals[version, camera]
    root = shutil.copytree(original.root, tmp_path / "set")
    rng = np.random.default_rng(seed)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    path = files[seed % len(files)]
    path.write_bytes(damage(path.read_bytes(), rng))
    check(root, original)


@pytest.mark.parametrize("seeds", few([range(3), range(3, 200)], 1))
def test_damaged_footers(tmp_path: Path, originals: Any, seeds: range) -> None:
    """What a parquet file says of itself is parsed by native code, which must not fall over."""
    original = originals["v3.0", "image"]
    root = shutil.copytree(original.root, tmp_path / "set")
    path = root / "data/chunk-000/file-000.parquet"
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for seed in seeds:
        path.write_bytes(data[:start] + damage(data[start:], np.random.default_rng(seed)))
        check(root, original)


def test_a_footer_at_odds_with_itself(tmp_path: Path, originals: Any) -> None:
    """A column turned "required" beside a histogram of what it lacks: pyarrow 26 aborts over it."""
    original = originals["v3.0", "image"]
    root = shutil.copytree(original.root, tmp_path / "set")
    path = root / "data/chunk-000/file-000.parquet"
    optional, required = b"\x25\x02\x18\x09timestamp", b"\x25\x00\x18\x09timestamp"
    data = path.read_bytes()
    assert data.count(optional) == 1
    path.write_bytes(data.replace(optional, required))
    assert "truncated, corrupt or no parquet file" in check(root, original)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("number", few(range(len(STRANGE)), 3))
def test_strange_values_anywhere_in_info(
    tmp_path: Path, originals: Any, version: str, number: int
) -> None:
    original = originals[version, "image"]
    root = shutil.copytree(original.root, tmp_path / "set")
    record = json.loads((root / "meta/info.json").read_text())
    places: list[tuple[str, ...]] = [(key,) for key in record]
    places += [("features", key) for key in record["features"]]
    places += [("features", key, part) for key in ("action", CAMERA) for part in ("dtype", "shape")]
    places += [("features", "observation.state", "names"), ("splits", "train")]
    for place in places[number % 3 :: 3]:
        changed = json.loads(json.dumps(record))
        node = changed
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = STRANGE[number]
        (root / "meta/info.json").write_text(json.dumps(changed))
        check(root, original)


@pytest.mark.parametrize("version", few(VERSIONS, 1))
@pytest.mark.parametrize("key", few([*COLUMNS, CAMERA], 2))
@pytest.mark.parametrize(
    "kind", ["missing", "null", "text", "short", "wide", "huge", "minus", "nan", "ragged", "twice"]
)
def test_wrong_columns(tmp_path: Path, originals: Any, version: str, key: str, kind: str) -> None:
    original = originals[version, "image"]
    root = shutil.copytree(original.root, tmp_path / "set")
    path = sorted(root.glob("data/*/*.parquet"))[-1]
    table = pq.read_table(path)
    pq.write_table(spoil(table, key, kind), path)
    # all of v3.0 lacks it in one file: episodes have no instruction; of v2.1 one episode does
    readable = (key, kind, version) == ("task_index", "missing", "v3.0")
    assert (check(root, original) == "read") == readable


def spoil(table: pa.Table, key: str, kind: str) -> pa.Table:
    """The table with one column of it made wrong, or with the whole table cut short."""
    place, rows = table.column_names.index(key), len(table)
    columns: dict[str, Any] = {
        "null": [None] * rows,
        "text": ["0"] * rows,
        "wide": [[1.0] * 9] * rows,
        "huge": [2**62] * rows,
        "minus": [-(2**63)] * rows,
        "nan": [[float("nan")] * 3] * rows,
        "ragged": [[1.0] * (step % 3) for step in range(rows)],
    }
    if kind == "missing":
        return table.drop_columns([key])
    if kind == "short":
        return table.slice(1)
    if kind == "twice":
        return table.append_column(key, table[key])
    return table.set_column(place, key, pa.array(columns[kind]))


@pytest.mark.parametrize("kind", ["empty", "gap", "negative", "text", "deep", "endless", "list"])
@pytest.mark.parametrize("name", ["episodes", "tasks"])
def test_wrong_lines(tmp_path: Path, originals: Any, name: str, kind: str) -> None:
    original = originals["v2.1", "image"]
    root = shutil.copytree(original.root, tmp_path / "set")
    path = root / f"meta/{name}.jsonl"
    lines = path.read_text().splitlines()
    spoilt = {
        "empty": [],
        "gap": lines[1:],
        "negative": [line.replace('_index": 1', '_index": -1') for line in lines],
        "text": [line.replace('_index": 1', '_index": "1"') for line in lines],
        "deep": ["[" * 100_000],
        "endless": [*lines[:1], " " * 3_000_000 + lines[1]],
        "list": ["[1]"],
    }
    path.write_text("\n".join(spoilt[kind]))
    if kind != "endless":  # blanks alone are no damage
        assert check(root, original) != "read"


def test_zero_episodes(tmp_path: Path) -> None:
    for version in VERSIONS:
        root = write_lerobot(tmp_path / version, version, lengths=()).root
        with pytest.raises(DataError, match="total_episodes: 0 given, a whole number from 1"):
            open_lerobot(root, REQUEST)


def test_undamaged_sets_are_read(originals: Any) -> None:
    assert {check(original.root, original) for original in originals.values()} == {"read"}
