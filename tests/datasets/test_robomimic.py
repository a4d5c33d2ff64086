"""robomimic's and raw robosuite's HDF5: what is read is what was written, or one clear error."""

import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ambient_datasets.conversion.convert import convert
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.demonstrations import Request
from ambient_datasets.formats import open_demonstrations
from ambient_datasets.formats.robomimic import open_robomimic
from ambient_datasets.guards import hdf5
from ambient_datasets.store import open_store
from ambient_policy.errors import DataError
from tests.datasets.robomimics import ENV_ARGS, STEPS, ask, read, write
from tests.samples import few

ROBOSUITE = Path(__file__).parents[3] / "shared/data/robosuite_human_hdf5"
TASKS = {
    "door": 261,
    "lift": 412,
    "nut-assembly": 1036,
    "pick-place": 1482,
    "stack": 532,
    "wipe": 174,
}
real = pytest.mark.skipif(not ROBOSUITE.exists(), reason="robosuite's files are not here")
Change = Callable[[h5py.File], Any]


def refused(path: Path, *parts: str, **changes: Any) -> None:
    pattern = ".*".join(re.escape(part) for part in (str(path), *parts))
    with pytest.raises(DataError, match=re.compile(pattern, re.DOTALL)):
        read(path, ask(**changes))


def replace(key: str, value: Any, **options: Any) -> Change:
    def change(file: h5py.File) -> None:
        del file[key]
        file.create_dataset(key, data=value, **options)

    return change


@pytest.mark.parametrize("libver", [None, "latest"])
def test_what_is_read_is_what_was_written(tmp_path: Path, libver: str | None) -> None:
    path = write(tmp_path / "a.hdf5", libver=libver)
    source = open_demonstrations(path, ask())
    assert source.attributes.control_rate == 20 and source.cameras == {"top": (4, 5, 3)}
    names = ("pos_0", "pos_1", "pos_2", "states_1", "states_2")
    assert source.attributes.observation_names == names
    assert source.attributes.action_names == ("actions_0", "actions_1")
    assert source.attributes.extra == {"env_args": ENV_ARGS}
    with h5py.File(path) as file:
        for i, name in enumerate(("demo_0", "demo_2", "demo_10")):
            demo, episode = file["data"][name], source.episode(i)
            state = np.concatenate([demo["obs/pos"][()], demo["states"][:, 1:3]], axis=1)
            np.testing.assert_array_equal(episode.observations, state.astype(np.float32))
            np.testing.assert_array_equal(episode.actions, demo["actions"][()].astype(np.float32))
            np.testing.assert_array_equal(episode.images["top"], demo["obs/cam"][()])
            assert episode.instruction is None and len(episode) == STEPS[name]


