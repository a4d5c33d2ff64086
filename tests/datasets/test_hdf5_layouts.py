"""HDF5 as people hold it: ACT's files, demonstrations elsewhere, T+1 observations, filters, lzf."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ambient_datasets.conversion.convert import convert
from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.conversion.report import Conversion
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.store import Store, open_store
from ambient_policy.errors import AmbientPolicyError, DataError, SettingsError

T = 6


def ask(**changes: Any) -> Recipe:
    values = {"state": ["obs"], "action": ["actions"], "control_rate": 50.0}
    return Recipe(**{"format": "robomimic", **values, **changes})


def run(path: Path, **changes: Any) -> Conversion:
    out = changes.pop("out", path.parent / "out.zarr")
    return convert(ConvertSettings(str(path), str(out), ask(**changes)))


def stored(path: Path, **changes: Any) -> Store:
    return open_store(run(path, **changes).out)


def refused(path: Path, **changes: Any) -> str:
    with pytest.raises(AmbientPolicyError) as error:
        run(path, **changes)
    assert not (path.parent / "out.zarr").exists()
    return str(error.value)


def rows(i: int, width: int = 2, steps: int = T) -> NDArray[np.float32]:
    return np.random.default_rng(i).normal(size=(steps, width)).astype(np.float32)


def write_act(folder: Path, packed: bool = False) -> list[NDArray[np.uint8]]:
    """Files 0, 1, 2 and 10 as ACT writes them; the frames of each, which JPEG changes a little."""
    folder.mkdir()
    seen = []
    for i in (0, 1, 2, 10):
        frames = (
            np.full((T, 8, 10, 3), 20 * i, np.uint8)
            + np.arange(T, dtype=np.uint8)[:, None, None, None]
        )
        with h5py.File(folder / f"episode_{i}.hdf5", "w") as file:
            file.attrs["sim"], file.attrs["compress"] = False, packed
            file["action"], file["observations/qpos"] = rows(i, 14), rows(i + 50, 14)
            file["observations/images/top"] = pack(frames) if packed else frames
        seen.append(frames)
    return seen


def pack(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T,bytes) JPEG of each frame, filled up with zeros."""
    data = []
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=100)
        data.append(np.frombuffer(stream.getvalue(), np.uint8))
    out = np.zeros((len(data), max(map(len, data)) + 7), np.uint8)
    for row, bytes_ in zip(out, data, strict=True):
        row[: len(bytes_)] = bytes_
    return out


ACT = {
    "state": ["observations/qpos"],
    "action": ["action"],
    "cameras": {"top": "observations/images/top"},
}


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_act_files_is_read_in_the_order_of_its_numbers(
    tmp_path: Path, packed: bool
) -> None:
    frames = write_act(tmp_path / "act", packed)
    store = stored(tmp_path / "act", **ACT)
    assert len(store) == 4
    np.testing.assert_array_equal(
        store.actions(), np.concatenate([rows(i, 14) for i in (0, 1, 2, 10)])
    )
    np.testing.assert_array_equal(store.observations()[-T:], rows(60, 14))
    pixels = store.cameras["top"].read(np.arange(4 * T)).astype(int)
    assert np.abs(pixels - np.concatenate(frames)).max() <= (1 if packed else 0)


def test_files_of_one_demonstration_are_chosen_by_a_pattern(tmp_path: Path) -> None:
    write_act(tmp_path / "act")
    (tmp_path / "act" / "notes.txt").write_text("x")
    assert len(stored(tmp_path / "act", **ACT, episodes="episode_?.hdf5")) == 3
    text = refused_again(tmp_path, episodes="run_*.h5")
    assert "run_*.h5" in text and "holds episode_0.hdf5" in text
    assert "filter keys" in refused_again(tmp_path, split="train")


