"""A policy that acts: it holds what was seen, the chunk under way, and the noise of the next one.

At each control step it takes one observation and answers one action; every Ta steps it plans a
chunk anew from the last To observations. The same class drives one robot, and W worlds side by
side: what is evaluated is what is deployed.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ambient_policy import seeding
from ambient_policy.errors import DivergenceError, SettingsError
from ambient_policy.horizons import Horizons
from ambient_policy.interface import Interface, Parts

Array = NDArray[np.float32]


class Planner(Protocol):
    """What an actor needs of a policy."""

    @property
    def horizons(self) -> Horizons:
        """To, Tp and Ta in control steps."""
        ...

    @property
    def interface(self) -> Interface:
        """What it must be shown and what it commands."""
        ...

    @property
    def noises(self) -> int:
        """K, standard normal chunks one plan consumes (1 for DDIM)."""
        ...

    def plan(self, history: Mapping[str, NDArray[Any]], noise: Array) -> Array:
        """Histories (W,To,...) by part and noise (K,W,Tp,A) -> actions (W,Tp,A), in their units."""
        ...


class Actor:
    """A policy in one robot, or in W worlds at once.

    What it does in an episode depends on (seed, episode) and the observations alone, never on the
    worlds beside it, up to the rounding of a network that multiplies batches of different sizes.

    Args:
        policy: plans chunks of Tp actions, of which Ta are executed before planning again.
        seed: of the denoising noise; chunk c of episode e uses (seed, "rollout", e, c).
        episodes: number of the first episode, for one robot; of W of them, for W worlds. >= 0.

    Attributes:
        planning_seconds: what the last planning took [s].
    """

    def __init__(self, policy: Planner, seed: int = 0, episodes: int | Sequence[int] = 0) -> None:
        self._policy, self._seed = policy, seed
        self._alone = isinstance(episodes, (int, np.integer))
        self._episodes: list[int] = []
        self.planning_seconds = 0.0
        self._begin(episodes)

    @property
    def plans_next(self) -> bool:
        """Whether the next action needs a new plan, which takes longer."""
        return self._steps % self._policy.horizons.act == 0

    def reset(self, episodes: int | Sequence[int] | None = None) -> None:
        """Forget what was seen: the next observation begins an episode.

        Args:
            episodes: their numbers, as many as there are worlds. None: where the present one has
                begun, the next one (of W worlds, W further for each).
        """
        if episodes is None:
            further = len(self._episodes) if self._steps else 0
            numbers = [episode + further for episode in self._episodes]
            episodes = numbers[0] if self._alone else numbers
        self._begin(episodes)

    def act(self, observation: Any, live: NDArray[np.bool_] | None = None) -> Array:
        """The action of this control step, in the units of the demonstrations.

        Args:
            observation: what the robot sees now: the state (O,), or a mapping that holds "state"
                (O,) or each of its columns by name, and each camera (H,W,3) uint8. Of W worlds,
                every shape begins with W.
            live: (W,) worlds that still run; None: all. The others are not planned for.

        Returns:
            (A,); of W worlds (W,A), where a row whose plan is not finite is NaN.

        Raises:
            DataError: naming the part or column that is missing, misshapen or not finite.
            DivergenceError: for one robot whose plan is not finite.
        """
        running = np.ones(len(self._episodes), bool) if live is None else live
        lead = () if self._alone else (len(self._episodes),)
        self._remember(self._policy.interface.parts(observation, lead, running))
        chunk, within = divmod(self._steps, self._policy.horizons.act)
        if within == 0 and running.any():
            self._replan(np.flatnonzero(running), chunk)
        self._steps += 1
        actions: Array = self._plan[:, within].copy()
        if not self._alone:
            return actions
        if not np.isfinite(actions).all():
            raise DivergenceError(
                f"the plan of chunk {chunk} in episode {self._episodes[0]} is not finite. Stop the "
                "robot: is the observation far from all demonstrations?"
            )
        action: Array = actions[0]
        return action

    def _begin(self, episodes: int | Sequence[int]) -> None:
        numbers = [episodes] if isinstance(episodes, (int, np.integer)) else list(episodes)
        if not numbers or min(numbers) < 0 or len(numbers) != len(self._episodes or numbers):
            raise SettingsError(
                f"episodes = {episodes}: give numbers >= 0, one for each robot or world"
                + (f"; there are {len(self._episodes)}." if self._episodes else ".")
            )
        self._episodes = [int(number) for number in numbers]
        self._history: Parts = {}
        self._steps = 0
        actions = len(self._policy.interface.action_names)
        shape = (len(numbers), self._policy.horizons.pred, actions)
        self._plan = np.zeros(shape, np.float32)

    def _remember(self, parts: Parts) -> None:
        """Add an observation to the last To of them; the first one stands for those before."""
        if not self._steps:
            obs = self._policy.horizons.obs
            self._history = {name: np.stack([part] * obs, 1) for name, part in parts.items()}
            return
        for name, part in parts.items():
            self._history[name] = np.concatenate([self._history[name][:, 1:], part[:, None]], 1)

    def _replan(self, rows: NDArray[np.intp], chunk: int) -> None:
        """Fill these rows of the plan (W,Tp,A)."""
        shape = (self._policy.noises, *self._plan.shape[1:])
        streams = (
            seeding.generator(self._seed, "rollout", self._episodes[row], chunk) for row in rows
        )
        noise = np.stack([s.standard_normal(shape, dtype=np.float32) for s in streams], axis=1)
        start = time.perf_counter()
        chunks = self._policy.plan({n: part[rows] for n, part in self._history.items()}, noise)
        self.planning_seconds = time.perf_counter() - start
        if chunks.shape != (len(rows), *self._plan.shape[1:]):
            raise SettingsError(
                f"the policy planned actions of shape {chunks.shape}, but its interface promises "
                f"(worlds, Tp, A) = {(len(rows), *self._plan.shape[1:])}."
            )
        executed = np.isfinite(chunks[:, : self._policy.horizons.act])
        self._plan[rows] = np.where(executed.all(axis=(1, 2), keepdims=True), chunks, np.nan)
