"""Every refusal of the store names the file, the key, the episode and the remedy."""

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from ambient_datasets.store import (
    Annotation,
    Attributes,
    Episode,
    Store,
    annotate_store,
    append_episode,
    create_store,
    open_store,
    update_extra,
)
from ambient_policy.errors import DataError

MakeStore = Callable[..., Store]
Describe = Callable[..., Attributes]


def zeros(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def refused(store: Store | Path, *parts: str) -> None:
    """Opening is one DataError with the store's path and all these parts, in order."""
    path = store.path if isinstance(store, Store) else store
    pattern = ".*".join(re.escape(part) for part in (str(path), *parts))
    with pytest.raises(DataError, match=re.compile(pattern, re.DOTALL)):
        open_store(path)


def edit(store: Store, key: str, change: Callable[[Any], None]) -> None:
    group = zarr.open_group(str(store.path), mode="r+")
    change(group[key])


def rewrite(store: Store, key: str, values: Any) -> None:
    group = zarr.open_group(str(store.path), mode="r+")
    group.create_array(key, data=np.asarray(values), overwrite=True)


def set_attribute(store: Store, name: str, value: Any) -> None:
    group = zarr.open_group(str(store.path), mode="r+")
    group.update_attributes({name: value})


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path / "no.zarr", "there is no such store", "ambient-policy collect")


def test_no_zarr_folder(tmp_path: Path) -> None:
    refused(tmp_path, "not a zarr group", "data/ and meta/")


@pytest.mark.parametrize(
    ("name", "start", "what", "remedy"),
    [
        ("a.hdf5", b"\x89HDF\r\n\x1a\n", "an HDF5 file", "convert recipe.format=robomimic path="),
        ("a.zarr", b"\x89PNG\r\n\x1a\n", "a PNG picture", "the store that it was drawn of"),
        ("x.tfrecord-0", b"12345678", "a TFRecord file", "holds features.json"),
        ("run/settings.json", b"", "the folder of a run", "ambient-policy evaluate run="),
        ("step/model.safetensors", b"", "a checkpoint", "ambient-policy evaluate run="),
        ("set/meta/info.json", b"", "a LeRobot data set", "convert recipe.format=lerobot path="),
        ("rlds/features.json", b"", "an RLDS data set", "convert recipe.format=rlds path="),
        ("all/a{b}.zarr/data", b"", "a folder that holds stores", "all/a{b}.zarr"),
        ("arm/seed-0/log", b"", "a folder of runs", "run="),
    ],
)
def test_what_is_no_store_is_called_by_its_name(
    tmp_path: Path, name: str, start: bytes, what: str, remedy: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(start)
    for beside in ("run/checkpoints", "step/config.json"):
        if name.startswith(beside[:3]):
            (tmp_path / beside).mkdir()
    refused(tmp_path / Path(name).parts[0], f"this is {what}", remedy)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zarr")
    refused(tmp_path / "a.zarr", "not a zarr group")


def test_no_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr.zip"
    path.write_text("not a zip")
    refused(path, "not a zarr group (BadZipFile")


def test_broken_top_metadata(make_store: MakeStore) -> None:
    store = make_store("a")
    (store.path / "zarr.json").write_text("{")
    refused(store, "not a zarr group (JSONDecodeError")


def test_broken_array_metadata(make_store: MakeStore) -> None:
    store = make_store("a")
    (store.path / "data/action/zarr.json").write_text("{")
    refused(store, "data/action: its metadata cannot be read (JSONDecodeError", "copy")


def test_missing_key_lists_what_is_there(make_store: MakeStore) -> None:
    store = make_store("a")
    del zarr.open_group(str(store.path), mode="r+")["data/action"]
    refused(store, "data/action: missing", "holds data/observation.state, meta/episode_ends")


def test_missing_key_beside_broken_metadata(make_store: MakeStore) -> None:
    store = make_store("a")
    del zarr.open_group(str(store.path), mode="r+")["data/observation.state"]
    (store.path / "data/action/zarr.json").write_text("{")
    refused(store, "data/observation.state: missing; this store holds data/action")


def test_foreign_layout(tmp_path: Path) -> None:
    zarr.create_group(str(tmp_path / "a.zarr"))
    refused(
        tmp_path / "a.zarr",
        "'ambient_policy_layout'",
        "no such attribute",
        "diffusion_policy store",
    )


def test_unknown_layout_version(make_store: MakeStore) -> None:
    store = make_store("a")
    set_attribute(store, "ambient_policy_layout", 99)
    refused(store, "'ambient_policy_layout'", "layout 99", "reads layout 1", "Update")


def test_missing_attributes(make_store: MakeStore) -> None:
    store = make_store("a")
    record = json.loads((store.path / "zarr.json").read_text())
    del record["attributes"]["control_rate"]
    (store.path / "zarr.json").write_text(json.dumps(record))
    refused(store, "attributes control_rate: missing", "action_names", "Restore zarr.json")


def test_invalid_attributes(make_store: MakeStore) -> None:
    store = make_store("a")
    set_attribute(store, "control_rate", 0)
    refused(store, "attributes: control_rate = 0 Hz", "positive", "Correct its zarr.json")
    set_attribute(store, "control_rate", "fast")
    refused(store, "attributes:", "Correct its zarr.json")


def test_wrong_number_of_names(make_store: MakeStore) -> None:
    store = make_store("a")
    rewrite(store, "data/action", np.zeros((10, 3), np.float32))
    refused(store, "data/action: 3 columns, but 2 names (target_x, target_y)", "Name every column")


@pytest.mark.parametrize("values", [np.zeros(10, np.float32), np.zeros((10, 2), np.int64)])
def test_wrong_shape_or_type(make_store: MakeStore, values: Any) -> None:
    store = make_store("a")
    rewrite(store, "data/action", values)
    refused(store, "data/action: shape", str(values.dtype), "(rows, dimensions) floats needed")


def test_nan_names_episode_step_and_dimension(make_store: MakeStore) -> None:
    store = make_store("a")
    edit(store, "data/action", lambda array: array.__setitem__((4, 1), np.nan))
    refused(
        store, "data/action: episode 1: step 1, dimension 'target_y' is nan", "leave that episode"
    )


def test_unequal_lengths(make_store: MakeStore) -> None:
    store = make_store("a")
    edit(store, "data/action", lambda array: array.resize((7, 2)))
    refused(
        store, "data/action: episode 1: 7 rows", "ends at row 10; lengths must be equal", "Restore"
    )


def test_rows_that_no_episode_in_flight_explains(make_store: MakeStore) -> None:
    store = make_store("a")
    edit(store, "data/action", lambda array: array.append(np.zeros((1, 2), np.float32)))
    refused(store, "data/action: episode 2: 11 rows", "ends at row 10")


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ([3, 3, 10], "episode 1: ends at row 3 but begins at row 3"),
        ([0, 8, 10], "episode 0: ends at row 0 but begins at row 0"),
        ([8, 3, 10], "episode 1: ends at row 3 but begins at row 8"),
        ([-1, -1, -1], "episode 0: ends at row -1"),
    ],
)
def test_ends_that_do_not_increase(make_store: MakeStore, ends: list[int], text: str) -> None:
    store = make_store("a")
    rewrite(store, "meta/episode_ends", np.array(ends))
    refused(store, f"meta/episode_ends: {text}", "at least one step long")


