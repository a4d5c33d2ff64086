"""What is asked of a foreign file, and who says what its numbers mean."""

from pathlib import Path
from typing import Any

import pytest

from ambient_datasets.demonstrations import UNKNOWN, Request, default_names, describe
from ambient_policy.errors import DataError

FILE = Path("some.file")


def ask(**changes: Any) -> Request:
    values: dict[str, Any] = {"state": ["pose"], "action": ["move"], "task": "t", "source": "s"}
    return Request(**{**values, **changes})


def test_names_count_through_each_key() -> None:
    assert default_names(("pose", "grip"), (2, 1)) == ("pose_0", "pose_1", "grip_0")


def test_the_request_goes_before_the_file() -> None:
    names = ("x", "y")
    found = describe(FILE, ask(), names, ("a",), 10.0, ("m", "m"), None)
    assert found.observation_names == names and found.observation_units == ("m", "m")
    assert found.action_units == (UNKNOWN,) and found.control_rate == 10.0
    said = describe(FILE, ask(observation_names=("u", "v"), action_units=("N",)), names, ("a",), 10)
    assert (said.observation_names, said.action_units) == (("u", "v"), ("N",))
    assert said.observation_units == (UNKNOWN,) * 2


@pytest.mark.parametrize(("said", "found"), [(10.0, None), (None, 10.0), (10.0, 10.0)])
def test_the_rate_comes_from_whoever_knows_it(said: float | None, found: float | None) -> None:
    assert describe(FILE, ask(control_rate=said), ("x",), ("a",), found).control_rate == 10.0


@pytest.mark.parametrize(
    ("said", "found", "text"),
    [
        (None, None, "some.file: control_rate: the file does not say"),
        (10.0, 20.0, "control_rate = 10.0 Hz given, but the file says 20.0 Hz"),
        (None, 0.0, "control_rate = 0.0 Hz"),
    ],
)
def test_a_rate_nobody_knows_is_refused(said: Any, found: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        describe(FILE, ask(control_rate=said), ("x",), ("a",), found)


@pytest.mark.parametrize("name", ["observation_names", "action_units"])
def test_another_number_of_columns_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: 3 given, but the keys asked for have 2 columns"):
        describe(FILE, ask(**{name: ("a", "b", "c")}), ("x", "y"), ("a", "b"), 10.0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": []}, r"state = \[\]: give the list of keys .* observation"),
        ({"state": "pose"}, "state = 'pose': give the list"),
        ({"action": ["a", "a"]}, "action = .*make up the action, at least one, each once"),
        ({"control_rate": -1.0}, "control_rate = -1.0: give the rows per second"),
        ({"control_rate": float("nan")}, "control_rate = nan"),
    ],
)
def test_a_request_without_sense_is_refused(changes: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        ask(**changes)
