"""Observation, prediction and action horizon as one value: every off-by-one of the project.

At control step t, with To = obs = 2, Tp = pred = 8, Ta = act = 4::

    step          t-1   t   t+1  t+2  t+3  t+4  t+5  t+6  t+7
    observed       o    o                                        To, ends at t
    predicted           a    a    a    a    a    a    a    a     Tp, starts at t
    executed            x    x    x    x                         Ta, then plan again at t+4

Action a(t) is the command that follows the observation o(t). Every step of an episode starts one
window; before the first and after the last step the edge value repeats.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import SettingsError


@dataclass  # not frozen: omegaconf refuses overrides of frozen schemas
class Horizons:
    """The horizons To, Tp and Ta in control steps.

    Raises:
        SettingsError: unless obs >= 1 and 1 <= act <= pred.
    """

    # To: steps of observations that the policy sees, the newest is now
    obs: int = 2
    # Tp: steps of the chunk of actions that it plans
    pred: int = 16
    # Ta: steps of the chunk that are executed before it plans again
    act: int = 8

    def __post_init__(self) -> None:
        if self.obs < 1 or not 1 <= self.act <= self.pred:
            raise SettingsError(
                f"horizons obs = {self.obs}, pred = {self.pred}, act = {self.act} do not fit: "
                "obs must be at least 1, and act between 1 and pred (a chunk cannot run longer "
                "than it is). The paper uses obs = 2, pred = 16, act = 8."
            )

    @property
    def observed(self) -> NDArray[np.int64]:
        """Steps, relative to t, of the observation history: (To,)."""
        return np.arange(1 - self.obs, 1)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Steps, relative to t, of the action chunk: (Tp,)."""
        return np.arange(self.pred)