def test_ends_of_wrong_type(make_store: MakeStore) -> None:
    store = make_store("a")
    rewrite(store, "meta/episode_ends", np.array([3.0, 8.0, 10.0]))
    refused(store, "meta/episode_ends: shape (3,) and type float64 given", "exclusive end row")


def test_truncated_chunk(make_store: MakeStore) -> None:
    store = make_store("a", (4000, 4000, 4000))
    chunk = store.path / "data/action/c/1/0"
    chunk.write_bytes(chunk.read_bytes()[:-20])
    refused(
        store, "data/action: episode 1: chunk file 'c/1/0' is truncated or corrupt", "from a copy"
    )


def test_flipped_bit(make_store: MakeStore) -> None:
    store = make_store("a", (4000,))
    chunk = store.path / "data/action/c/0/0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    refused(store, "data/action: episode 0: chunk file 'c/0/0' is truncated or corrupt")


def test_lost_chunk(make_store: MakeStore) -> None:
    store = make_store("a", (4000, 4000, 4000))
    (store.path / "data/action/c/1/0").unlink()
    refused(store, "data/action: episode 1: chunk file 'c/1/0' is lost", "copy")


def test_lost_chunk_of_ends(make_store: MakeStore) -> None:
    store = make_store("a")
    (store.path / "meta/episode_ends/c/0").unlink()
    refused(store, "meta/episode_ends: episode 0: ends at row -1", "copy")


