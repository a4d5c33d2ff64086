"""From the command line: real files of four formats into stores that train; refusals."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.store import Store, open_store
from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError, SettingsError
from tests.datasets.stores import write_v2
from tests.workflows.tiny import TINY

REAL = Path(__file__).parents[3] / "shared/data"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="no real files on this machine")
REPLAY = [
    "recipe.format=diffusion_policy",
    "recipe.state=[state]",
    "recipe.action=[action]",
    "recipe.control_rate=10",
]
FILES = {
    "pusht_human_zarr/pusht_cchi_v7_replay.zarr": [*REPLAY, "+recipe.cameras.pixels=img"],
    "lerobot_v30_pusht": [
        "recipe.format=lerobot",
        "recipe.state=[observation.state]",
        "recipe.action=[action]",
    ],
    "rlds_bridge_octo/bridge_dataset/1.0.0": [
        "recipe.format=rlds",
        "recipe.state=[steps/observation/state]",
        "recipe.action=[steps/action]",
        "+recipe.cameras.front=steps/observation/image_0",
        "recipe.control_rate=5",
    ],
    "robosuite_human_hdf5/v1.0/lift/panda/demo.hdf5": [
        "recipe.format=robomimic",
        'recipe.state=["states[1:10]"]',
        "recipe.action=[actions]",
        "recipe.control_rate=20",
    ],
}


@pytest.fixture
def replay(tmp_path: Path) -> list[str]:
    """The command that converts a small replay buffer of 3 episodes."""
    rows = np.linspace(1, 2, 60, dtype=np.float32)[:, None]
    ends = np.array([20, 40, 60])
    write_v2(
        tmp_path / "replay.zarr",
        {"data/state": rows * [1.0, 2.0], "data/action": -rows, "meta/episode_ends": ends},
    )
    places = [f"path={tmp_path}/replay.zarr", f"out={tmp_path}/out.zarr"]
    return [*REPLAY, *places, "recipe.task=push", "recipe.source=human"]


def train_on(out: Path, root: Path) -> list[float]:
    """Losses of a short training on a converted store of the task "real"."""
    perform(
        "train",
        [
            "experiment=converted",
            "task.id=real",
            "label=real",
            f"sources.demonstrations.path={out}",
            f"root={root}/runs",
            "network.encoders.state.layers=[16]",
            *TINY,
        ],
    )
    rows = (root / "runs/real/seed-0/log.jsonl").read_text().splitlines()
    return [json.loads(row)["loss"] for row in rows]


@needs_real
@pytest.mark.parametrize(
    "file", [pytest.param(f, marks=[pytest.mark.slow] * ("pusht" in f)) for f in FILES]
)
def test_a_real_file_becomes_a_store_that_trains(file: str, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.zarr"
    perform(
        "convert",
        [
            *FILES[file],
            f"path={REAL / file}",
            f"out={out}",
            "recipe.task=real",
            "recipe.source=human",
        ],
    )
    store = open_store(out)
    report = capsys.readouterr().out
    assert f"episodes: {len(store)} of {len(store)}, " in report
    assert f"rows: {len(store.actions())}, " in report
    episodes, rows = {
        "diffusion_policy": (206, 25650),
        "lerobot": (206, 25650),
        "rlds": (25, 250),
        "robomimic": (1, 412),
    }[FILES[file][0].removeprefix("recipe.format=")]
    assert (len(store), len(store.actions())) == (episodes, rows)
    losses = train_on(out, tmp_path)
    assert len(losses) == 4 and np.isfinite(losses).all()


@needs_real
def test_language_and_pictures_of_the_bridge_slice_are_kept(tmp_path: Path) -> None:
    file = "rlds_bridge_octo/bridge_dataset/1.0.0"
    out = tmp_path / "out.zarr"
    perform(
        "convert",
        [
            *FILES[file],
            f"path={REAL / file}",
            f"out={out}",
            "recipe.task=real",
            "recipe.source=human",
        ],
    )
    store = open_store(out)
    assert len(store.instructions) > 1 and all(store.instructions)
    frames = store.cameras["front"].read(np.arange(20))
    assert frames.shape == (20, 64, 64, 3) and frames.std() > 10


@pytest.mark.slow
@needs_real
def test_push_t_is_the_same_in_two_formats(tmp_path: Path) -> None:
    stores: list[Store] = []
    for name in ("pusht_human_zarr/pusht_cchi_v7_replay.zarr", "lerobot_v30_pusht"):
        out = tmp_path / f"{len(stores)}.zarr"
        wanted = [o for o in FILES[name] if not o.startswith("+recipe.cameras")]
        perform(
            "convert",
            [
                *wanted,
                f"path={REAL / name}",
                f"out={out}",
                "recipe.task=real",
                "recipe.source=human",
            ],
        )
        stores.append(open_store(out))
    np.testing.assert_array_equal(stores[0].observations()[:, :2], stores[1].observations())
    np.testing.assert_array_equal(stores[0].actions(), stores[1].actions())
    np.testing.assert_array_equal(stores[0].episode_ends, stores[1].episode_ends)


def test_a_conversion_goes_on_where_it_stood(replay: list[str], tmp_path: Path) -> None:
    perform("convert", [*replay, "max_episodes=1"])
    assert len(open_store(tmp_path / "out.zarr")) == 1
    perform("convert", replay)
    assert len(open_store(tmp_path / "out.zarr")) == 3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            ["recipe.format=lerobt"],
            "unknown format 'lerobt'; known: diffusion_policy, lerobot, rlds",
        ),
        (["recipe.stat=[state]"], "unknown setting 'recipe.stat'.*Did you mean 'recipe.state'"),
        (["task=x"], "No match in the defaults list.*Did you mean 'recipe.task'"),
        (["recipe.state=[]"], r"state = \[\]: give the list of keys"),
        (["max_episodes=0"], "max_episodes = 0"),
        (["path=nowhere"], "nowhere: there is no such store"),
        (["path=nowhere", "recipe.format=lerobot"], "nowhere"),
        (["path=nowhere", "recipe.format=rlds"], "nowhere"),
        (["path=nowhere", "recipe.format=robomimic"], "nowhere"),
    ],
)
def test_what_is_not_understood_is_refused(
    replay: list[str], tmp_path: Path, changes: list[str], text: str
) -> None:
    with pytest.raises(AmbientPolicyError, match=text):
        perform("convert", [*replay, *changes])
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(("kind", "library"), [("lerobot", "pyarrow"), ("robomimic", "h5py")])
def test_a_missing_library_is_named(
    replay: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, library: str
) -> None:
    readers = f"ambient_datasets.formats.{kind}"
    for name in [name for name in sys.modules if name.startswith((readers, f"{library}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    text = f"format '{kind}' needs the package '{library}.*pip install 'ambient-policy.{kind}.'"
    with pytest.raises(SettingsError, match=text):
        perform("convert", [*replay, f"recipe.format={kind}"])
