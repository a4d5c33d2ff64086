"""Grippers of others: 1 is open, 0 is closed, whatever they said."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ambient_datasets.conversion.gripper import Gripper, openness
from ambient_policy.errors import SettingsError


def read(raw: list[float], gripper: Gripper) -> NDArray[np.float64]:
    return openness(np.array(raw, np.float64), gripper)


@pytest.mark.parametrize(
    ("opened", "closed"), [(1.0, 0.0), (0.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (0.08, 0.0)]
)
def test_a_state_is_open_at_1_and_closed_at_0_on_a_line(opened: float, closed: float) -> None:
    between = closed + 0.25 * (opened - closed)
    beyond = opened + 0.5 * (opened - closed)  # nothing is clipped
    states = read([opened, closed, between, beyond], Gripper(opened, closed))
    np.testing.assert_allclose(states, [1, 0, 0.25, 1.5], atol=1e-12)
    assert not np.signbit(states).any()


@pytest.mark.parametrize(
    ("raw", "states"),
    [
        ([0, 0, 1, 0, 0, -1, 0], [1, 1, 0, 0, 0, 1, 1]),  # open until it closes
        ([0, -1, 0, 1], [0, 1, 1, 0]),  # the opposite of the first before it
        ([-1, -1, 1, 1], [1, 1, 0, 0]),
        ([0.05, 0.9, -0.05, -0.3], [1, 0, 0, 1]),  # near 0 is not meant
        ([0, 0], [1, 1]),  # never told anything
        ([1], [0]),
    ],
)
def test_commands_become_the_state_they_lead_to(raw: list[float], states: list[float]) -> None:
    np.testing.assert_array_equal(read(raw, Gripper(-1, 1, relative=True)), states)
    flipped = read([-value for value in raw], Gripper(1, -1, relative=True))
    np.testing.assert_array_equal(flipped, states)


def test_commands_of_another_size_lead_to_the_same_states() -> None:
    raw = [0.0, 1.0, 0.0, -1.0]
    scaled = [250 * value for value in raw]
    np.testing.assert_array_equal(
        read(scaled, Gripper(-250, 250, relative=True)), read(raw, Gripper(-1, 1, relative=True))
    )


@pytest.mark.parametrize(
    ("opened", "closed", "relative", "text"),
    [
        (1.0, 1.0, False, "open: 1.0, closed: 1.0.*give two different numbers"),
        (float("nan"), 0.0, False, "give two different numbers"),
        (1.0, 0.0, True, "relative commands need open and closed of opposite signs"),
        (1.0, 0.5, True, "opposite signs"),
    ],
)
def test_a_gripper_without_sense_is_refused(
    opened: float, closed: float, relative: bool, text: str
) -> None:
    with pytest.raises(SettingsError, match=text):
        Gripper(opened, closed, relative)