def refused_again(tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(DataError) as error:
        run(tmp_path / "act", out=tmp_path / "never.zarr", **ACT, **changes)
    return str(error.value)


def test_one_act_file_is_answered_with_its_folder(tmp_path: Path) -> None:
    write_act(tmp_path / "act")
    text = refused(tmp_path / "act" / "episode_0.hdf5", **ACT)
    assert "the file holds action, observations" in text and "give its folder as path" in text


def test_a_damaged_jpeg_is_told_with_file_and_row(tmp_path: Path) -> None:
    write_act(tmp_path / "act", packed=True)
    with h5py.File(tmp_path / "act/episode_1.hdf5", "a") as file:
        file["observations/images/top"][3, :40] = 0
    with pytest.raises(DataError, match=r"episode_1\.hdf5: observations/images/top: row 3: no PNG"):
        run(tmp_path / "act", **ACT)


def write_groups(path: Path, pattern: str, more: int = 0, **attributes: Any) -> None:
    """Three demonstrations; ``more`` observations than actions."""
    with h5py.File(path, "w") as file:
        for i in range(3):
            group = file.create_group(pattern.format(i))
            group["actions"], group["obs"] = rows(i), rows(i + 50, 4, T + more)
            for name, values in attributes.items():
                group.attrs[name] = values[i]


@pytest.mark.parametrize("pattern", ["demo_{}", "traj_{}", "episode_{}", "a/b/demo_{}"])
def test_demonstrations_lie_where_the_setting_says(tmp_path: Path, pattern: str) -> None:
    write_groups(tmp_path / "a.hdf5", pattern)
    text = refused(tmp_path / "a.hdf5")
    assert "data: missing; the file holds" in text and "recipe.episodes='" in text
    store = stored(tmp_path / "a.hdf5", episodes=pattern.format("*"))
    np.testing.assert_array_equal(store.actions(), np.concatenate([rows(i) for i in range(3)]))


def test_the_observation_after_the_last_action_is_dropped_if_asked_for(tmp_path: Path) -> None:
    write_groups(tmp_path / "a.hdf5", "traj_{}", more=1)
    text = refused(tmp_path / "a.hdf5", episodes="traj_*")
    assert f"traj_0: rows are actions: {T}, obs: {T + 1}" in text
    assert "recipe.drop_last_observation=true" in text
    store = stored(tmp_path / "a.hdf5", episodes="traj_*", drop_last_observation=True)
    np.testing.assert_array_equal(store.observations()[:T], rows(50, 4, T + 1)[:T])


def test_it_is_dropped_only_where_there_is_one(tmp_path: Path) -> None:
    for more in (0, 2):
        write_groups(tmp_path / f"{more}.hdf5", "data/demo_{}", more)
    assert "leave out drop_last" in refused(tmp_path / "0.hdf5", drop_last_observation=True)
    text = refused(tmp_path / "2.hdf5", drop_last_observation=True)
    assert "Give one row of each for each step" in text


def test_a_success_flag_filters_and_failures_are_told(tmp_path: Path) -> None:
    marks: dict[str, Any] = {
        "success": np.array([True, False, True]),
        "operator": ["ann", "bob", "anton"],
    }
    write_groups(tmp_path / "a.hdf5", "data/demo_{}", **marks)
    assert "1 of the episodes are marked as failed" in str(run(tmp_path / "a.hdf5"))
    conversion = run(tmp_path / "a.hdf5", out=tmp_path / "b.zarr", where={"success": True})
    assert "2 of 3, 1 left by where, 0 left by leave_out, 0 beyond" in str(conversion)
    assert "failed" not in str(conversion)
    np.testing.assert_array_equal(
        open_store(conversion.out).actions(), np.concatenate([rows(0), rows(2)])
    )
    names = run(tmp_path / "a.hdf5", out=tmp_path / "c.zarr", where={"operator": ["bob", "x"]})
    assert names.episodes == 1


def test_a_filter_that_fits_nothing_says_what_there_is(tmp_path: Path) -> None:
    write_groups(tmp_path / "a.hdf5", "data/demo_{}", operator=["ann", "bob", "ann"])
    assert "there are operator: ann, bob" in refused(
        tmp_path / "a.hdf5", where={"operator": "carl"}
    )
    assert "nothing of that name is known of episode 0" in refused(
        tmp_path / "a.hdf5", where={"success": True}
    )
    with pytest.raises(SettingsError, match="where.length = {'from': 3}: give true or false"):
        ask(where={"length": {"from": 3}})


def test_the_last_step_of_an_array_can_be_a_filter(tmp_path: Path) -> None:
    write_groups(tmp_path / "a.hdf5", "traj_{}")
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        for i in range(3):
            file[f"traj_{i}/success"] = np.arange(T) == (T - 1 if i == 1 else 0)
    conversion = run(tmp_path / "a.hdf5", episodes="traj_*", where={"success": True})
    np.testing.assert_array_equal(open_store(conversion.out).actions(), rows(1))


def test_liberos_rows_are_shifted_and_its_words_kept(tmp_path: Path) -> None:
    count = np.arange(T, dtype=np.float32)[:, None]
    for words in ("pick up the bowl", list("pick up the bowl")):
        path = tmp_path / f"{type(words).__name__}.hdf5"
        with h5py.File(path, "w") as file:
            file["data/demo_0/actions"], file["data/demo_0/obs/pos"] = count, count
            file["data"].attrs["problem_info"] = json.dumps({"language_instruction": words})
        out = path.with_suffix(".zarr")
        store = stored(path, out=out, state=["pos"], action=[], action_from="actions[t+1]")
        np.testing.assert_array_equal(store.actions() - store.observations(), np.ones((T - 1, 1)))
        assert store.instruction(0) == "pick up the bowl"


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"fletcher32": True}])
def test_lzf_is_read_as_gzip_is(tmp_path: Path, options: Any) -> None:
    values = np.repeat(rows(3, 5, 400), 3, axis=0).round(1)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for key in ("actions", "obs"):
            file.create_dataset(f"data/demo_0/{key}", data=values, compression="lzf", **options)
    np.testing.assert_array_equal(stored(tmp_path / "a.hdf5").actions(), values)


