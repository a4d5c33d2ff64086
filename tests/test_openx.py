"""Field maps of Open-X data sets: well formed, and each converts its set's published features."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ambient_datasets.conversion.columns import Column
from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.conversion.resample import METHODS
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.demonstrations import Request
from ambient_datasets.formats.rlds import open_rlds
from ambient_datasets.store import open_store
from ambient_policy.cli import perform
from ambient_policy.workflows.settings import compose
from tests.openx_sets import COMMANDS, PUBLISHED, STEPS, WORDS, published, write_set
from tests.samples import few

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(path.stem for path in (ROOT / "configs/recipe/openx").glob("*.yaml"))
PAGE = (ROOT / "docs/openx.md").read_text()
BRIDGE = ROOT.parent / "shared/data/rlds_bridge_octo/bridge_dataset/1.0.0"
UNITS = {"m", "rad", "1"}

# how the page calls columns that come together
GROUPS = {
    "position": "eef_x eef_y eef_z",
    "angles": "eef_roll eef_pitch eef_yaw",
    "quaternion": "eef_qx eef_qy eef_qz eef_qw",
    "rotation vector": "eef_rx eef_ry eef_rz",
    "six joints": "joint_0 joint_1 joint_2 joint_3 joint_4 joint_5",
    "seven joints": "joint_0 joint_1 joint_2 joint_3 joint_4 joint_5 joint_6",
    "increments of position": "eef_dx eef_dy eef_dz",
    "increments of angles": "eef_droll eef_dpitch eef_dyaw",
    "increments of rotation vector": "eef_drx eef_dry eef_drz",
    "increments of joints": "joint_d0 joint_d1 joint_d2 joint_d3 joint_d4 joint_d5 joint_d6",
    "commands": "command_dx command_dy command_dz command_droll command_dpitch command_dyaw",
}


@cache
def settings(name: str) -> ConvertSettings:
    composed: ConvertSettings = compose("convert", [f"recipe=openx/{name}", "path=x", "out=y"])
    return composed


def recipe(name: str) -> Recipe:
    return settings(name).recipe


def split(column: Column) -> tuple[str, int]:
    """The key that a column is of, and its place among the key's numbers."""
    key, _, place = column.of.rpartition("_")
    return key, int(place)


