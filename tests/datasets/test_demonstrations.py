"""What is asked of a foreign file, and who says what its numbers mean."""

from pathlib import Path
from typing import Any

import pytest

from ambient_datasets.demonstrations import UNKNOWN, Labels, Request, default_names, describe
from ambient_policy.errors import DataError

FILE = Path("some.file")
COLUMNS = Labels(("x",)), Labels(("a",))


def ask(**changes: Any) -> Request:
    values: dict[str, Any] = {
        "format": "toy",
        "state": ["pose"],
        "action": ["move"],
        "task": "t",
        "source": "s",
    }
    return Request(**{**values, **changes})


def test_names_count_through_each_key() -> None:
    assert default_names(("pose", "grip"), (2, 1)) == ("pose_0", "pose_1", "grip_0")


def test_the_request_goes_before_the_file() -> None:
    names, actions = ("x", "y"), Labels(("a",))
    silent = describe(FILE, ask(), Labels(names, ("m", "m")), actions, 10.0)
    assert silent.observation_names == names and silent.observation_units == ("m", "m")
    assert silent.action_units == (UNKNOWN,) and silent.control_rate == 10.0
    request = ask(observation_names=["u", "v"], action_units=["N"])
    renamed = describe(FILE, request, Labels(names), actions, 10)
    assert (renamed.observation_names, renamed.action_units) == (("u", "v"), ("N",))
    assert renamed.observation_units == (UNKNOWN,) * 2


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("data/replay.zarr.zip", "replay"),
        ("demo.hdf5", "demo"),
        ("bridge_dataset/1.0.0", "bridge_dataset"),
        ("data/pick.and.place", "pick.and.place"),
    ],
)
def test_labels_are_the_name_of_the_source_where_nobody_says_them(path: str, label: str) -> None:
    attributes = describe(Path(path), ask(task=None, source=None), *COLUMNS, 10.0)
    assert (attributes.task, attributes.source) == (label, label)
    attributes = describe(Path(path), ask(task=None, source="human"), *COLUMNS, 10.0)
    assert (attributes.task, attributes.source) == ("human", "human")


@pytest.mark.parametrize(("requested", "stored"), [(10.0, None), (None, 10.0), (10.0, 10.0)])
def test_the_rate_comes_from_whoever_knows_it(
    requested: float | None, stored: float | None
) -> None:
    attributes = describe(FILE, ask(control_rate=requested), *COLUMNS, stored)
    assert attributes.control_rate == 10.0


@pytest.mark.parametrize(
    ("requested", "stored", "text"),
    [
        (None, None, "some.file: control_rate: the file does not say"),
        (10.0, 20.0, "control_rate = 10.0 Hz given, but the file says 20.0 Hz"),
        (None, 0.0, "control_rate = 0.0 Hz"),
    ],
)
def test_a_rate_nobody_knows_is_refused(requested: Any, stored: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        describe(FILE, ask(control_rate=requested), *COLUMNS, stored)


@pytest.mark.parametrize("name", ["observation_names", "action_units"])
def test_another_number_of_columns_is_refused(name: str) -> None:
    columns = Labels(("x", "y")), Labels(("a", "b"))
    with pytest.raises(DataError, match=f"{name}: 3 given, but the keys asked for have 2 columns"):
        describe(FILE, ask(**{name: ["a", "b", "c"]}), *columns, 10.0)


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
