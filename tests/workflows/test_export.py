"""Stores out of the project and back: equal; nothing half-written; refusals."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.formats import open_any
from ambient_datasets.store import (
    Attributes,
    Episode,
    Store,
    annotate_store,
    create_store,
    open_store,
)
from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError, DataError, SettingsError
from tests.datasets.stores import described
from tests.datasets.walks import NAMES, UNITS, equal, write_walks
from tests.kills import kill
from tests.samples import few

REAL = Path(__file__).parents[3] / "shared/data"
MEANING = ["recipe.task=ambient_envs/Maze-v0", "recipe.source=gcs"]
FROM_LEROBOT = [
    "recipe.format=lerobot",
    "recipe.state=[observation.state]",
    "recipe.action=[action]",
    "+recipe.cameras.front=observation.images.front",
    *MEANING,
]
FROM_REPLAY = [
    "recipe.format=diffusion_policy",
    "recipe.state=[state]",
    "recipe.action=[action]",
    "+recipe.cameras.front=front",
    "recipe.control_rate=10",
    *MEANING,
]


@pytest.fixture
def walks(tmp_path: Path) -> Path:
    """A store of four episodes."""
    return write_walks(tmp_path / "walks.zarr")


def there_and_back(store: Path, out: Path, options: list[str], back: list[str]) -> Path:
    """Export a store and convert it again."""
    perform("export", [f"store={store}", f"out={out}", *options])
    again = store.with_name("again.zarr")
    perform("convert", [f"path={out}", f"out={again}", *back])
    return again


def test_lerobot_and_back_is_the_same_store(walks: Path, tmp_path: Path) -> None:
    again = there_and_back(walks, tmp_path / "set", ["format=lerobot"], FROM_LEROBOT)
    equal(walks, again)
    attributes = open_store(again).attributes
    assert (attributes.observation_names, attributes.action_names) == (NAMES, ("target_x",))
    assert attributes.control_rate == 10.0


def test_small_files_hold_the_same(walks: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("ambient_datasets.formats.sequence.MEGABYTE", 12000)
    for module in ("sequence", "lerobot_layout"):
        monkeypatch.setattr(f"ambient_datasets.formats.{module}.CHUNK_FILES", 2)
    options = ["format=lerobot", "file_megabytes=1"]
    again = there_and_back(walks, tmp_path / "set", options, FROM_LEROBOT)
    files = sorted(f.relative_to(tmp_path / "set") for f in (tmp_path / "set/data").rglob("*.*"))
    assert [str(file) for file in files] == [
        "data/chunk-000/file-000.parquet",
        "data/chunk-000/file-001.parquet",
        "data/chunk-001/file-000.parquet",
    ]
    equal(walks, again)


@pytest.mark.parametrize("rate", [10.0, 30000 / 1001])
def test_videos_come_back_close(tmp_path: Path, rate: float) -> None:
    store = write_walks(tmp_path / "walks.zarr", rate=rate, smooth=True)
    options = ["format=lerobot", "video=true", "crf=4"]
    again = there_and_back(store, tmp_path / "set", options, FROM_LEROBOT)
    equal(store, again, frames=6)
    info = json.loads((tmp_path / "set/meta/info.json").read_text())
    assert info["features"]["observation.images.front"]["dtype"] == "video"
    assert open_store(again).attributes.control_rate == rate


@pytest.mark.parametrize("name", ["replay.zarr", "replay.zarr.zip"])
def test_a_replay_buffer_and_back_is_the_same_store(walks: Path, tmp_path: Path, name: str) -> None:
    equal(walks, there_and_back(walks, tmp_path / name, ["format=diffusion_policy"], FROM_REPLAY))


@pytest.mark.parametrize("name", ["replay.zarr", "replay.zarr.zip"])
def test_a_replay_buffer_is_the_same_in_place(walks: Path, tmp_path: Path, name: str) -> None:
    perform("export", [f"store={walks}", f"out={tmp_path / name}", "format=diffusion_policy"])
    store = open_store(walks)
    again = open_any(described(tmp_path / name, store.attributes, cameras={"front": "front"}))
    np.testing.assert_array_equal(again.observations(), store.observations())
    np.testing.assert_array_equal(again.actions(), store.actions())
    rows = np.arange(store.episode_ends[-1])
    np.testing.assert_array_equal(
        again.cameras["front"].read(rows), store.cameras["front"].read(rows)
    )
    assert [again.instruction(i) for i in range(4)] == [store.instruction(i) for i in range(4)]
    assert again.annotation is not None and store.annotation is not None
    np.testing.assert_array_equal(again.annotation.sigma_min, store.annotation.sigma_min)
    np.testing.assert_array_equal(again.annotation.sigma_max, store.annotation.sigma_max)
    assert again.annotation.fingerprint == store.annotation.fingerprint


def test_thresholds_beside_a_lerobot_set_annotate_what_comes_back(
    walks: Path, tmp_path: Path
) -> None:
    again = there_and_back(walks, tmp_path / "set", ["format=lerobot"], FROM_LEROBOT)
    sidecar = json.loads((tmp_path / "set/meta/ambient_policy.json").read_text())
    table = np.loadtxt(tmp_path / "set" / sidecar["annotation"]["folder"], delimiter=",")
    annotation = open_store(walks).annotation
    assert annotation is not None
    np.testing.assert_array_equal(table.T, [annotation.sigma_min, annotation.sigma_max])
    assert sidecar["annotation"]["fingerprint"] == annotation.fingerprint
    assert sidecar["observation_units"] == list(UNITS)
    assert (sidecar["task"], sidecar["source"]) == ("ambient_envs/Maze-v0", "gcs")
    annotate_store(again, annotation)  # what scripts/annotate.py table= does with those lines


def test_a_store_without_extras_has_none_beside_it(tmp_path: Path) -> None:
    store = write_walks(tmp_path / "walks.zarr", annotated=False)
    perform("export", [f"store={store}", f"out={tmp_path}/set", "format=lerobot"])
    assert json.loads((tmp_path / "set/meta/ambient_policy.json").read_text())["annotation"] is None
    assert not (tmp_path / "set/meta/ambient_policy_thresholds.csv").exists()
    perform("export", [f"store={store}", f"out={tmp_path}/replay.zarr", "format=diffusion_policy"])
    replay = described(tmp_path / "replay.zarr", open_store(store).attributes)
    assert open_any(replay).annotation is None


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("lerobot", ["observation.state", "observation.environment_state"]),
        ("diffusion_policy", ["agent_pos", "angle"]),
    ],
)
def test_columns_may_lie_under_several_keys(
    walks: Path, tmp_path: Path, kind: str, keys: list[str]
) -> None:
    groups = f"observations={{{keys[0]}:[x,y],{keys[1]}:[angle]}}"
    options = [f"format={kind}", groups, "cameras={front: img}"]
    back = {"lerobot": FROM_LEROBOT, "diffusion_policy": FROM_REPLAY}[kind]
    back = [o for o in back if not o.startswith(("recipe.state", "+recipe.cameras"))]
    back += [f"recipe.state=[{','.join(keys)}]", "+recipe.cameras.front=img"]
    again = there_and_back(walks, tmp_path / "out", options, back)
    equal(walks, again)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="no real files on this machine")
def test_the_real_push_t_goes_out_and_comes_back(tmp_path: Path) -> None:
    """206 episodes without their pictures; and the real LeRobot file says the same of them."""
    meaning = ["recipe.task=gym_pusht/PushT-v0", "recipe.source=human"]
    path = REAL / "pusht_human_zarr/pusht_cchi_v7_replay.zarr"
    command = [*FROM_REPLAY[:3], "recipe.control_rate=10"]
    store, again = tmp_path / "store.zarr", tmp_path / "again.zarr"
    perform("convert", [*command, *meaning, f"path={path}", f"out={store}"])
    perform("export", [f"store={store}", "format=lerobot", f"out={tmp_path}/set"])
    back = FROM_LEROBOT[:3]
    perform("convert", [*back, *meaning, f"path={tmp_path}/set", f"out={again}"])
    equal(store, again)
    ours, real = (
        json.loads((folder / "meta/stats.json").read_text())["action"]
        for folder in (tmp_path / "set", REAL / "lerobot_v30_pusht")
    )
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(ours[name], real[name], rtol=1e-6)


def export_and_die(command: list[str]) -> None:
    """An export that is killed when it reads episode 2."""
    episodes = Store.episodes

    def deadly(self: Store) -> Iterator[Episode]:
        for i, episode in enumerate(episodes(self)):
            if i == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield episode

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Store, "episodes", deadly)
        perform("export", command)


OUTS = [("lerobot", "set"), ("diffusion_policy", "r.zarr"), ("diffusion_policy", "r.zarr.zip")]


@pytest.mark.parametrize(("kind", "name"), few(reversed(OUTS), 1))
def test_a_kill_leaves_nothing_under_the_name(
    walks: Path, tmp_path: Path, kind: str, name: str
) -> None:
    command = [f"store={walks}", f"out={tmp_path}/out/{name}", f"format={kind}"]
    kill(export_and_die, command)
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == [f".{name}.lock", f".{name}.partial"]
    perform("export", command)
    assert [left.name for left in (tmp_path / "out").iterdir()] == [name]


@pytest.mark.parametrize(("kind", "name"), OUTS)
def test_a_damaged_store_is_told_and_nothing_written(
    walks: Path, tmp_path: Path, kind: str, name: str
) -> None:
    chunk = walks / "data/action/c/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-4])
    with pytest.raises(DataError, match="walks.zarr: data/action: episode 0: chunk file 'c/0/0'"):
        perform("export", [f"store={walks}", f"out={tmp_path}/out/{name}", f"format={kind}"])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("kind", "name"), OUTS)
def test_what_lies_there_stays(walks: Path, tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SettingsError, match=f"{name}: something lies here already"):
        perform("export", [f"store={walks}", f"out={tmp_path / name}", f"format={kind}"])
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["format=lerobt"], "unknown format 'lerobt'; known: diffusion_policy, lerobot"),
        (["format=null"], "no value for format; give one of diffusion_policy, lerobot"),
        (["run=runs/any"], "store = .*, run = runs/any: give the one"),
        (["store=null"], "store = None, run = None"),
        (["store=nowhere"], "nowhere: there is no such store"),
        (["license=mit"], "license: of no use to a store"),
        (["crf=4"], "crf: of videos only"),
        (["video=true", "crf=99"], "crf = 99: give 0"),
        (["file_megabytes=0"], "file_megabytes = 0 must be at least 1"),
        (["format=diffusion_policy", "video=true"], "video: format=diffusion_policy has no such"),
        (["cameras={top: img}"], "unknown camera 'top'; known: front"),
        (["cameras={front: action}"], "key 'action': give each column group and camera a key"),
        (["cameras={front: a/b}"], "key 'a/b'"),
        (["cameras={front: ..}"], r"key '\.\.'"),
        (["cameras={front: task_index}"], "key 'task_index'"),
        (["observations={state: [x, z]}"], "unknown observation column 'z'; known: angle, x, y"),
        (["observations={state: [x, y]}"], "give every column of the store once"),
        (["observations={state: [x, y, angle], more: []}"], "at least one under each key"),
        (["observations={state: [x, y, angle, x]}"], "give every column of the store once"),
    ],
)
def test_what_is_not_understood_is_refused(
    walks: Path, tmp_path: Path, changes: list[str], text: str
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(AmbientPolicyError, match=text):
        perform("export", [f"store={walks}", "format=lerobot", f"out={tmp_path}/out", *changes])
    assert sorted(tmp_path.iterdir()) == before


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    names = ("x",), ("m",)
    create_store(tmp_path / "empty.zarr", Attributes("push", "human", 10.0, *names, *names))
    with pytest.raises(DataError, match="empty.zarr: no episodes yet"):
        perform("export", [f"store={tmp_path}/empty.zarr", "format=lerobot", f"out={tmp_path}/out"])


def test_odd_frames_become_no_video(tmp_path: Path) -> None:
    store = write_walks(tmp_path / "walks.zarr", size=(15, 32))
    with pytest.raises(SettingsError, match="camera 'front': frames of 15 x 32 pixels"):
        perform("export", [f"store={store}", "format=lerobot", "video=true", f"out={tmp_path}/out"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("library", "options", "text"),
    [
        ("pyarrow", [], "format 'lerobot' needs the package 'pyarrow.*ambient-policy.lerobot.'"),
        ("av", ["video=true"], "video=true needs the package 'av'.*ambient-policy.video.'"),
    ],
)
def test_a_missing_library_is_named(
    walks: Path, monkeypatch: pytest.MonkeyPatch, library: str, options: list[str], text: str
) -> None:
    written = "ambient_datasets.formats"
    for name in [n for n in sys.modules if n.startswith((f"{written}.lerobot_", f"{library}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"{written}.parquet_write", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SettingsError, match=text):
        perform("export", [f"store={walks}", "format=lerobot", f"out={walks.parent}/out", *options])
    assert not (walks.parent / "out").exists()
