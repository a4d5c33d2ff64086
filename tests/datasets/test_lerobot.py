"""LeRobotDatasets v2.1 and v3.0 read as they were written, and what is wrong with them is told."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from ambient_datasets.demonstrations import Demonstrations, Request
from ambient_datasets.formats.lerobot import LeRobot, open_lerobot
from ambient_datasets.guards import apart, parquet, pictures
from ambient_policy.errors import DataError
from tests.datasets.lerobots import SHAPE, TASKS, png, write_film, write_lerobot

SHARED = Path(__file__).parents[3] / "shared/data"
PUSHT = SHARED / "lerobot_v30_pusht"
REPLAY = SHARED / "pusht_human_zarr/pusht_cchi_v7_replay.zarr"
VERSIONS = ("v2.1", "v3.0")
TOP = {"top": "observation.images.top"}


def ask(**changes: Any) -> Request:
    values: dict[str, Any] = {
        "format": "lerobot",
        "state": ("observation.state",),
        "action": ("action",),
        "task": "arm",
        "source": "human",
    }
    return Request(**{**values, **changes})


def read_all(source: Demonstrations) -> None:
    for i in range(len(source)):
        source.episode(i)


def refused(root: Path, *parts: str, **changes: Any) -> None:
    pattern = ".*".join(re.escape(part) for part in (str(root), *parts))
    with pytest.raises(DataError, match=re.compile(pattern, re.DOTALL)):
        read_all(open_lerobot(root, ask(**changes)))


def change_info(root: Path, **changes: Any) -> None:
    path = root / "meta/info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("version", ["v2.0", *VERSIONS])
def test_numbers_names_and_instruction_are_read(tmp_path: Path, version: str) -> None:
    recording = write_lerobot(tmp_path / "set", version)
    source: Demonstrations = open_lerobot(recording.root, ask())
    assert len(source) == 3 and source.attributes.control_rate == 10
    assert source.attributes.observation_names == ("x", "y", "angle")
    assert source.attributes.action_names == ("action_0", "action_1")
    assert source.attributes.extra == {"lerobot": version, "robot_type": "arm"}
    for i, (state, action) in enumerate(zip(recording.states, recording.actions, strict=True)):
        episode = source.episode(i)
        np.testing.assert_array_equal(episode.observations, state)
        np.testing.assert_array_equal(episode.actions, action)
        assert episode.instruction == TASKS[i % 2] and not episode.images


def test_the_keys_are_the_features(tmp_path: Path) -> None:
    keys = open_lerobot(write_lerobot(tmp_path / "set", "v3.0", camera="image").root, ask()).keys
    assert keys == tuple(sorted(keys))
    assert {"action", "observation.images.top", "note", "timestamp"} < set(keys)


@pytest.mark.parametrize("per_file", [1, 3])
def test_several_files_and_chunks_are_one_set(tmp_path: Path, per_file: int) -> None:
    lengths = (5, 1, 7, 2, 9, 4, 3)
    recording = write_lerobot(tmp_path / "set", "v3.0", lengths=lengths, per_file=per_file)
    files = sorted(str(p.relative_to(recording.root)) for p in recording.root.glob("data/*/*"))
    assert len(files) == -(-7 // per_file) and "data/chunk-001/file-000.parquet" in files
    source = open_lerobot(recording.root, ask())
    for i in (6, 0, 3, 5, 1, 4, 2):
        np.testing.assert_array_equal(source.episode(i).observations, recording.states[i])


@pytest.mark.parametrize("version", VERSIONS)
def test_images_in_the_parquet_are_read_exactly(tmp_path: Path, version: str) -> None:
    recording = write_lerobot(tmp_path / "set", version, camera="image")
    source = open_lerobot(recording.root, ask(cameras=TOP))
    assert source.cameras == {"top": SHAPE}
    for i, pixels in enumerate(recording.pixels):
        np.testing.assert_array_equal(source.episode(i).images["top"], pixels)


@pytest.mark.parametrize("version", VERSIONS)
def test_videos_are_read_at_the_times_of_the_steps(tmp_path: Path, version: str) -> None:
    recording = write_lerobot(tmp_path / "set", version, lengths=(30, 1, 40), camera="video")
    source = open_lerobot(recording.root, ask(cameras=TOP))
    for i in (2, 1, 0):
        frames, pixels = source.episode(i).images["top"], recording.pixels[i]
        assert frames.shape == pixels.shape and frames.dtype == np.uint8
        assert np.abs(frames.astype(float) - pixels).mean() < 8  # lossy: another step is 80 off


def test_a_video_whose_frames_are_reordered_is_read_in_time(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v3.0", lengths=(60, 60), camera="video")
    path = recording.root / "videos/observation.images.top/chunk-000/file-000.mp4"
    write_film(path, np.concatenate(recording.pixels), "libx264")  # with B-frames
    source = open_lerobot(recording.root, ask(cameras=TOP))
    for i, pixels in enumerate(recording.pixels):
        frames = source.episode(i).images["top"].astype(float)
        assert np.abs(frames - pixels).mean(axis=(1, 2, 3)).max() < 20


def test_a_split_takes_its_episodes(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v3.0")
    source = open_lerobot(recording.root, ask(split="train"))
    assert len(source) == 2
    np.testing.assert_array_equal(source.episode(1).actions, recording.actions[1])
    refused(recording.root, "splits['val']", "there are train, odd", split="val")
    refused(recording.root, "splits['odd']", "'1:2,4' given, 'first:stop'", split="odd")
    with pytest.raises(DataError, match="no episode 2; 2 given"):
        source.episode(2)


def test_several_keys_stand_side_by_side(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1")
    source = open_lerobot(recording.root, ask(state=("observation.state", "action", "timestamp")))
    names = ("x", "y", "angle", "action_0", "action_1", "timestamp_0")
    assert source.attributes.observation_names == names
    expected = np.concatenate([recording.states[0], recording.actions[0]], axis=1)
    np.testing.assert_array_equal(source.episode(0).observations[:, :5], expected)


def test_one_name_in_two_keys_is_led_by_the_key(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set", "v2.1").root
    features = json.loads((root / "meta/info.json").read_text())["features"]
    features["action"]["names"] = {"y": 1, "x": 0}
    change_info(root, features=features)
    assert open_lerobot(root, ask()).attributes.action_names == ("x", "y")
    names = open_lerobot(root, ask(state=("observation.state", "action")))
    assert names.attributes.observation_names[3:] == ("action.x", "action.y")


def test_several_tasks_of_an_episode_are_kept_in_order(tmp_path: Path) -> None:
    def tasks(values: Any, episode: int) -> Any:
        return [1] + [0] * (len(values) - 1)

    recording = write_lerobot(tmp_path / "set", "v3.0", columns={"task_index": tasks})
    assert open_lerobot(recording.root, ask()).episode(0).instruction == f"{TASKS[1]}; {TASKS[0]}"


def shifted(step: int, seconds: float) -> Callable[[Any, int], Any]:
    def change(values: Any, episode: int) -> Any:
        moved = np.array(values)
        moved[step:] += np.float32(seconds if episode == 2 else 0)
        return moved

    return change


def test_timestamps_may_be_off_by_the_tolerance(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v3.0", columns={"timestamp": shifted(3, 9e-5)})
    read_all(open_lerobot(recording.root, ask()))
    late = write_lerobot(tmp_path / "late", "v3.0", columns={"timestamp": shifted(0, 5.0)})
    read_all(open_lerobot(late.root, ask()))  # an episode's clock may begin anywhere


def test_the_worst_timestamp_is_named(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v3.0", columns={"timestamp": shifted(6, 3e-4)})
    refused(recording.root, "timestamp", "episode 2", "step 6 is the worst", "0.600300", "10 fps")


def test_a_control_rate_at_odds_with_fps_is_refused(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set", "v2.1").root
    refused(root, "control_rate = 20.0 Hz given, but the file says 10.0 Hz", control_rate=20.0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "template",
    [
        "../{x}/file.parquet",
        "/etc/passwd",
        "data/../../secret.parquet",
        "data\\..\\..\\secret.parquet",
        "{episode_index.__class__}",
        "{chunk_index:099999999d}",
        "",
        "data/\0",
        "data//file",
    ],
)
def test_a_path_template_never_leaves_the_folder(
    tmp_path: Path, version: str, template: str
) -> None:
    root = write_lerobot(tmp_path / "set", version).root
    change_info(root, data_path=template)
    refused(root, "data_path")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set", "v3.0").root
    file = root / "data/chunk-000/file-000.parquet"
    file.rename(tmp_path / "elsewhere.parquet")
    file.symlink_to(tmp_path / "elsewhere.parquet")
    refused(root, "outside the data set's folder")


def test_the_links_of_the_hubs_cache_are_its_own(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "hub/snapshots/abc", "v3.0").root
    (tmp_path / "hub/blobs").mkdir()
    file = root / "data/chunk-000/file-000.parquet"
    file.rename(tmp_path / "hub/blobs/0123")
    file.symlink_to("../../../../blobs/0123")
    read_all(open_lerobot(root, ask()))


def test_a_set_behind_a_link_is_read(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v3.0")
    (tmp_path / "link").symlink_to(recording.root)
    actions = open_lerobot(tmp_path / "link", ask()).episode(1).actions
    np.testing.assert_array_equal(actions, recording.actions[1])


def test_keys_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set", "v3.0", camera="image").root
    refused(root, "features['action']", "camera is of type image", cameras={"top": "action"})
    refused(root, "observation.images.top", "Name it among the cameras", state=tuple(TOP.values()))
    refused(root, "features['note']", "are numbers", state=("note",))
    refused(root, "features['speed']", "missing; there are observation.state", state=("speed",))


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    def grown(values: Any, episode: int) -> Any:
        return [{"bytes": png(np.zeros((64, 64, 3), np.uint8)), "path": None} for _ in values]

    columns = {"observation.images.top": grown}
    root = write_lerobot(tmp_path / "set", "v3.0", camera="image", columns=columns).root
    refused(root, "step 0: a RGB picture of (64, 64, 3)", "(16, 32, 3) was declared", cameras=TOP)


def test_a_video_too_short_or_of_another_size_is_refused(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1", camera="video")
    path = recording.root / "videos/chunk-000/observation.images.top/episode_000000.mp4"
    write_film(path, recording.pixels[0][:3])
    refused(recording.root, path.name, "no frame within", "where step 3 is due", cameras=TOP)
    path.unlink()
    refused(recording.root, path.name, "episode 0", "no such file", cameras=TOP)
    features = json.loads((recording.root / "meta/info.json").read_text())["features"]
    features["observation.images.top"]["shape"] = [8, 8, 3]
    change_info(recording.root, features=features)
    write_film(path, recording.pixels[0])
    refused(recording.root, "frames of 16 x 32 pixels, 8 x 8 were declared", cameras=TOP)


def test_a_playlist_in_the_place_of_a_video_opens_nothing(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v2.1", camera="video")
    folder = recording.root / "videos/chunk-000/observation.images.top"
    (folder / "episode_000000.mp4").rename(tmp_path / "secret.mp4")
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", f"file://{tmp_path}/secret.mp4")
    (folder / "episode_000000.mp4").write_text("\n".join([*lines, "#EXT-X-ENDLIST"]))
    refused(recording.root, "truncated, corrupt or no MP4", cameras=TOP)


@pytest.mark.usefixtures("read_here")
def test_a_column_that_unpacks_to_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_GROUP", 2**20)
    root = write_lerobot(tmp_path / "set", "v2.1", lengths=(5,)).root
    path = root / "data/chunk-000/episode_000000.parquet"
    table = pq.read_table(path)
    bomb = pa.array([[0.0] * 100_000] * 5, pa.large_list(pa.float64()))
    place = table.column_names.index("action")
    pq.write_table(
        table.set_column(place, "action", bomb), path, compression="zstd", use_dictionary=False
    )
    assert path.stat().st_size < 2**16
    refused(root, "row group 0", "bytes unpacked", "at most 1048576")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"codebase_version": "v1.6"}, "codebase_version: 'v1.6' given, one of v2.0, v2.1, v3.0"),
        ({"fps": "10"}, "fps: '10' given, a positive number needed"),
        ({"total_episodes": 2}, "total_episodes: 2 declared, but the list of episodes has 3"),
        ({"total_frames": 14}, "total_frames: 14 declared, but the list of episodes has 13"),
        ({"chunks_size": 0}, "chunks_size: 0 given, a whole number from 1 needed"),
        ({"video_path": None}, "video_path: missing. Take no camera of type 'video'"),
        ({"data_path": 3}, "data_path: 3 given, a path template needed"),
        (
            {"data_path": "data/{day}.parquet"},
            "template 'data/{day}.parquet' has other placeholders",
        ),
        ({"features": []}, "features: list given, an object needed"),
        ({"features": {"action": {}}}, "features['action']: dtype None and shape None given"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_faults_of_info_are_told(
    tmp_path: Path, version: str, changes: dict[str, Any], told: str
) -> None:
    root = write_lerobot(tmp_path / "set", version, camera="video").root
    change_info(root, **changes)
    refused(root, told, cameras=TOP)


def test_what_is_no_data_set_is_told(tmp_path: Path) -> None:
    refused(tmp_path, "meta/info.json: there is no such file. Give the folder of a LeRobotDataset")
    root = write_lerobot(tmp_path / "set", "v3.0").root
    for path in (root / "meta/episodes/chunk-000").iterdir():
        path.unlink()
    refused(root, "meta/episodes/chunk-*/file-*.parquet: there is no such file")
    (root / "meta/info.json").write_text("{")
    refused(root, "meta/info.json: cannot be read as JSON")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"length": 6}, "length: episode 0: 6 steps, but rows 0 to 5; they must agree"),
        ({"episode_index": 1}, "episode_index: 1 stands in row 1 after 1"),
        ({"data/file_index": -1}, "data/file_index: -1 to -1: no counts"),
        ({"data/file_index": 9}, "file-009.parquet: there is no such file"),
        ({"data/file_index": 1}, "rows: 7 of them, but the episodes listed for this file have 12"),
        ({f"videos/{TOP['top']}/from_timestamp": -1.0}, "a time is negative or not finite"),
    ],
)
def test_faults_of_the_list_of_episodes_are_told(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    root = write_lerobot(tmp_path / "set", "v3.0", camera="video").root
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    pq.write_table(pa.Table.from_pylist([{**pq.read_table(path).to_pylist()[0], **changes}]), path)
    with pytest.raises(DataError, match=re.escape(told)):
        open_lerobot(root, ask(cameras=TOP)).episode(0)


@pytest.mark.parametrize(
    ("key", "values", "told"),
    [
        ("frame_index", [0, 1, 3, 2, 4], "frame_index: episode 0: step 2 reads 3, 2 is due"),
        ("episode_index", [0, 0, 0, 0, 1], "episode_index: episode 0: step 4 reads 1, 0 is due"),
        ("task_index", [0, 0, 7, 0, 0], "task_index: episode 0: 7 is none of the 2 listed tasks"),
        ("task_index", [0.0] * 5, "task_index: episode 0: type float64 given, whole numbers"),
        ("action", [[0.0, 1.0]] * 4 + [None], "action: episode 0: 1 values are missing (null)"),
        ("action", [[0.0, 1.0]] * 4 + [[0.0]], "action: episode 0: rows of different lengths"),
        ("action", [[0.0]] * 5, "action: episode 0: 5 values of type double in 5 rows given, 2"),
        ("action", [["0", "1"]] * 5, "10 values of type string in 5 rows given, 2 numbers"),
        ("action", [[0, 2**24 + 1]] * 5, "column 1 is 16777217; finite numbers within float32"),
        ("action", [[0.0, 1e39]] * 5, "action: episode 0: step 0, column 1 is 1e+39; finite"),
    ],
)
def test_faults_of_the_rows_are_told(tmp_path: Path, key: str, values: Any, told: str) -> None:
    columns = {key: lambda _, episode: pa.array(values)}
    recording = write_lerobot(tmp_path / "set", "v2.1", lengths=(5,), columns=columns)
    refused(recording.root, "episode_000000.parquet", told)


def test_faults_of_the_tasks_are_told(tmp_path: Path) -> None:
    for version in VERSIONS:
        root = write_lerobot(tmp_path / version, version).root
        lines = '{"task_index": 0, "task": "a"}\n{"task_index": 0, "task": "b"}\n'
        (root / "meta/tasks.jsonl").write_text(lines)
        twice = pa.table({"task_index": [0, 0], "task": ["a", "b"]})
        pq.write_table(twice, root / "meta/tasks.parquet")
        refused(root, "meta/tasks", "a text is missing or broken, or one number has two")


def test_a_missing_decoder_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = write_lerobot(tmp_path / "set", "v3.0", camera="video")
    monkeypatch.setitem(sys.modules, "av", None)
    refused(recording.root, "pip install 'ambient-policy[video]'", cameras=TOP)


@pytest.mark.slow
@pytest.mark.skipif(not (PUSHT.exists() and REPLAY.exists()), reason="the real files are not here")
def test_the_real_push_t_equals_its_zarr() -> None:
    source = open_lerobot(PUSHT, ask(split="train"))
    episodes = [source.episode(i) for i in range(len(source))]
    replay: Any = zarr.open_group(str(REPLAY), mode="r")
    states = np.concatenate([episode.observations for episode in episodes])
    np.testing.assert_array_equal(states, replay["data/state"][:, :2])
    actions = np.concatenate([episode.actions for episode in episodes])
    np.testing.assert_array_equal(actions, replay["data/action"][:])
    ends = np.cumsum([len(episode) for episode in episodes])
    np.testing.assert_array_equal(ends, replay["meta/episode_ends"][:])
    assert source.attributes.control_rate == 10
    assert {episode.instruction for episode in episodes} == {
        "Push the T-shaped block onto the T-shaped target."
    }


@pytest.mark.skipif(not PUSHT.exists(), reason="the real file is not here")
def test_the_real_push_t_lacks_its_videos() -> None:
    source: LeRobot = open_lerobot(PUSHT, ask(cameras={"pixels": "observation.image"}))
    with pytest.raises(DataError, match="file-000.mp4: video: episode 0: there is no such file"):
        source.episode(0)


def test_pipes_in_the_place_of_files_are_refused(tmp_path: Path) -> None:
    for version, name in (("v2.1", "meta/episodes.jsonl"), ("v3.0", "meta/tasks.parquet")):
        root = write_lerobot(tmp_path / version, version).root
        (root / name).unlink()
        os.mkfifo(root / name)  # opening it would wait for ever
        refused(root, name)


def test_a_path_too_long_for_the_system_is_refused(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set", "v3.0").root
    change_info(root, data_path="a" * 5000)
    refused(root, "there is no such file")


def test_names_too_deep_are_refused(tmp_path: Path) -> None:
    root = write_lerobot(tmp_path / "set", "v3.0").root
    change_info(root, splits="@")
    deep = '{"a":' * 700 + "1" + "}" * 700
    path = root / "meta/info.json"
    path.write_text(path.read_text().replace('"@"', deep))
    refused(root, "meta/info.json", "more than 128 deep")


def test_more_files_than_three_digits_count_stay_in_order(tmp_path: Path) -> None:
    recording = write_lerobot(tmp_path / "set", "v3.0")
    folder = recording.root / "meta/episodes/chunk-000"
    for number in (2, 1, 0):
        (folder / f"file-00{number}.parquet").rename(folder / f"file-{number + 999}.parquet")
    np.testing.assert_array_equal(
        open_lerobot(recording.root, ask()).episode(1).actions, recording.actions[1]
    )


@pytest.mark.slow
def test_run_lengths_that_unfold_to_gigabytes_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One number repeated takes no bytes in the file, so the declared size tells nothing."""
    root = write_lerobot(tmp_path / "set", "v2.1", lengths=(2,)).root
    path = root / "data/chunk-000/episode_000000.parquet"
    table, many = pq.read_table(path), 40_000_000
    zeros = pa.FixedSizeListArray.from_arrays(np.zeros(2 * many, np.float32), many)
    pq.write_table(table.set_column(table.column_names.index("action"), "action", zeros), path)
    assert path.stat().st_size < 2**16
    monkeypatch.setattr(apart, "MEMORY", 2**28)
    refused(root, "episode 0: reading it takes more than 268435456 bytes")


