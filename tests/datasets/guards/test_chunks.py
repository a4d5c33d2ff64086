"""Chunk files of zarr: unpacked by plain codecs, and never to more than the array declares."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs  # type: ignore[import-untyped]
import numpy as np
import pytest
import zarr

from ambient_datasets.arrays import find_stored
from ambient_datasets.guards.archive import open_group
from ambient_datasets.guards.chunks import check_chunks
from ambient_policy.errors import DataError
from tests.datasets.stores import write_v2

ROWS = np.arange(1, 13, dtype=np.float32).reshape(6, 2)
CODECS = ["blosc", "bz2", "gzip", "lz4", "zlib", "zstd"]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A store whose data/x says that it is packed so, its chunks by ``pack``."""

    def make(pack: Callable[[bytes], bytes], **changes: Any) -> Path:
        path = tmp_path / "r.zarr"
        write_v2(path, {"data/x": ROWS})
        record = json.loads((path / "data/x/.zarray").read_text())
        (path / "data/x/.zarray").write_text(json.dumps({**record, **changes}))
        padded = np.concatenate([ROWS, ROWS[:2]])
        for i in range(2):
            (path / f"data/x/{i}.0").write_bytes(pack(padded[4 * i : 4 * i + 4].tobytes()))
        return path

    return make


def read(path: Path) -> Any:
    with open_group(path) as group:
        stored = find_stored(group, path, "data/x")
        check_chunks(stored)
        return np.asarray(stored.array[:])


def refused(path: Path, text: str) -> None:
    with pytest.raises(DataError, match=f"{path}: data/x: .*{text}"):
        read(path)


def packer(codec: str) -> tuple[Any, dict[str, Any]]:
    made = numcodecs.get_codec({"id": codec})
    return (lambda data: bytes(made.encode(data))), {"compressor": made.get_config()}


@pytest.mark.parametrize("codec", CODECS)
def test_plain_compressions_are_read(write: Write, codec: str) -> None:
    pack, described = packer(codec)
    np.testing.assert_array_equal(read(write(pack, **described)), ROWS)


def test_no_compression_is_read(write: Write) -> None:
    np.testing.assert_array_equal(read(write(bytes, compressor=None)), ROWS)


def test_a_filter_is_read(write: Write) -> None:
    sums = numcodecs.Fletcher32()
    described = {"compressor": None, "filters": [sums.get_config()]}
    np.testing.assert_array_equal(read(write(lambda d: bytes(sums.encode(d)), **described)), ROWS)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [0, 31, 33, 2**20, 2**24])
def test_what_unfolds_to_another_size_is_not_unpacked(write: Write, codec: str, size: int) -> None:
    pack, described = packer(codec)
    path = write(lambda data: pack(bytes(size)), **described)
    refused(path, "chunk file '0.0' is truncated or corrupt")


def test_a_zstd_frame_of_unknown_size_is_not_unpacked(write: Write) -> None:
    _, described = packer("zstd")
    empty = b"\x28\xb5\x2f\xfd\x00\x58\x01\x00\x00"  # a window, no content size, one empty block
    refused(write(lambda data: empty, **described), "zstd frame does not tell its size")


def test_a_file_far_longer_than_its_numbers_is_not_read(write: Write) -> None:
    path = write(bytes, compressor=None)
    with (path / "data/x/0.0").open("r+b") as file:
        file.truncate(2**36)  # sparse
    refused(path, "68719476736 bytes, at most 536870912 are read")


# unpickled, it would make a folder (written by hand: nothing here imports the library)
CODE = b"cos\nmkdir\n(S'executed'\ntR."


@pytest.mark.parametrize(
    "described",
    [
        {"compressor": {"id": "pickle"}},
        {"compressor": None, "filters": [{"id": "pickle"}]},
        {"compressor": None, "filters": [{"id": "pickle"}], "dtype": "|O"},
        {"compressor": None, "filters": [{"id": "json2"}]},
        {"compressor": None, "filters": [{"id": "vlen-bytes"}]},
    ],
)
def test_no_chunk_is_code(
    write: Write, described: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(write(lambda data: CODE, **described), "")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("described", "text"),
    [
        ({"compressor": {"id": "lzma"}}, "packed by lzma, and what is read is bitround, blosc"),
        ({"filters": [{"id": "zlib"}]}, "packed by zlib, blosc, and one compression is read"),
    ],
)
def test_other_codecs_are_refused(write: Write, described: Any, text: str) -> None:
    refused(write(bytes, **described), text)


@pytest.mark.parametrize("sharded", [False, True])
def test_the_third_version_of_zarr_is_read_but_for_shards(tmp_path: Path, sharded: bool) -> None:
    path = tmp_path / "r.zarr"
    group = zarr.create_group(str(path), zarr_format=3)
    shards = (4, 2) if sharded else None
    array = group.create_array("data/x", shape=(6, 2), dtype="f4", chunks=(2, 2), shards=shards)
    array[...] = ROWS
    if sharded:
        refused(path, "its chunks lie in shards, and those are not read")
    else:
        np.testing.assert_array_equal(read(path), ROWS)
