"""No codec of a file's choice runs: names are compared with a list before a chunk is read."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ambient_datasets.store import open_store
from ambient_policy.errors import DataError
from tests.datasets.walks import write_walks


class Boom:
    """What somebody wants to run."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def write_as_v2(store: Path) -> Path:
    """Our own layout, as zarr v2 has it."""
    old, path = zarr.open_group(str(store), mode="r"), store.with_name("v2.zarr")
    new = zarr.open_group(str(path), mode="w", zarr_format=2)
    for key in ("data/observation.state", "data/action", "meta/episode_ends", "meta/instruction"):
        values = np.asarray(old[key])
        chunks = values.shape
        array = new.create_array(key, shape=values.shape, chunks=chunks, dtype=values.dtype)
        array[...] = values
    new.update_attributes(dict(old.attrs))
    return path


def test_pickle_in_our_own_layout_runs_nothing(tmp_path: Path) -> None:
    path = write_as_v2(write_walks(tmp_path / "walks.zarr", annotated=False))
    assert len(open_store(path)) == 4  # before the attack it is a store like any other
    array = path / "meta/episode_ends"
    record = json.loads((array / ".zarray").read_text())
    record |= {"dtype": "|O", "fill_value": None, "compressor": None}
    record["filters"] = [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}]
    (array / ".zarray").write_text(json.dumps(record))
    (array / "0").write_bytes(pickle.dumps(Boom(tmp_path / "it ran")))
    with pytest.raises(DataError, match=r"meta/episode_ends: packed by vlenutf8, pickle"):
        open_store(path)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("key", ["data/action", "meta/episode_ends", "meta/instruction"])
def test_shards_in_our_own_layout_are_refused(tmp_path: Path, key: str) -> None:
    path = write_walks(tmp_path / "walks.zarr", annotated=False)
    group = zarr.open_group(str(path), mode="r+")
    values = np.asarray(group[key])
    array = group.create_array(
        key,
        shape=values.shape,
        chunks=(1, *values.shape[1:]),
        shards=values.shape,
        dtype=values.dtype,
        overwrite=True,
    )
    array[...] = values
    with pytest.raises(DataError, match=f"{key}: its chunks lie in shards"):
        open_store(path)