def test_the_keys_are_the_arrays_of_a_row_for_each_step(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        demo = file["data/demo_0"]
        demo["goal"], demo["next_obs/pos"], demo["text"] = 1.0, np.ones((3, 3)), np.full(3, b"a")
        demo["obs/itself"] = demo  # a circle

    path = write(tmp_path / "a.hdf5", change)
    keys = ("actions", "cam", "next_obs/pos", "pos", "states", "text")
    assert open_robomimic(path, ask()).keys == keys
    assert "obs/pos" in open_robomimic(path, ask(state=("obs/pos",))).keys


def test_a_filter_key_takes_its_demonstrations_in_natural_order(tmp_path: Path) -> None:
    source = open_robomimic(write(tmp_path / "a.hdf5"), ask(split="train"))
    assert source.names == ("demo_2", "demo_10") and len(source.episode(1)) == 2
    refused(source.path, "mask/valid: missing; mask holds train", split="valid")
    with pytest.raises(DataError, match="episode 2: give one of 0 to 1"):
        source.episode(2)


def test_filter_keys_of_any_length_of_text(tmp_path: Path) -> None:
    texts = replace("mask/train", ["demo_0", "demo_2"], dtype=h5py.string_dtype())
    assert len(read(write(tmp_path / "a.hdf5", texts), ask(split="train"))) == 2
    strange = replace("mask/train", np.array([b"demo_0", b"../../etc"]))
    refused(write(tmp_path / "b.hdf5", strange), "mask/train: ", "../../etc not in", split="train")
    twice = replace("mask/train", np.array([b"demo_0", b"demo_0"]))
    refused(write(tmp_path / "c.hdf5", twice), "mask/train: ", "twice", split="train")
    numbers = replace("mask/train", np.arange(3))
    refused(write(tmp_path / "d.hdf5", numbers), "mask/train: (3,) of int64", split="train")


def test_instructions_of_a_demonstration_and_of_a_file(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["data"].attrs["problem_info"] = json.dumps({"language_instruction": "lift it"})
        file["data/demo_2"].attrs["ep_meta"] = json.dumps({"lang": "hébe es"})

    episodes = read(write(tmp_path / "a.hdf5", change))
    assert [episode.instruction for episode in episodes] == ["lift it", "hébe es", "lift it"]


def test_names_in_any_script_and_demonstrations_of_one_step(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        demo = file.create_group("data/démonstration_日本")
        demo["actions"], demo["states"] = np.ones((1, 2)), np.ones((1, 4))
        demo["obs/pos"], demo["obs/cam"] = np.ones((1, 3)), np.ones((1, 4, 5, 3), np.uint8)
        file["data"].attrs["total"] = 11

    assert [len(episode) for episode in read(write(tmp_path / "a.hdf5", change))] == [3, 5, 2, 1]


def test_further_axes_and_whole_numbers_become_columns(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        for name, steps in STEPS.items():
            file[f"data/{name}/obs/points"] = np.arange(steps * 4).reshape(steps, 2, 2)
            file[f"data/{name}/obs/open"] = np.arange(steps)

    episodes = read(write(tmp_path / "a.hdf5", change), ask(state=("points", "open")))
    np.testing.assert_array_equal(episodes[1].observations[1], [4, 5, 6, 7, 1])


def test_it_converts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write(tmp_path / "a.hdf5", describe("data/demo_2", ep_meta='{"lang": "lift"}'))
    convert(ConvertSettings(str(path), str(tmp_path / "a.zarr"), ask()))
    store, episodes = open_store(tmp_path / "a.zarr"), read(path)
    np.testing.assert_array_equal(
        store.observations(), np.concatenate([episode.observations for episode in episodes])
    )
    np.testing.assert_array_equal(
        store.cameras["top"].read(np.arange(10)),
        np.concatenate([episode.images["top"] for episode in episodes]),
    )
    assert store.attributes.extra["env_args"] == ENV_ARGS
    assert [store.instruction(i) for i in range(3)] == [None, "lift", None]


def external(file: h5py.File) -> None:
    del file["data/demo_2/actions"]
    file["data/demo_2/actions"] = h5py.ExternalLink("/etc/passwd", "data")


def soft(file: h5py.File) -> None:
    del file["data/demo_2/actions"]
    file["data/demo_2/actions"] = h5py.SoftLink("/data/demo_0/actions")


def stored_outside(file: h5py.File) -> None:
    replace("data/demo_2/actions", None, shape=(5, 2), dtype="f8", external="/etc/passwd")(file)


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((5, 2), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "a", (5, 2))
    del file["data/demo_2/actions"]
    file["data/demo_2"].create_virtual_dataset("actions", layout)


def sparse(file: h5py.File) -> None:
    replace("data/demo_2/actions", None, shape=(5, 2), dtype="f8", chunks=(1, 2))(file)
    file["data/demo_2/actions"][:4] = 1


def unwritten(file: h5py.File) -> None:
    replace("data/demo_2/actions", None, shape=(5, 2), dtype="f8")(file)


def vast(file: h5py.File) -> None:
    replace("data/demo_2/actions", None, shape=(2**40, 2), dtype="f8", chunks=(1, 2))(file)


def bomb(file: h5py.File) -> None:
    options = {"shape": (5, 2), "dtype": "f8", "chunks": (5, 2), "compression": "gzip"}
    replace("data/demo_2/actions", None, **options)(file)
    packed = zlib.compress(bytes(50_000))
    file["data/demo_2/actions"].id.write_direct_chunk((0, 0), packed)


def nan(file: h5py.File) -> None:
    file["data/demo_2/obs/pos"][3, 1] = np.nan


def deep(file: h5py.File) -> None:
    file["data"].attrs["env_args"] = "[" * 10_000


def drop(*keys: str) -> Change:
    return lambda file: [file.__delitem__(key) for key in keys]


def describe(key: str, **values: Any) -> Change:
    return lambda file: file[key].attrs.update(values)


FAULTS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "no data": (drop("data"), ("data: missing; the file holds mask",)),
    "no demonstrations": (
        drop(*(f"data/{n}" for n in STEPS)),
        ("data: no demonstration is called", "nothing"),
    ),
    "no group": (replace("data/demo_2", np.ones(3)), ("data/demo_2: no group",)),
    "no actions": (
        drop("data/demo_2/actions"),
        ("data/demo_2/actions: missing", "holds obs, obs/cam, obs/pos, states", "filter key"),
    ),
    "no key": (drop("data/demo_2/obs/pos"), ("data/demo_2/obs/pos: missing", "holds cam")),
    "external link": (external, ("data/demo_2/actions: a link to another place or file",)),
    "soft link": (soft, ("data/demo_2/actions: a link", "h5repack")),
    "stored outside": (stored_outside, ("data/demo_2/actions: its numbers lie in other files",)),
    "virtual": (virtual, ("data/demo_2/actions: its numbers lie in other files",)),
    "sparse": (sparse, ("data/demo_2/actions: 4 chunks written, 5 needed",)),
    "unwritten": (unwritten, ("data/demo_2/actions: its numbers were never written",)),
    "vast": (vast, ("data/demo_2/actions: shape", "declared, more than")),
    "bomb": (bomb, ("data/demo_2/actions: chunk (0, 0) does not unfold to its 80 bytes",)),
    "other filter": (
        replace("data/demo_2/actions", np.ones((5, 2), int), scaleoffset=0),
        ("data/demo_2/actions: compressed by filters", "h5repack -f GZIP=1"),
    ),
    "nan": (nan, ("data/demo_2/obs/pos: step 3, column 1 is nan",)),
    "float32 overflow": (
        replace("data/demo_2/actions", np.full((5, 2), 1e300)),
        ("data/demo_2/actions: step 0, column 0 is 1e+300",),
    ),
    "inexact": (
        replace("data/demo_2/actions", np.full((5, 2), 2**24 + 1)),
        ("data/demo_2/actions: step 0, column 0 is 16777217",),
    ),
    "text": (
        replace("data/demo_2/actions", np.full((5, 2), b"1")),
        ("data/demo_2/actions: shape (5, 2) and type |S1 given",),
    ),
    "scalar": (replace("data/demo_2/actions", 1.0), ("data/demo_2/actions: no array",)),
    "lengths": (
        replace("data/demo_2/actions", np.ones((4, 2))),
        ("data/demo_2: rows are actions: 4, obs/pos: 5, states: 5, obs/cam: 5",),
    ),
    "widths": (
        replace("data/demo_2/actions", np.ones((5, 3))),
        ("data/demo_2/actions: 3 columns, but 2 in the first",),
    ),
    "camera": (
        replace("data/demo_2/obs/cam", np.ones((5, 4, 4, 3), np.uint8)),
        ("data/demo_2/obs/cam: frames of (4, 4, 3) [px], but (4, 5, 3)",),
    ),
    "depth": (
        replace("data/demo_0/obs/cam", np.ones((3, 4, 5, 1), np.uint8)),
        ("data/demo_0/obs/cam: shape (3, 4, 5, 1)", "height, width, 3) uint8 needed"),
    ),
    "lost rows": (describe("data", total=12), ("data: attribute 'total' says 12 rows, but", "10")),
    "num_samples": (describe("data/demo_2", num_samples=4), ("'num_samples': 4",)),
    "rate": (
        describe("data", env_args='{"env_kwargs": {"control_freq": -1}}'),
        ("data: control_freq = -1",),
    ),
    "no rate": (describe("data", env_args="{}"), ("control_rate: the file does not say",)),
    "infinite": (describe("data", env_args='{"a": 1e999}'), ("data: attribute 'env_args'",)),
    "list": (describe("data", env_args="[]"), ("data: attribute 'env_args'", "JSON of list")),
    "deep": (deep, ("data: attribute 'env_args'", "RecursionError")),
    "bell": (lambda file: file["data"].create_group("a\x07"), ("data: the name 'a\\x07'",)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    change, parts = FAULTS[name]
    refused(write(tmp_path / "a.hdf5", change), *parts)


def test_a_faulty_demonstration_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5", drop("data/demo_0/actions"))
    assert len(read(path, ask(split="train"))) == 2


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"state": ("posi",)}, ("data/demo_0/posi: missing", "obs/pos", "states[1:8]")),
        ({"state": ("states[2:9]",)}, ("states: columns 2:9 asked for, and it has 4",)),
        ({"state": ("states[2:2]",)}, ("states: columns 2:2 asked for",)),
        ({"state": ("states[-1:2]",)}, ("key 'states[-1:2]': give a name",)),
        ({"state": ("../demo_2/states",)}, ("missing; the demonstration holds",)),
        ({"state": ("/data",)}, ("missing; the demonstration holds",)),
        ({"action": ("pos",)}, ("data/demo_0/pos: missing",)),
        ({"cameras": {"top": "pos"}}, ("obs/pos: shape (3, 3) and type float64",)),
        ({"control_rate": 10.0}, ("control_rate = 10.0 Hz given, but the file says 20.0",)),
        ({"action_names": ("a",)}, ("action_names: 1 given", "2 columns")),
    ],
)
def test_what_cannot_be_asked_is_told(
    tmp_path: Path, changes: dict[str, Any], parts: tuple[str, ...]
) -> None:
    refused(write(tmp_path / "a.hdf5"), *parts, **changes)


def test_no_file_and_no_hdf5_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.hdf5", "there is no such file")
    (tmp_path / "text.hdf5").write_text("text")
    refused(tmp_path / "text.hdf5", "the file: cannot be read (OSError")


def corrupt(whole: bytes, seed: int) -> bytes:
    """Some bytes flipped; every tenth time cut off as well."""
    rng = np.random.default_rng(seed)
    broken = bytearray(whole)
    for place in rng.integers(0, len(broken), rng.integers(1, 8)):
        broken[place] ^= rng.integers(1, 256)
    return bytes(broken[: rng.integers(0, len(broken))] if seed % 10 == 0 else broken)


@pytest.mark.parametrize("libver", [None, "latest"])
@pytest.mark.parametrize("seeds", few([range(3), range(3, 240)], 1))
def test_flipped_bytes_give_whole_episodes_or_one_error(
    tmp_path: Path, libver: Any, seeds: range
) -> None:
    path = write(tmp_path / "a.hdf5", libver=libver)
    whole, messages, truth = path.read_bytes(), list[str](), read(path)
    for seed in seeds:
        path.write_bytes(corrupt(whole, seed))
        try:
            for episode, true in zip(read(path), truth, strict=True):
                assert episode.actions.shape == true.actions.shape
                # these carry checksums: columns 0 to 2 are packed with fletcher32, frames by gzip
                np.testing.assert_array_equal(episode.observations[:, :3], true.observations[:, :3])
                np.testing.assert_array_equal(episode.images["top"], true.images["top"])
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > len(seeds) / 5 and all(text.startswith(f"{path}: ") for text in messages)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_behind_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "link.hdf5").symlink_to(write(tmp_path / "a.hdf5"))
    assert len(read(tmp_path / "link.hdf5")) == len(STEPS)