@pytest.mark.parametrize(("name", "value"), [("sigma_min", -0.1), ("sigma_max", math.nan)])
def test_sigma_out_of_range(make_store: MakeStore, name: str, value: float) -> None:
    store = make_store("a")
    annotate_store(store.path, Annotation(np.zeros(3), np.zeros(3), "abc"))
    edit(store, f"meta/{name}", lambda array: array.__setitem__(1, value))
    refused(store, f"meta/{name}: episode 1: {value} is no noise level", "0 to inf", "Annotate")


def test_sigma_of_wrong_length(make_store: MakeStore) -> None:
    store = make_store("a")
    annotate_store(store.path, Annotation(np.zeros(3), np.zeros(3), "abc"))
    edit(store, "meta/sigma_max", lambda array: array.resize((2,)))
    refused(store, "meta/sigma_max: shape (2,), but the store holds 3 episodes", "Annotate")


@pytest.mark.parametrize("record", [None, {"sigma": "vp", "fingerprint": "a", "folder": "meta"}, 3])
def test_sigma_of_unknown_meaning(make_store: MakeStore, record: Any) -> None:
    store = make_store("a")
    for name in ("sigma_min", "sigma_max"):
        rewrite(store, f"meta/{name}", np.zeros(3))
    if record is not None:
        set_attribute(store, "annotation", record)
    refused(store, "attribute 'annotation'", "beside sigma_min and sigma_max", "sigma = 've'")


def test_annotation_of_other_episodes(make_store: MakeStore) -> None:
    store = make_store("a")
    with pytest.raises(DataError, match="speaks of 2 episodes, the store holds 3. Annotate every"):
        annotate_store(store.path, Annotation(np.zeros(2), np.zeros(2), "abc"))


def test_annotation_that_is_none(make_store: MakeStore) -> None:
    with pytest.raises(DataError, match=r"sigma_max: shape \(2,\), but one number for each"):
        Annotation(np.zeros(3), np.zeros(2), "abc")
    with pytest.raises(DataError, match="sigma_min: episode 1: -1.0 is no noise level"):
        Annotation(np.array([0.0, -1.0]), np.zeros(2), "abc")
    with pytest.raises(DataError, match="needs the fingerprint of the normaliser"):
        Annotation(np.zeros(3), np.zeros(3), "")


def test_append_to_an_annotated_store(make_store: MakeStore) -> None:
    store = make_store("a")
    annotate_store(store.path, Annotation(np.zeros(3), np.zeros(3), "abc"))
    with pytest.raises(DataError, match="annotated, and a new episode would have no sigma_min"):
        append_episode(store.path, Episode(zeros(1, 3), zeros(1, 2)))


def test_append_of_other_dimensions(make_store: MakeStore) -> None:
    store = make_store("a")
    text = (
        "episode 3: each row of the episode has shape (3,), of the store (2,). Give the dimensions"
    )
    with pytest.raises(DataError, match=re.escape(text)):
        append_episode(store.path, Episode(zeros(1, 3), zeros(1, 3)))
    assert len(open_store(store.path)) == 3


def test_creation_over_something(make_store: MakeStore, describe: Describe) -> None:
    store = make_store("a")
    with pytest.raises(DataError, match="something lies here already. Append to it, delete it"):
        create_store(store.path, describe())
    assert len(open_store(store.path)) == 3


def test_invalid_episodes() -> None:
    good = zeros(4, 2)
    with pytest.raises(DataError, match=r"observations have shape \(4,\): give"):
        Episode(zeros(4), good)
    with pytest.raises(DataError, match=r"actions have shape \(0, 2\): give"):
        Episode(good, zeros(0, 2))
    with pytest.raises(DataError, match="actions have shape .* and hold NaN or infinity"):
        Episode(good, good + np.float32(np.inf))
    with pytest.raises(DataError, match="4 observations and 3 actions: give one action for every"):
        Episode(good, good[:3])


def test_invalid_descriptions(describe: Describe, make_store: MakeStore) -> None:
    with pytest.raises(DataError, match="control_rate = -1.0 Hz: give the positive number"):
        describe(control_rate=-1.0)
    with pytest.raises(DataError, match="give one name and one unit for each dimension"):
        describe(action_units=("m",))
    with pytest.raises(DataError, match="no name twice"):
        describe(action_names=("x", "x"))
    with pytest.raises(DataError, match="extra attributes must be JSON values"):
        describe(extra={"a": math.nan})
    store = make_store("a")
    with pytest.raises(DataError, match="extra attributes must be JSON values"):
        update_extra(store.path, a=object())  # type: ignore[arg-type]
