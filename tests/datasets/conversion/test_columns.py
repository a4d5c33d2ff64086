"""Columns: units and their inverse, absolute and relative, names of what is not there."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ambient_datasets.conversion.columns import Column, map_columns, methods, unused
from ambient_datasets.conversion.gripper import Gripper
from ambient_datasets.demonstrations import Demonstrations
from ambient_policy.errors import AmbientPolicyError, DataError, SettingsError
from tests.datasets.listed import Listed, listed

FILE = Path("some.file")
SEEN = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
ACTED = np.array([[0.5, -1.0], [0.25, 1.0], [-0.125, 0.0]])


def actions(source: Demonstrations, *columns: Column) -> NDArray[np.float32]:
    return map_columns(FILE, source, actions=columns).episode(0).actions


def test_without_columns_everything_stays() -> None:
    source = listed(SEEN, ACTED)
    same = map_columns(FILE, source)
    assert same.attributes == source.attributes and len(same) == 1 and same.keys == source.keys
    np.testing.assert_array_equal(same.episode(0).observations, SEEN)
    np.testing.assert_array_equal(same.episode(0).actions, ACTED)


def test_columns_are_chosen_named_and_ordered() -> None:
    columns = [Column("state_1", "height", "m"), Column("state_0"), Column("state_1", "again")]
    chosen = map_columns(FILE, listed(SEEN, ACTED), columns)
    assert chosen.attributes.observation_names == ("height", "state_0", "again")
    assert chosen.attributes.observation_units == ("m", "unknown", "unknown")
    assert chosen.attributes.action_names == ("action_0", "action_1")
    np.testing.assert_array_equal(chosen.episode(0).observations, SEEN[:, [1, 0, 1]])


def test_a_unit_is_a_scale_and_an_offset() -> None:
    kelvin = Column("state_0", "heat", "K", offset=273.15)
    metres = Column("state_1", "height", "m", scale=1e-3)
    source = map_columns(FILE, listed(SEEN, ACTED), [kelvin, metres])
    expected = np.stack([SEEN[:, 0] + 273.15, SEEN[:, 1] / 1000], axis=1)
    np.testing.assert_allclose(source.episode(0).observations, expected, rtol=1e-6)


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=9),
    st.floats(1e-3, 1e3),
    st.booleans(),
)
def test_a_scale_is_undone_by_its_inverse(rows: list[float], scale: float, flip: bool) -> None:
    scale = -scale if flip else scale
    values = np.array(rows)[:, None]
    there = map_columns(FILE, listed(values, values), [Column("state_0", "x", "mm", scale=scale)])
    back = map_columns(FILE, there, [Column("x", "x", "m", scale=1 / scale)])
    np.testing.assert_allclose(back.episode(0).observations, values, rtol=1e-6, atol=1e-30)


@given(st.lists(st.tuples(st.integers(-999, 999), st.integers(-999, 999)), min_size=1))
def test_relative_to_absolute_and_back_changes_nothing(rows: list[tuple[int, int]]) -> None:
    table = np.array(rows, np.float64) / 8  # such sums are exact
    source = listed(table[:, :1], table[:, 1:])
    absolute = map_columns(FILE, source, actions=[Column("action_0", plus="state_0")])
    np.testing.assert_array_equal(absolute.episode(0).actions[:, 0], table.sum(axis=1))
    relative = map_columns(FILE, absolute, actions=[Column("action_0", minus="state_0")])
    np.testing.assert_array_equal(relative.episode(0).actions, table[:, 1:])


def test_what_is_added_is_added_in_the_unit_of_the_column() -> None:
    added = actions(listed(SEEN, ACTED), Column("action_0", "x", "m", scale=2, plus="state_1"))
    np.testing.assert_array_equal(added[:, 0], 2 * ACTED[:, 0] + SEEN[:, 1])


def test_one_column_may_be_read_later_than_another() -> None:
    later = Column("action_0", "x", ahead=1, minus="state_0")
    command = Column("action_1", "gripper", "1", gripper=Gripper(1.0, -1.0))
    episode = map_columns(FILE, listed(SEEN, ACTED), actions=[later, command]).episode(0)
    np.testing.assert_array_equal(episode.actions[:, 0], ACTED[1:, 0] - SEEN[:-1, 0])
    np.testing.assert_array_equal(episode.actions[:, 1], [0, 1])
    np.testing.assert_array_equal(episode.observations, SEEN[:-1])


def test_what_is_too_short_to_be_read_later_is_named() -> None:
    late = map_columns(FILE, listed(SEEN, ACTED), actions=[Column("action_0", ahead=3)])
    with pytest.raises(DataError, match="some.file: episode 0: 3 rows, .* at least 4 are needed"):
        late.episode(0)
    with pytest.raises(SettingsError, match="'state_0': ahead = 1: an observation would show"):
        map_columns(FILE, listed(SEEN, ACTED), [Column("state_0", ahead=1)])


def test_an_angle_is_wrapped_after_the_sum() -> None:
    pi = math.pi
    source = listed([[3.0], [-3.0], [0.0], [1.0]], [[1.0], [-1.0], [pi], [0.0]])
    turned = actions(source, Column("action_0", "turn", "rad", plus="state_0", wrap=True))[:, 0]
    np.testing.assert_allclose(turned, [4 - 2 * pi, 2 * pi - 4, -pi, 1], rtol=1e-6)
    assert (turned >= -np.float32(pi)).all() and (turned < np.float32(pi)).all()


def test_an_angle_may_be_counted_from_0() -> None:
    source = listed(SEEN, [[-18.8], [-1e-9], [7.0]])
    turned = actions(source, Column("action_0", "turn", "rad", wrap=True, wrap_from=0.0))[:, 0]
    np.testing.assert_allclose(turned, [6 * math.pi - 18.8, 0, 7 - 2 * math.pi], atol=1e-5)
    with pytest.raises(SettingsError, match="wrap_from = nan: give an angle"):
        Column("action_0", wrap=True, wrap_from=math.nan)


def test_a_gripper_speaks_as_ours_do() -> None:
    gripper = Column("action_1", "gripper", "1", gripper=Gripper(-1.0, 1.0))
    np.testing.assert_array_equal(actions(listed(SEEN, ACTED), gripper)[:, 0], [1, 0, 0.5])


@pytest.mark.parametrize(
    ("kind", "column", "text"),
    [
        (
            "actions",
            Column("action_2"),
            r"some.file: action_columns\[0\]: of: unknown column of the source 'action_2'; known: "
            r"action_0, action_1. Did you mean 'action_\d'",
        ),
        ("actions", Column("state_0"), "of: unknown column of the source 'state_0'; known: action"),
        ("actions", Column("action_0", plus="stat_1"), "plus: unknown .* Did you mean 'state_1'"),
        ("observations", Column("x"), r"observation_columns\[0\]: of: .*known: state_0, state_1"),
        ("observations", Column("state_0", minus="x"), "minus: unknown column of the source 'x'"),
    ],
)
def test_a_column_that_is_not_there_is_named_and_so_are_all(
    kind: str, column: Column, text: str
) -> None:
    with pytest.raises(SettingsError, match=text):
        map_columns(FILE, listed(SEEN, ACTED), **{kind: [column]})


def with_units(*units: str) -> Listed:
    source = listed(SEEN, ACTED)
    names = [Column(f"state_{j}", None, unit) for j, unit in enumerate(units)]
    return Listed(map_columns(FILE, source, names).attributes, source.episodes)


def test_metres_and_millimetres_are_not_added() -> None:
    text = "'x' is in m, but the source's 'state_0' that is added or subtracted is in mm"
    with pytest.raises(SettingsError, match=text):
        actions(with_units("mm", "m"), Column("action_0", "x", "m", plus="state_0"))
    actions(with_units("mm", "m"), Column("action_0", "x", "m", plus="state_1"))


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(DataError, match="no name twice"):
        actions(listed(SEEN, ACTED), Column("action_0"), Column("action_0"))


def test_what_float32_cannot_hold_is_named() -> None:
    big = map_columns(FILE, listed(SEEN, ACTED), actions=[Column("action_0", "x", "m", 1e39)])
    text = "some.file: episode 0: action column 'x', made of 'action_0': row 0 is beyond float32"
    with pytest.raises(DataError, match=text):
        big.episode(0)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"scale": 0.0, "unit": "m"}, "column 'a': scale = 0.0.*a scale that is not 0"),
        ({"offset": math.inf}, "offset = inf"),
        ({"ahead": -1}, "ahead = -1: give a number of rows"),
        ({"scale": 2.0}, "its numbers change, so give their unit"),
        ({"gripper": Gripper(1, 0)}, "its numbers change, so give their unit"),
        (
            {"gripper": Gripper(1, 0), "unit": "1", "scale": 2.0, "name": "g"},
            "column 'g': a gripper is 1 open and 0 closed, so scale",
        ),
        ({"gripper": Gripper(1, 0), "unit": "1", "wrap": True}, "leave out gripper"),
        ({"resample": "lin"}, "unknown column 'a': resample = 'lin'; known: angle, hold, linear"),
    ],
)
def test_a_column_without_sense_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(AmbientPolicyError, match=text):
        Column("a", **values)


def test_the_way_to_another_rate_is_each_columns_own_or_everyones() -> None:
    columns = [Column("a", resample="angle"), Column("b")]
    assert methods("observation", columns, ("a", "b"), "linear") == ("angle", "linear")
    assert methods("action", (), ("a", "b"), "sum") == ("sum", "sum")
    with pytest.raises(SettingsError, match="nobody says how action columns b go there"):
        methods("action", columns, ("a", "b"), None)


def test_columns_that_nothing_is_made_of_are_told() -> None:
    attributes = listed(SEEN, ACTED).attributes
    assert unused(attributes, (), ()) == ()
    assert unused(attributes, (Column("state_1"),), ()) == ("state_0",)
    relative = Column("action_1", minus="state_0")
    assert unused(attributes, (Column("state_1"),), (relative,)) == ("action_0",)
