"""Grippers of others as ours: 1 is open, 0 is closed."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import SettingsError

# A command counts once it is beyond this share of the way from 0 to full open or closed: some
# sources send numbers near 0 while nothing is meant (0.1 as in Octo's rel2abs_gripper_actions).
MEANT = 0.1


@dataclass
class Gripper:
    """What a source's gripper column says when open and when closed.

    A state (-1 and 1, 0 and 1, a width in metres), or the state aimed at; or relative commands.
    """

    open: float
    closed: float
    # the numbers are commands, 0 between them leaves the gripper as it is; then open and closed
    # have opposite signs
    relative: bool = False

    def __post_init__(self) -> None:
        words = f"gripper: {{open: {self.open}, closed: {self.closed}, relative: {self.relative}}}"
        if not math.isfinite(self.open - self.closed) or self.open == self.closed:
            raise SettingsError(f"{words}: give two different numbers.")
        if self.relative and self.open * self.closed >= 0:
            raise SettingsError(
                f"{words}: relative commands need open and closed of opposite signs, for 0 between "
                "them leaves the gripper as it is. Give such numbers, or relative: false."
            )


def openness(raw: NDArray[np.float64], gripper: Gripper) -> NDArray[np.float64]:
    """(T,) of a source as (T,) ours: 1 where open, 0 where closed.

    A state is mapped by the line through both; nothing is clipped. Commands become the state that
    they lead to; before the first one the gripper is taken to be the opposite of it, and in an
    episode without any it is taken to be open.
    """
    if gripper.relative:
        return _follow(raw, gripper)
    return (raw - gripper.closed) / (gripper.open - gripper.closed) + 0.0  # no -0


def _follow(raw: NDArray[np.float64], gripper: Gripper) -> NDArray[np.float64]:
    """The state after each command."""
    opens, closes = raw / gripper.open > MEANT, raw / gripper.closed > MEANT
    meant = np.flatnonzero(opens | closes)
    if len(meant) == 0:
        return np.ones(len(raw))
    # the place of the latest command; before the first: -1
    latest = np.searchsorted(meant, np.arange(len(raw)), side="right") - 1
    states = np.where(latest < 0, ~opens[meant[0]], opens[meant[latest]])
    return states.astype(np.float64)