def test_there_are_maps_of_the_sets_whose_features_are_known() -> None:
    assert len(NAMES) >= 16 and sorted(PUBLISHED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_well_formed(name: str) -> None:
    asked = recipe(name)
    assert recipe(name).format == "rlds"
    assert (asked.task, asked.source) == (f"openx/{name}", name)
    assert asked.control_rate is not None and 1 <= asked.control_rate <= 50
    assert asked.cameras and asked.resample.rate is None
    for columns in (asked.observation_columns, asked.action_columns):
        names = [column.name for column in columns]
        assert columns and len(set(names)) == len(names)
        for column in columns:
            assert column.unit in UNITS and column.resample in METHODS
            assert (column.gripper is not None) == (column.name == "gripper")


@pytest.mark.parametrize("name", NAMES)
def test_a_map_asks_for_what_its_set_has(name: str) -> None:
    asked, known = recipe(name), published(name)
    for key in asked.cameras.values():
        assert known[key.removeprefix("steps/")][0] == "image"
    for keys, columns in (
        (asked.state, asked.observation_columns),
        (asked.action, asked.action_columns),
    ):
        assert {split(column)[0] for column in columns} == set(keys)  # none is read in vain
        for key, place in map(split, columns):
            _, shape = known[key.removeprefix("steps/")]
            assert 0 <= place < int(np.prod(shape, dtype=int))


@pytest.mark.parametrize("name", NAMES)
def test_increments_and_targets_go_to_another_rate_by_what_they_are(name: str) -> None:
    asked = recipe(name)
    for column in asked.observation_columns:
        assert column.resample == read(column)
    told = [column for column in asked.action_columns if not is_increment(column)]
    targets = any(column.name != "gripper" for column in told)  # with a gripper's opening, or alone
    for column in asked.action_columns:
        if is_increment(column):
            assert column.resample == "sum"
        elif targets:
            way = {"linear": "target", "angle": "target_angle", "hold": "target_hold"}
            assert column.resample == way[read(column)]
        else:
            assert column.resample == "hold"


def is_increment(column: Column) -> bool:
    return re.match(r"(eef|command)_d|joint_d", column.name or "") is not None


def read(column: Column) -> str:
    """The method that reads such a number at a moment."""
    if column.name in ("eef_roll", "eef_pitch", "eef_yaw"):
        return "angle"
    return "hold" if re.match(r"gripper|eef_q|eef_r[xyz]", column.name or "") else "linear"


def test_the_sets_of_targets_are_those_that_the_page_names() -> None:
    ways = {name: {c.resample for c in recipe(name).action_columns} for name in NAMES}
    assert {name for name, found in ways.items() if "target" in found} == {
        "droid",
        "iamlab_cmu_pickup_insert_converted_externally_to_rlds",
    }


def test_a_name_means_one_unit_in_all_maps() -> None:
    units: dict[str, set[str | None]] = {}
    for name in NAMES:
        for column in (*recipe(name).observation_columns, *recipe(name).action_columns):
            units.setdefault(column.name or "", set()).add(column.unit)
    assert {name for name, found in units.items() if len(found) > 1} == set()


def raw(lists: dict[str, Any], column: Column) -> NDArray[np.float64]:
    """(T,) of the file."""
    key, place = split(column)
    return np.reshape(lists[key], (STEPS, -1))[:, place].astype(np.float64)


def expected(lists: dict[str, Any], column: Column) -> NDArray[np.float32]:
    """(T,) as the map says."""
    values = raw(lists, column)
    if column.gripper is None:
        values = values * column.scale + column.offset
        return ((values + np.pi) % (2 * np.pi) - np.pi if column.wrap else values).astype("f4")
    if column.gripper.relative:
        assert list(values) == COMMANDS
        return np.array([1, 0, 0, 1], np.float32)  # open until told to close
    span = column.gripper.open - column.gripper.closed
    return ((values - column.gripper.closed) / span).astype(np.float32)


@pytest.mark.parametrize("name", few(NAMES, 3))
def test_a_set_of_the_published_features_converts(name: str, tmp_path: Path) -> None:
    source, out = tmp_path / name / "0.1.0", tmp_path / "out.zarr"
    episodes, asked = write_set(source, name), recipe(name)
    perform("convert", [f"recipe=openx/{name}", f"path={source}", f"out={out}"])
    store = open_store(out)
    attributes = store.attributes
    assert attributes.observation_names == tuple(c.name for c in asked.observation_columns)
    assert attributes.action_names == tuple(c.name for c in asked.action_columns)
    assert attributes.action_units == tuple(c.unit for c in asked.action_columns)
    assert attributes.control_rate == asked.control_rate
    assert list(store.episode_ends) == [STEPS, 2 * STEPS]
    assert [store.instruction(i) for i in range(2)] == [WORDS] * 2
    for found, columns in (
        (store.observations(), asked.observation_columns),
        (store.actions(), asked.action_columns),
    ):
        wanted = [np.concatenate([expected(e, c) for e in episodes]) for c in columns]
        np.testing.assert_allclose(np.asarray(found), np.stack(wanted, 1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", few(NAMES, 2))
def test_a_rate_is_all_that_another_rate_needs(name: str, tmp_path: Path) -> None:
    source, out = tmp_path / name / "0.1.0", tmp_path / "out.zarr"
    episodes, asked = write_set(source, name, episodes=1), recipe(name)
    rate = (asked.control_rate or 0) / 2
    perform(
        "convert",
        [f"recipe=openx/{name}", f"path={source}", f"out={out}", f"recipe.resample.rate={rate}"],
    )
    store = open_store(out)
    assert store.attributes.control_rate == rate and list(store.episode_ends) == [STEPS // 2]
    for j, column in enumerate(asked.action_columns):
        if column.resample == "sum":
            pairs = expected(episodes[0], column).astype(np.float64).reshape(-1, 2).sum(1)
            np.testing.assert_allclose(store.actions()[:, j], pairs, rtol=1e-5, atol=1e-5)
        elif column.resample != "hold":  # a new row leads where the second of its two did
            second = expected(episodes[0], column)[1::2]
            np.testing.assert_allclose(store.actions()[:, j], second, rtol=1e-5, atol=1e-5)


def test_a_map_can_be_said_on_the_command_line(tmp_path: Path) -> None:
    source = tmp_path / "bridge_dataset/1.0.0"
    write_set(source, "bridge_dataset")
    state, action = "steps/observation/state", "steps/action"
    places = [f"path={source}", "recipe.task=mine", "recipe.source=me", "recipe.control_rate=5"]
    keys = ["recipe.format=rlds", f"recipe.state=[{state}]", f"recipe.action=[{action}]"]
    gripper = 'unit: "1", gripper: {open: 1, closed: 0}'
    columns = [
        f"recipe.observation_columns=[{{of: {state}_2, name: eef_z, unit: m}}]",
        f"recipe.action_columns=[{{of: {action}_2, name: eef_dz, unit: m}}, "
        f"{{of: {action}_6, name: gripper, {gripper}}}]",
    ]
    perform("convert", [*keys, *places, f"out={tmp_path / 'mine.zarr'}", *columns])
    perform(
        "convert",
        ["recipe=openx/bridge_dataset", f"path={source}", f"out={tmp_path / 'ours.zarr'}"],
    )
    mine, ours = open_store(tmp_path / "mine.zarr"), open_store(tmp_path / "ours.zarr")
    assert mine.attributes.action_names == ("eef_dz", "gripper")
    np.testing.assert_array_equal(mine.observations(), ours.observations()[:, [2]])
    np.testing.assert_array_equal(mine.actions(), ours.actions()[:, [2, 6]])


def test_a_camera_can_be_left_out(tmp_path: Path) -> None:
    write_set(tmp_path / "viola/0.1.0", "viola", episodes=1)
    out = tmp_path / "out.zarr"
    perform(
        "convert",
        [
            "recipe=openx/viola",
            f"path={tmp_path / 'viola/0.1.0'}",
            f"out={out}",
            "~recipe.cameras.wrist",
        ],
    )
    assert list(open_store(out).cameras) == ["front"]


@pytest.mark.skipif(not BRIDGE.exists(), reason="needs the Bridge slice of ../shared")
def test_the_real_bridge_slice_converts(tmp_path: Path) -> None:
    out = tmp_path / "bridge.zarr"
    perform("convert", ["recipe=openx/bridge_dataset", f"path={BRIDGE}", f"out={out}"])
    keys = ["steps/observation/state"], ["steps/action"], {"front": "steps/observation/image_0"}
    request = Request("rlds", *keys, control_rate=5.0)
    slice_, store = open_rlds(BRIDGE, request), open_store(out)
    episodes = [slice_.episode(i) for i in range(len(slice_))]
    assert len(store.episode_ends) == len(episodes) == 25
    # the map leaves these numbers what they are: metres, radians, 1 open and 0 closed
    for found, kind in ((store.observations(), "observations"), (store.actions(), "actions")):
        wanted = np.concatenate([getattr(episode, kind) for episode in episodes])
        np.testing.assert_array_equal(found, wanted)
    for i in (0, 24):
        assert store.instruction(i) == episodes[i].instruction


def together(columns: list[Column]) -> str:
    """The columns' names, those of a group by its name."""
    left = [column.name or "" for column in columns]
    for word, names in sorted(GROUPS.items(), key=lambda item: -len(item[1].split())):
        if set(names.split()) <= set(left):
            at = min(left.index(name) for name in names.split())
            left[at] = word
            left = [name for name in left if name not in names.split()]
    return ", ".join(name if name in (*GROUPS, "gripper") else f"`{name}`" for name in left)


def convention(columns: list[Column]) -> str:
    """What the source's gripper column says when open and closed."""
    for column in columns:
        if column.gripper is not None:
            values = f"{column.gripper.open:g} / {column.gripper.closed:g}"
            return f"{values}, commands" if column.gripper.relative else values
    return "none"


def rows(text: str) -> list[list[str]]:
    """Cells of every table row."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_says_what_the_files_say() -> None:
    said = {row[0].strip("`"): row for row in rows(PAGE) if row[0].strip("`") in NAMES}
    assert sorted(said) == NAMES
    for name, row in said.items():
        asked = recipe(name)
        assert row[2] == f"{asked.control_rate:g}", name
        assert row[3] == together(asked.observation_columns), name
        assert row[4] == together(asked.action_columns), name
        assert row[5] == convention(asked.observation_columns), name
        assert row[6] == convention(asked.action_columns), name


def test_the_page_says_what_is_in_a_group() -> None:
    said = {row[0]: row[1].replace("`", "").replace(",", "") for row in rows(PAGE)}
    for word, names in GROUPS.items():
        assert said[word] == names


def test_every_file_says_what_was_read() -> None:
    for name in NAMES:
        comment = (ROOT / f"configs/recipe/openx/{name}.yaml").read_text().split("format: rlds")[0]
        assert "# Read: " in comment
