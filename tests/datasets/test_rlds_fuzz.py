"""Damaged RLDS folders: what was there, or one error that names the file; never something else."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.demonstrations import Request
from ambient_datasets.formats.rlds import open_rlds
from ambient_datasets.records import Episode
from ambient_policy.errors import DataError
from tests.datasets.tfrecords import episode, example, frame, shard_name, write_rlds
from tests.samples import few

REQUEST = Request(
    format="rlds",
    state=["steps/observation/state", "steps/observation/gripper"],
    action=["steps/action"],
    task="toy",
    source="people",
    cameras={"above": "steps/observation/top"},
    control_rate=5.0,
)
SHARDS = [shard_name("train", 0, 2), shard_name("train", 1, 2), shard_name("val", 0, 1)]
# what a JSON value may become
STRANGE: list[Any] = [
    None, True, -1, 0, 3, 2**70, 1e300, "", "..", "/etc/passwd", "a\0b", "\ud800", "数", [], [[]],
    {}, {"features": {}}, "9" * 400, "../toy-train.tfrecord-00000-of-00002",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train = [[episode(3, 0), episode(2, 1)], [episode(2, 2)]]
    return write_rlds(tmp_path / "toy", {"train": train, "val": [[episode(1, 3)]]})


def read(folder: Path) -> list[Episode]:
    demonstrations = open_rlds(folder, REQUEST)
    return [demonstrations.episode(i) for i in range(len(demonstrations))]


def read_or_refusal(folder: Path) -> list[Episode] | str:
    try:
        return read(folder)
    except DataError as error:
        return str(error)


def check_refused(folder: Path) -> None:
    answer = read_or_refusal(folder)
    assert isinstance(answer, str) and answer.startswith(f"{folder}/")


def check_true_or_refused(folder: Path, truth: list[Episode]) -> None:
    answer = read_or_refusal(folder)
    if isinstance(answer, str):
        assert answer.startswith(str(folder))
        return
    for a, b in zip(answer, truth, strict=True):
        assert a.instruction == b.instruction
        np.testing.assert_array_equal(a.observations, b.observations)
        np.testing.assert_array_equal(a.actions, b.actions)
        np.testing.assert_array_equal(a.images["above"], b.images["above"])


def check_finite_or_refused(folder: Path) -> None:
    """The checksums vouch for these bytes: other numbers may come out, but never no numbers."""
    answer = read_or_refusal(folder)
    if isinstance(answer, str):
        assert answer.startswith(str(folder))
        return
    assert [len(e) for e in answer] == [3, 2, 2, 1]
    assert all(np.isfinite(e.actions).all() and e.images["above"].any() for e in answer)


@pytest.mark.parametrize("seed", few(range(300), 24))
def test_any_flipped_bit_of_a_shard_is_told(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = folder / str(rng.choice(SHARDS))
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data))) if seed % 3 else int(rng.integers(16))  # headers more often
    data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    check_refused(folder)


@pytest.mark.parametrize("seed", few(range(120), 12))
def test_any_cut_or_moved_part_of_a_shard_is_told(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = folder / str(rng.choice(SHARDS))
    data = path.read_bytes()
    first, last = sorted(int(i) for i in rng.choice(len(data), 2, replace=False))
    inserted = rng.bytes(int(rng.integers(1, 40)))
    damages = (data[:first], data[first:last], data[:first] + data[last:])
    more = (data + data[first:last], data[:first] + inserted + data[first:], data * 2)
    path.write_bytes((*damages, *more)[seed % 6])
    check_refused(folder)


@pytest.mark.parametrize("seed", few(range(200), 16))
def test_a_record_of_nonsense_with_right_checksums_is_told(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(example(episode(1, 3)))
    for _ in range(int(rng.integers(1, 4))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    stop = len(data) if seed % 4 else int(rng.integers(len(data)))
    (folder / SHARDS[2]).write_bytes(frame(bytes(data[:stop])))
    check_finite_or_refused(folder)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
@pytest.mark.parametrize("seed", few(range(120), 12))
def test_a_flipped_or_cut_json_is_true_or_told(folder: Path, name: str, seed: int) -> None:
    rng, truth = np.random.default_rng(seed), read(folder)
    path = folder / name
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data)))
    data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(data if seed % 4 else data[:at])
    check_true_or_refused(folder, truth)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
@pytest.mark.parametrize("seed", few(range(120), 12))
def test_a_strange_json_value_is_true_or_told(folder: Path, name: str, seed: int) -> None:
    rng, truth = np.random.default_rng(seed), read(folder)
    path = folder / name
    record = json.loads(path.read_text())
    places = list(walk(record))
    places[int(rng.integers(len(places)))](STRANGE[int(rng.integers(len(STRANGE)))])
    path.write_text(json.dumps(record))
    check_true_or_refused(folder, truth)


def walk(node: Any) -> Any:
    """A setter of every value in a JSON."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield setter(node, key)
        if isinstance(node[key], (dict, list)):
            yield from walk(node[key])


def setter(node: Any, key: Any) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        node[key] = value

    return put


def test_what_is_no_plain_file_is_refused(folder: Path) -> None:
    path = folder / SHARDS[2]
    path.unlink()
    os.mkfifo(path)  # opening it would wait for ever
    (folder / SHARDS[1]).unlink()
    (folder / SHARDS[1]).mkdir()
    check_refused(folder)
