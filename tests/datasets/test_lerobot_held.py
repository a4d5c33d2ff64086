"""LeRobotDatasets as people hold them: clocks, gaps, no tasks, no state, depth, Git LFS."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ambient_datasets.conversion.convert import convert
from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.store import Store, open_store
from ambient_policy.errors import AmbientPolicyError, DataError
from tests.datasets.lerobots import FPS, TASKS, Recording, write_lerobot

VERSIONS = ("v2.1", "v3.0")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 82515\n"
DATA = "data/chunk-{:03d}/episode_{:06d}.parquet"


def run(root: Path, **changes: Any) -> Store:
    words = {"state": ["observation.state"], "action": ["action"], **changes}
    recipe = Recipe("lerobot", **words)
    return open_store(convert(ConvertSettings(str(root), f"{root}.zarr", recipe)).out)


def refused(root: Path, **changes: Any) -> str:
    with pytest.raises(AmbientPolicyError) as error:
        run(root, **changes)
    assert not Path(f"{root}.zarr").exists()
    return str(error.value)


def late(column: Any, episode: int) -> Any:
    """Stamps of a clock: it starts at 1000 s and each step takes 12.3 ms too long."""
    return (1000 + np.arange(len(column)) * (1 / FPS + 0.0123)).astype(np.float64)


@pytest.mark.parametrize("camera", ["image", "video"])
def test_stamps_of_a_clock_are_refused_taken_or_resampled(tmp_path: Path, camera: str) -> None:
    options: dict[str, Any] = {"camera": camera, "columns": {"timestamp": late}}
    recording = write_lerobot(tmp_path / "set", "v2.1", lengths=(40, 3), **options)
    cameras = {"top": "observation.images.top"}
    text = refused(recording.root, cameras=cameras)
    assert "recipe.stamps=ignore" in text and "recipe.stamps=resample" in text
    store = run(recording.root, cameras=cameras, stamps="ignore")
    np.testing.assert_array_equal(store.observations(), np.concatenate(recording.states))
    shutil.rmtree(store.path)
    store = run(recording.root, cameras=cameras, stamps="resample")
    lasts = [39 * 1.123, 2 * 1.123]  # of the stamps [steps of the rate]
    assert [int(n) for n in store.episode_lengths] == [int(last) + 1 for last in lasts]
    nearest = np.abs(np.arange(40) * 1.123 - np.arange(44)[:, None]).argmin(axis=1)
    np.testing.assert_array_equal(store.observations()[:44], recording.states[0][nearest])
    np.testing.assert_array_equal(store.actions()[:44], recording.actions[0][nearest])
    seen = store.cameras["top"].read(np.arange(44)).astype(int)
    assert np.abs(seen - recording.pixels[0][nearest]).mean() < 12


def test_stamps_that_fall_cannot_be_resampled(tmp_path: Path) -> None:
    columns = {"timestamp": lambda column, episode: column[::-1].astype(np.float64)}
    recording = write_lerobot(tmp_path / "set", "v2.1", columns=columns)
    text = refused(recording.root, stamps="resample")
    assert "timestamp: episode 0: does not rise after step 0" in text
    with pytest.raises(AmbientPolicyError, match="unknown stamps 'clock'; known: check, ignore"):
        run(recording.root, stamps="clock")


@pytest.mark.parametrize("template", [None, "data/chunk-{chunk_index:03d}/e{episode_index}.pq"])
def test_deleted_episodes_leave_gaps(tmp_path: Path, template: str | None) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1")
    forget(recording, 1)
    if template is not None:
        rename(recording.root, template)
    store = run(recording.root)
    assert len(store) == 2 and store.instruction(1) == TASKS[0]
    np.testing.assert_array_equal(store.observations()[5:], recording.states[2])


def forget(recording: Recording, episode: int) -> None:
    """Delete one of three episodes as people do: its file, its line, the counts."""
    root, lengths = recording.root, [len(states) for states in recording.states]
    (root / DATA.format(episode // 2, episode)).unlink()
    lines = (root / "meta/episodes.jsonl").read_text().splitlines()
    del lines[episode], lengths[episode]
    (root / "meta/episodes.jsonl").write_text("\n".join(lines))
    change_info(root, total_episodes=2, total_frames=sum(lengths))


def change_info(root: Path, **changes: Any) -> None:
    path = root / "meta/info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rename(root: Path, template: str) -> None:
    for file in root.glob("data/*/*"):
        number = int(file.stem[-6:])
        target = root / template.format(chunk_index=number // 2, episode_index=number)
        file.rename(target)
    change_info(root, data_path=template)


def test_a_count_of_before_the_deletion_is_told_with_the_right_one(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1")
    forget(recording, 1)
    change_info(recording.root, total_episodes=3)
    text = refused(recording.root)
    assert "where episodes were deleted, write 2 here" in text


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_column_of_tasks_the_list_of_episodes_tells(tmp_path: Path, version: str) -> None:
    recording = write_lerobot(tmp_path / "set", version)
    for file in recording.root.glob("data/*/*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["task_index"]), file)
    if version == "v2.1":
        assert "Add the column" in refused(recording.root)
        name_tasks(recording.root)
    store = run(recording.root)
    assert [store.instruction(i) for i in range(3)] == [TASKS[0], TASKS[1], TASKS[0]]


def name_tasks(root: Path, **more: Any) -> None:
    path = root / "meta/episodes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for i, line in enumerate(lines):
        line |= {"tasks": [TASKS[i % 2]], **{key: values[i] for key, values in more.items()}}
    path.write_text("\n".join(map(json.dumps, lines)))


def test_the_only_task_needs_no_column(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1")
    (recording.root / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "do it"}\n')
    for file in recording.root.glob("data/*/*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["task_index"]), file)
    assert run(recording.root).instruction(2) == "do it"


def test_nested_names_are_names(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1")
    info = json.loads((recording.root / "meta/info.json").read_text())
    info["features"]["observation.state"]["names"] = [["x", "y"], ["turn"]]
    change_info(recording.root, features=info["features"])
    assert run(recording.root).attributes.observation_names == ("x", "y", "turn")


def test_a_set_of_pictures_is_told_what_to_name(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1", camera="image")
    info = json.loads((recording.root / "meta/info.json").read_text())
    del info["features"]["observation.state"]
    change_info(recording.root, features=info["features"])
    cameras = {"top": "observation.images.top"}
    for state in (["observation.state"], []):
        assert "recipe.state=[timestamp]" in refused(recording.root, state=state, cameras=cameras)
    store = run(recording.root, state=["timestamp"], cameras=cameras)
    assert store.attributes.observation_names == ("timestamp_0",)


def test_depth_is_left_out_by_not_naming_it(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1", camera="image")
    info = json.loads((recording.root / "meta/info.json").read_text())
    depth = {"dtype": "image", "shape": [16, 32, 1], "names": ["height", "width", "channels"]}
    info["features"]["observation.images.depth"] = depth
    change_info(recording.root, features=info["features"])
    text = refused(recording.root, cameras={"deep": "observation.images.depth"})
    assert "three colours" in text and "Name another camera" in text
    assert run(recording.root, cameras={"top": "observation.images.top"}).cameras.keys() == {"top"}


@pytest.mark.parametrize(
    ("version", "file"),
    [
        ("v2.1", "meta/info.json"),
        ("v2.1", "meta/episodes.jsonl"),
        ("v2.1", "meta/tasks.jsonl"),
        ("v2.1", "data/*/*.parquet"),
        ("v2.1", "videos/*/*/*.mp4"),
        ("v3.0", "meta/episodes/*/*.parquet"),
        ("v3.0", "meta/tasks.parquet"),
    ],
)
def test_pointers_of_git_lfs_are_called_so(tmp_path: Path, version: str, file: str) -> None:
    recording = write_lerobot(tmp_path / "set", version, camera="video")
    paths = list(recording.root.glob(file))
    assert paths
    for path in paths:
        path.write_text(POINTER)
    text = refused(recording.root, cameras={"top": "observation.images.top"})
    assert f"{paths[0].suffix}: a Git LFS pointer" in text and "git lfs pull" in text
    assert "leave_out" not in text


def test_filters_ask_the_list_of_episodes(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1")
    name_tasks(recording.root, operator=["ann", "bob", "ann"], success=[True, True, False])
    for where, episodes in (
        ({"operator": "a*", "success": True}, [0]),
        ({"length": {"least": 3}}, [0, 2]),
        ({"instruction": f"{TASKS[1][:4]}*"}, [1]),
        ({"tasks": TASKS[0]}, [0, 2]),
    ):
        store = run(recording.root, where=where)
        np.testing.assert_array_equal(
            store.actions(), np.concatenate([recording.actions[i] for i in episodes])
        )
        shutil.rmtree(store.path)


def test_a_template_that_leads_nowhere_is_found_at_opening(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1")
    change_info(recording.root, data_path="data/{chunk}/{episode_index}.parquet")
    text = refused(recording.root)
    assert "other placeholders than episode_chunk, episode_index, chunk_index" in text
    assert "leave_out" not in text


def test_a_fault_of_all_episodes_is_not_answered_with_leaving_one_out(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1", camera="image")
    for file in recording.root.glob("data/*/*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["observation.images.top"]), file)
    text = refused(recording.root, cameras={"top": "observation.images.top"})
    assert "the fault is the whole set's" in text and "leave_out" not in text
    run(recording.root)  # the settings may change: nothing was written


def test_a_fault_of_the_first_episode_alone_is_its_own(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1")
    (recording.root / DATA.format(0, 0)).write_bytes(b"no parquet")
    assert "To go on without it add 0 to leave_out" in refused(recording.root)
    with pytest.raises(DataError, match="nothing was written"):
        run(recording.root)