def test_lzf_that_unfolds_to_another_size_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["data/demo_0/actions"] = rows(0)
        array = file.create_dataset("data/demo_0/obs", (T, 2), "f4", compression="lzf")
        array.id.write_direct_chunk((0, 0), bytes([0xE0, 255, 0]) * 100)
    text = refused(tmp_path / "a.hdf5")
    assert "data/demo_0/obs: chunk (0, 0) does not unfold to its 48 bytes" in text


def test_settings_of_hdf5_are_refused_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="read of format=robomimic, and format=lerobot"):
        run(tmp_path, format="lerobot", drop_last_observation=True)


def test_mujocos_time_in_the_states_is_compared_with_the_rate(tmp_path: Path) -> None:
    write_groups(tmp_path / "a.hdf5", "data/demo_{}", model_file=["<mujoco/>"] * 3)
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        for i in range(3):
            file[f"data/demo_{i}/states"] = np.stack([np.arange(T) / 20 + 0.3, np.ones(T)], 1)
    text = refused(tmp_path / "a.hdf5", control_rate=10.0)
    assert "states (MuJoCo's time): has 20 rows a second, but the rate said is 10 Hz" in text
    assert "recipe.stamps=ignore" in text
    assert run(tmp_path / "a.hdf5", control_rate=10.0, stamps="ignore").rows == 3 * T
    assert run(tmp_path / "a.hdf5", out=tmp_path / "b.zarr", control_rate=20.0).rows == 3 * T
    with pytest.raises(DataError, match="HDF5 is read row by row"):
        run(tmp_path / "a.hdf5", control_rate=20.0, stamps="resample")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(200))
def test_flipped_bytes_are_read_or_refused(tmp_path: Path, number: int) -> None:
    if number % 2:
        write_act(tmp_path / "act", packed=True)
        source, file, words = tmp_path / "act", tmp_path / "act/episode_1.hdf5", ACT
    else:
        source = file = tmp_path / "a.hdf5"
        words = {}
        with h5py.File(file, "w") as opened:
            for key in ("actions", "obs"):
                values = np.repeat(rows(3, 4, 100), 3, axis=0).round(1)
                opened.create_dataset(f"data/demo_0/{key}", data=values, compression="lzf")
    data, rng = bytearray(file.read_bytes()), np.random.default_rng(number)
    for place in rng.integers(0, len(data), 10):
        data[place] = rng.integers(256)
    file.write_bytes(data)
    with contextlib.suppress(AmbientPolicyError):
        run(source, **words, out=tmp_path / "out.zarr")
