"""Relabelling: an action is what came k rows later; the last k rows go."""

from pathlib import Path

import numpy as np
import pytest

from ambient_datasets.conversion.relabel import parse_action_from, relabel
from ambient_policy.errors import DataError, SettingsError
from tests.datasets.listed import listed

FILE = Path("some.file")
TABLE = np.arange(10.0)[:, None]


@pytest.mark.parametrize("ahead", [1, 3, 9])
def test_the_action_is_read_later_and_the_last_rows_go(ahead: int) -> None:
    frames = np.zeros((10, 2, 2, 3), np.uint8) + np.arange(10, dtype=np.uint8)[:, None, None, None]
    later = relabel(FILE, listed(TABLE, 100 + TABLE, frames=frames), ahead).episode(0)
    assert len(later) == 10 - ahead
    np.testing.assert_array_equal(later.observations, TABLE[:-ahead])
    np.testing.assert_array_equal(later.actions, 100 + TABLE[ahead:])
    np.testing.assert_array_equal(later.images["top"], frames[:-ahead])


def test_what_is_too_short_is_named() -> None:
    text = "some.file: episode 0: 10 rows, and its actions are to be read 10 rows later, .* 11 are"
    with pytest.raises(DataError, match=text):
        relabel(FILE, listed(TABLE, TABLE), 10).episode(0)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("observation.state[t+1]", (["observation.state"], 1)),
        ("states[1:8][t+12]", (["states[1:8]"], 12)),
        ("steps/observation/state[t+2]", (["steps/observation/state"], 2)),
        ("pos, rot[t+1]", (["pos", "rot"], 1)),
    ],
)
def test_a_key_and_how_many_rows_later(text: str, parts: tuple[list[str], int]) -> None:
    assert parse_action_from(text) == parts


@pytest.mark.parametrize("text", ["state", "state[t]", "state[t+0]", "state[t-1]", "[t+1]", ""])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"for example observation.state\[t\+1\]"):
        parse_action_from(text)
