"""Recipes: the steps of a conversion in their order, remembered, refused where they do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.conversion.columns import Column
from ambient_datasets.conversion.convert import convert
from ambient_datasets.conversion.gripper import Gripper
from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.conversion.resample import Resample
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.store import Store, open_store
from ambient_policy.errors import AmbientPolicyError, DataError, SettingsError
from tests.datasets.stores import write_v2
from tests.datasets.test_store import crash_everywhere

LENGTHS = [4, 6, 2]
STEPS: dict[str, Any] = {
    "action_from": "state[t+1]",
    "observation_columns": (Column("state_1", "height", "m", 0.5),),
    "action_columns": (
        Column("state_0", "dx", "m", minus="state_0"),
        Column("state_1", "gripper", "1", gripper=Gripper(1.0, 0.0), resample="hold"),
    ),
    "resample": Resample(20.0, "linear", "sum"),
    "camera_size": (2, 2),
    "instruction": "push",
}


def ask(**changes: Any) -> Recipe:
    values: dict[str, Any] = {"state": ["state"], "control_rate": 10.0, "cameras": {"top": "img"}}
    labels = {"format": "diffusion_policy", "task": "push", "source": "human"}
    return Recipe(**{**labels, **values, **changes})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = np.arange(sum(LENGTHS), dtype=np.float32)
    frames = np.zeros((len(rows), 4, 4, 3), np.uint8) + rows.astype(np.uint8)[:, None, None, None]
    tables = {
        "data/state": np.stack([rows, rows % 2], axis=1),
        "data/action": -rows[:, None],
        "data/reward": rows[:, None],
        "data/img": frames,
        "meta/episode_ends": np.cumsum(LENGTHS),
    }
    write_v2(tmp_path / "source.zarr", tables)
    return tmp_path / "source.zarr"


def run(source: Path, recipe: Recipe, **changes: Any) -> Store:
    out = source.parent / "out.zarr"
    report = convert(ConvertSettings(str(source), str(out), recipe, **changes))
    store = open_store(out)
    assert (report.episodes, report.rows) == (len(store), len(store.actions()))
    return store


def test_every_step_happens_in_its_order(source: Path) -> None:
    store = run(source, ask(**STEPS))
    np.testing.assert_array_equal(store.episode_lengths, [6, 10, 2])  # 2 x (length - 1)
    assert store.attributes.control_rate == 20.0
    assert store.attributes.observation_names == ("height",)
    assert store.attributes.action_names == ("dx", "gripper")
    assert store.attributes.action_units == ("m", "1")
    np.testing.assert_allclose(store.observations()[:6, 0], [0, 0.25, 0.5, 0.25, 0, 0])
    np.testing.assert_allclose(store.actions()[:, 0], 0.5)  # a step of 1 in two halves
    np.testing.assert_allclose(store.actions()[:6, 1], [1, 1, 0, 0, 1, 1])
    frames = store.cameras["top"].read(np.arange(6))
    assert frames.shape == (6, 2, 2, 3)
    np.testing.assert_array_equal(frames[:, 0, 0, 0], [0, 0, 1, 1, 2, 2])
    assert store.instruction(0) == "push"


@pytest.mark.parametrize("rate", [15.0, 20.0])
def test_a_causal_state_is_that_of_its_frame(source: Path, rate: float) -> None:
    plain = Resample(rate, "linear", "sum", causal=True)
    column = Column("state_0", resample="linear")
    store = run(source, ask(action=["action"], observation_columns=[column], resample=plain))
    shown = store.cameras["top"].read(np.arange(len(store.actions())))[:, 0, 0, 0]
    np.testing.assert_array_equal(store.observations()[:, 0], shown)


def test_a_request_alone_is_a_recipe_without_steps(source: Path) -> None:
    store = run(source, ask(action=["action"]))
    np.testing.assert_array_equal(store.episode_lengths, LENGTHS)
    np.testing.assert_array_equal(store.actions()[:, 0], -np.arange(12))
    converted = store.attributes.extra["converted"]
    assert isinstance(converted, dict) and "resample" not in converted


@pytest.mark.slow
def test_a_stop_at_any_write_loses_nothing(source: Path) -> None:
    whole = run(source, ask(**STEPS)).actions()
    (source.parent / "out.zarr").rename(source.parent / "whole.zarr")

    def check(done: bool) -> None:
        if done or (source.parent / "out.zarr").exists():
            actions = open_store(source.parent / "out.zarr").actions()
            np.testing.assert_array_equal(actions, whole[: len(actions)])
            assert len(actions) in (0, 6, 16, 18) and (not done or len(actions) == 18)

    def fill() -> None:
        run(source, ask(**STEPS))

    crash_everywhere(fill, check)


@pytest.mark.parametrize(
    "changes",
    [
        {"action_from": "state[t+2]"},
        {"observation_columns": (Column("state_1", "height", "m", 0.25),)},
        {"action_columns": STEPS["action_columns"][:1]},
        {"resample": Resample(20.0, "hold", "sum")},
        {"resample": Resample(10.0, "linear", "sum")},
        {"camera_size": None},
        {"instruction": "pull"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_recipe_is_not_continued(source: Path, changes: dict[str, Any]) -> None:
    run(source, ask(**STEPS), max_episodes=1)
    run(source, ask(**STEPS), max_episodes=2)
    name = next(iter(changes))
    with pytest.raises(DataError, match=f"was converted from .*{name}.* was asked for. Ask for"):
        run(source, ask(**{**STEPS, **changes}))
    assert len(open_store(source.parent / "out.zarr")) == 2


def test_what_was_left_is_told(source: Path) -> None:
    out = source.parent / "out.zarr"
    report = convert(ConvertSettings(str(source), str(out), ask(**STEPS)))
    assert report.unused == ("action", "reward")
    columns = (Column("state_1"),)
    recipe = ask(action=["action"], observation_columns=columns, cameras={})
    other = convert(ConvertSettings(str(source), str(out.with_name("b")), recipe))
    assert other.unused == ("img", "reward", "state_0")
    assert str(other).endswith("left in the source: img, reward, state_0")


def test_an_episode_too_short_to_relabel_is_named(source: Path) -> None:
    recipe = ask(action_from="state[t+2]", cameras={})
    text = r"source.zarr: episode 2: 2 rows, .* 2 rows later.*stored in .*add 2 to leave_out"
    with pytest.raises(DataError, match=text):
        run(source, recipe)
    store = run(source, recipe, leave_out=[2])
    np.testing.assert_array_equal(store.episode_lengths, [2, 4])
    np.testing.assert_array_equal(store.actions()[:, 0], [2, 3, 6, 7, 8, 9])


def test_an_instruction_of_its_own_is_kept(source: Path) -> None:
    assert run(source, ask(action=["action"], instruction="push")).instructions == ("push",)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"action": ["action"], "action_from": "state[t+1]"}, "action comes from one of them"),
        ({"action_from": "state"}, "action_from = 'state': give a key"),
        ({}, r"action = .*: give the list of keys whose columns make up the action"),
        ({"action": ["action"], "instruction": " "}, "instruction is empty"),
        ({"action": ["action"], "camera_size": [0, 2]}, r"camera_size = \[0, 2\]: give"),
        ({"action": ["action"], "camera_size": [2, 2], "cameras": {}}, "but no camera is asked"),
        (
            {"action": ["action"], "observation_columns": [Column("state_0", resample="sum")]},
            "observation column 'state_0': resample = 'sum': an observation would show",
        ),
    ],
)
def test_a_recipe_without_sense_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(AmbientPolicyError, match=text):
        ask(**changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"observation_columns": [Column("stat_0")]},
            r"source.zarr: observation_columns\[0\]: of: unknown column of the source 'stat_0'; "
            "known: state_0, state_1. Did you mean 'state_0'",
        ),
        ({"resample": Resample(20.0, "linear")}, "nobody says how action columns action_0 go"),
        ({"resample": Resample(20.0, None, "sum")}, "how observation columns state_0, state_1"),
        ({"resample": Resample(1e6, "hold", "hold")}, "resample.rate = 1000000.0 Hz, but the"),
    ],
)
def test_a_recipe_that_does_not_fit_writes_nothing(
    source: Path, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(SettingsError, match=text):
        run(source, ask(action=["action"], **changes))
    assert not (source.parent / "out.zarr").exists()
