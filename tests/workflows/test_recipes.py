"""Recipes of configs/ on the real files they are for, and columns on the command line."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ambient_datasets.store import Store, open_store
from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError, SettingsError
from tests.datasets.stores import write_v2

REAL = Path(__file__).parents[3] / "shared/data"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="no real files on this machine")
LIFT = REAL / "robosuite_human_hdf5/v1.0/lift/panda/demo.hdf5"
PUSHT = REAL / "pusht_human_zarr/pusht_cchi_v7_replay.zarr"


def run(tmp_path: Path, path: Path, *overrides: str) -> Store:
    out = tmp_path / f"{len(list(tmp_path.iterdir()))}.zarr"
    perform("convert", [f"path={path}", f"out={out}", *overrides])
    return open_store(out)


def values(store: Store, name: str, kind: str = "observation") -> NDArray[np.float32]:
    names = getattr(store.attributes, f"{kind}_names")
    table = store.observations() if kind == "observation" else store.actions()
    return table[:, names.index(name)]


@needs_real
def test_lift_is_in_metres_and_radians(tmp_path: Path) -> None:
    store = run(tmp_path, LIFT, "recipe=robosuite_lift")
    assert (store.attributes.task, store.attributes.control_rate) == ("robosuite/Lift", 20.0)
    assert (len(store), len(store.actions()), store.instructions) == (1, 412, ("lift the cube",))
    quaternion = np.stack([values(store, f"cube_q{axis}") for axis in "wxyz"])
    np.testing.assert_allclose((quaternion**2).sum(axis=0), 1, rtol=1e-3)
    height = values(store, "cube_z")
    assert 0.8 < height[0] < 0.85 and height[-1] - height[0] > 0.05  # on the table, then lifted
    opened, told = values(store, "gripper"), values(store, "gripper", "action")
    assert set(told) == {0.0, 1.0} and told[0] == 1 and told[-1] == 0
    assert opened[told == 1].mean() > 0.9 and opened[-1] < 0.6  # the cube is between the fingers
    moves = store.actions()[:, :6]
    assert (np.abs(moves) <= [0.05] * 3 + [0.5] * 3).all() and (moves != 0).any(axis=0).all()


@pytest.mark.slow
@needs_real
@pytest.mark.parametrize("rate", [5, 10, 30])
def test_lift_at_another_rate_moves_as_far(tmp_path: Path, rate: float) -> None:
    given = run(tmp_path, LIFT, "recipe=robosuite_lift")
    other = run(tmp_path, LIFT, "recipe=robosuite_lift", f"recipe.resample.rate={rate}")
    assert (other.attributes.control_rate, len(other.actions())) == (rate, 412 * rate // 20)
    totals = [store.actions()[:, :6].sum(axis=0) for store in (given, other)]
    np.testing.assert_allclose(totals[0], totals[1], atol=1e-4)
    assert set(values(other, "gripper", "action")) == {0.0, 1.0}
    at = np.arange(0, len(other.actions()), 3 if rate == 30 else 1)  # times that both have
    np.testing.assert_allclose(other.observations()[at], given.observations()[at * 20 // rate])


@needs_real
def test_push_t_is_the_file_with_names(tmp_path: Path) -> None:
    store = run(tmp_path, PUSHT, "recipe=pusht", "max_episodes=4")
    attributes = store.attributes
    assert (attributes.task, attributes.control_rate) == ("gym_pusht/PushT-v0", 10.0)
    assert attributes.observation_names == (
        "agent_x",
        "agent_y",
        "block_x",
        "block_y",
        "block_angle",
    )
    assert attributes.action_units == ("px", "px")
    plain = [
        "recipe.format=diffusion_policy",
        "recipe.state=[state]",
        "recipe.action=[action]",
        "recipe.control_rate=10",
    ]
    raw = run(tmp_path, PUSHT, *plain, "recipe.task=t", "recipe.source=s", "max_episodes=4")
    np.testing.assert_array_equal(store.observations(), raw.observations())
    np.testing.assert_array_equal(store.actions(), raw.actions())


@pytest.mark.slow
@needs_real
def test_push_t_at_twice_the_rate_has_every_old_row(tmp_path: Path) -> None:
    given = run(tmp_path, PUSHT, "recipe=pusht", "max_episodes=20")
    pixels = ["+recipe.cameras.pixels=img", "recipe.camera_size=[24,24]"]
    twice = run(
        tmp_path, PUSHT, "recipe=pusht", "max_episodes=20", "recipe.resample.rate=20", *pixels
    )
    np.testing.assert_array_equal(twice.observations()[::2], given.observations())
    np.testing.assert_array_equal(twice.episode_ends, 2 * given.episode_ends)
    angle = values(twice, "block_angle")
    assert angle.min() >= 0 and angle.max() < 2 * np.pi + 1e-6
    frames = twice.cameras["pixels"].read(np.arange(40))
    assert frames.shape == (40, 24, 24, 3)
    np.testing.assert_array_equal(frames[::2], frames[1::2])


@pytest.fixture
def replay(tmp_path: Path) -> Path:
    rows = np.linspace(1, 2, 30, dtype=np.float32)[:, None]
    tables = {"data/state": rows * [1.0, 2.0], "data/action": -rows}
    frames = np.full((30, 6, 8, 3), 7, np.uint8)
    ends = np.array([10, 30])
    write_v2(tmp_path / "in.zarr", {**tables, "data/img": frames, "meta/episode_ends": ends})
    return tmp_path / "in.zarr"


ASK = [
    "recipe.format=diffusion_policy",
    "recipe.state=[state]",
    "recipe.control_rate=10",
    "recipe.task=t",
    "recipe.source=s",
]


def test_a_camera_needs_no_plus(replay: Path, tmp_path: Path) -> None:
    wanted = [
        "recipe.action=[action]",
        "recipe.cameras.top=img",
        "+recipe.cameras.front=img",
        "recipe.camera_size=[3,4]",
    ]
    store = run(tmp_path, replay, *ASK, *wanted)
    assert {name: frames.shape for name, frames in store.cameras.items()} == {
        "front": (3, 4, 3),
        "top": (3, 4, 3),
    }


def test_columns_on_the_command_line(replay: Path, tmp_path: Path) -> None:
    store = run(
        tmp_path,
        replay,
        *ASK,
        "recipe.action_from='state[t+1]'",
        "recipe.action_columns=[{of: state_1, name: dy, unit: m, scale: 0.5, minus: state_0}]",
        "recipe.resample={rate: 5, observations: linear, actions: sum}",
        "recipe.instruction=push it",
    )
    np.testing.assert_array_equal(store.episode_lengths, [5, 10])
    np.testing.assert_allclose(store.actions()[:4, 0], 2 / 29, atol=1e-6)
    assert store.attributes.action_units == ("m",) and store.instructions == ("push it",)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["recipe=robosuite_lft"], "unknown recipe 'robosuite_lft'; known: .*'robosuite_lift'"),
        (["recipe=nope"], r"pusht, .*, umi, openx/\* \(\d+; ambient-policy configs recipe\)"),
        (["recipe=openx/vola"], "openx/bridge, .*Did you mean 'openx/viola'"),
        (["recipe.format=???"], r"recipe.format \(diffusion_policy, lerobot, rlds or robomimic\)"),
        (
            ["recipe.action_columns=[{off: a}]"],
            "unknown setting 'off'.*Did you mean 'of'",
        ),
        (["recipe.action_columns=[{name: a}]"], r"no value for recipe.action_columns\[0\].of"),
        (["recipe.action_columns=[{of: action_0, scale: 0}]"], "a scale that is not 0"),
        (["recipe.action_columns=[{of: actin_0}]"], "unknown column .* Did you mean 'action_0'"),
        (
            ["recipe.resample.rte=5"],
            "unknown setting 'recipe.resample.rte'.*Did you mean 'recipe.resample.rate'",
        ),
        (
            ["recipe.resample.rate=5"],
            "nobody says how observation columns state_0, state_1 go there",
        ),
        (["recipe.camera.top=img"], "unknown setting 'recipe.camera.top'"),
    ],
)
def test_what_is_not_understood_is_refused(
    replay: Path, tmp_path: Path, changes: list[str], text: str
) -> None:
    with pytest.raises(AmbientPolicyError, match=text):
        run(tmp_path, replay, *ASK, "recipe.action=[action]", *changes)
    assert [path.name for path in tmp_path.iterdir()] == ["in.zarr"]


@needs_real
def test_a_recipe_for_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AmbientPolicyError, match="demo.hdf5"):
        run(tmp_path, LIFT, "recipe=pusht")
    with pytest.raises(
        SettingsError, match="unknown column of the source 'joint_0'; known: states_1"
    ):
        run(tmp_path, LIFT, "recipe=robosuite_lift", "recipe.observation_names=null")