def test_frames_that_would_fill_the_memory_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_lerobot(tmp_path / "set", "v3.0", camera="video").root
    monkeypatch.setattr(pictures, "MAX_FRAMES", 5 * 16 * 32 * 3)
    refused(root, "frames: episode 2: 7 steps take 10752 bytes decoded", cameras=TOP)


@pytest.mark.usefixtures("read_here")
def test_a_frame_larger_than_declared_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_lerobot(tmp_path / "set", "v3.0", camera="video").root
    monkeypatch.setattr("ambient_datasets.guards.film.MARGIN_PIXELS", -8)
    refused(root, "file-000.mp4: video: episode 0: truncated, corrupt", cameras=TOP)


def test_pictures_are_read_a_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = write_lerobot(tmp_path / "set", "v3.0", camera="image")
    path = recording.root / "data/chunk-000/file-000.parquet"
    monkeypatch.setattr(parquet, "BATCH", 2000)
    with parquet.open_parquet(path) as file:
        batches = list(parquet.batches(path, file, [TOP["top"]], 1, 6))
    assert [len(batch) for batch in batches] != [5] and sum(map(len, batches)) == 5
    frames = open_lerobot(recording.root, ask(cameras=TOP)).episode(2).images["top"]
    np.testing.assert_array_equal(frames, recording.pixels[2])


def test_a_missing_decoder_is_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_lerobot(tmp_path / "set", "v3.0", camera="video").root
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"pip install 'ambient-policy\[video\]'"):
        open_lerobot(root, ask(cameras=TOP))
    assert len(open_lerobot(root, ask()).episode(0)) == 5