def test_bytes_that_crash_the_library_are_told(tmp_path: Path) -> None:
    """Number 10249 of these is a segmentation fault of HDF5 2.0.0."""
    path = write(tmp_path / "a.hdf5")
    path.write_bytes(corrupt(path.read_bytes(), 10249))
    refused(path, "Restore the file from a copy")


@pytest.mark.usefixtures("read_here")
def test_large_chunks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_BYTES", 1000)
    wide = replace("data/demo_2/actions", np.ones((5, 2)), chunks=(500, 2), maxshape=(None, 2))
    refused(write(tmp_path / "a.hdf5", wide), "data/demo_2/actions: chunks (500, 2) of float64")


@real
@pytest.mark.parametrize("task", TASKS)
def test_robosuites_raw_demonstrations_open(task: str) -> None:
    path = ROBOSUITE / "v1.0" / task / "panda/demo.hdf5"
    request = Request("robomimic", ["states[1:8]"], ["actions"], task=task, control_rate=20.0)
    source = open_robomimic(path, request)
    episode = source.episode(0)
    with h5py.File(path) as file:
        states, actions = (file[f"data/demo_1/{key}"][()] for key in ("states", "actions"))
        assert source.attributes.extra["env_info"] == json.loads(file["data"].attrs["env_info"])
    assert (len(source), len(episode)) == (1, TASKS[task])
    assert source.attributes.observation_names == tuple(f"states_{i}" for i in range(1, 8))
    np.testing.assert_array_equal(episode.observations, states[:, 1:8].astype(np.float32))
    np.testing.assert_array_equal(episode.actions, actions.astype(np.float32))
    # 20 Hz: the first column of the states is the time of the world [s]
    np.testing.assert_allclose(np.diff(states[:, 0]), 0.05, atol=1e-9)


@real
def test_robosuites_old_file_has_no_actions() -> None:
    path = ROBOSUITE / "v0.3/SawyerLift/demo.hdf5"
    request = ask(state=("states[1:8]",), cameras={}, control_rate=100.0)
    with pytest.raises(DataError, match="data/demo_1/actions: missing.*teaches nothing"):
        open_robomimic(path, request)
    commands = ("right_dpos", "right_dquat", "gripper_actuations")
    source = open_robomimic(
        path, ask(state=("states[1:8]",), action=commands, cameras={}, control_rate=100.0)
    )
    assert [source.episode(i).actions.shape for i in range(2)] == [(1058, 8), (837, 8)]


def test_yes_and_no_are_numbers_too(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        for name, steps in STEPS.items():
            file[f"data/{name}/closed"] = np.arange(steps) % 2 == 1

    episode = read(write(tmp_path / "a.hdf5", change), ask(state=("closed",)))[1]
    np.testing.assert_array_equal(episode.observations[:, 0], [0, 1, 0, 1, 0])
