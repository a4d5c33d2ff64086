"""The record of an episode, and the recording of W worlds that run side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Trajectory:
    """One episode of T control steps, ended worlds cut at their end.

    Attributes:
        seed: the episode's seed: its start.
        observations: (T+1,O), from the reset to the end, in the world's own units.
        actions: (T,A), as executed (clipped to the action space).
        states: (T+1,S) physics states for later rendering, None if the world reports none.
        goal: (G,) from the reset's info, None when the world names none.
        success: whether ``is_success`` was ever true while the episode lasted.
        failure: "" for a success, else the world's own reason ("wall"), "time", "terminated"
            (ended without a reason) or "diverged" (an observation or action not finite).
        rewards: (T,).
        final: numbers of the world's info (floats only, e.g. "coverage") at the end.
        best: the largest value of each of those numbers.
        inference_seconds: (chunks,) this episode's share of each planning call [s]: the wall
            clock of the call divided by the worlds it planned for.
    """

    seed: int
    observations: Floats
    actions: Floats
    states: Floats | None
    goal: Floats | None
    success: bool
    failure: str
    rewards: NDArray[np.float64]
    final: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    inference_seconds: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


class Recording:
    """Record what W worlds do from their reset on; only the first len(seeds) worlds count.

    Attributes:
        live: (W,) bool, whether the episode of a world still runs.
    """

    def __init__(self, seeds: Sequence[int], observations: Floats, infos: dict[str, Any]) -> None:
        worlds = len(observations)
        self.seeds = list(seeds)
        self.live = np.arange(worlds) < len(seeds)
        self._steps = np.zeros(worlds, np.int64)
        self._success = np.zeros(worlds, bool)
        self._failure = [""] * worlds
        self._observations = [observations.copy()]
        self._actions: list[Floats] = []
        self._rewards: list[NDArray[np.float64]] = []
        self._states: list[Floats | None] = [_array(infos, "state")]
        self._goals = _array(infos, "goal")
        self._final: dict[str, NDArray[np.float64]] = {}
        self._best: dict[str, NDArray[np.float64]] = {}
        self._seconds: list[list[float]] = [[] for _ in range(worlds)]
        self.fail(self.live & ~np.isfinite(observations).all(axis=1), "diverged")

    def planned(self, seconds: float) -> None:
        """Give every live world an equal share of one planning call [s]."""
        for world in np.flatnonzero(self.live):
            self._seconds[world].append(seconds / int(self.live.sum()))

    def fail(self, which: NDArray[np.bool_], reason: str) -> None:
        """End the episodes of these worlds (W,) here and now, as failures."""
        for world in np.flatnonzero(which):
            self._failure[world] = reason
        self._success &= ~which
        self.live &= ~which

    def add(
        self,
        actions: Floats,
        observations: Floats,
        rewards: Floats,
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        infos: dict[str, Any],
    ) -> None:
        """Add one control step of all worlds: actions (W,A) led to observations (W,O)."""
        self._actions.append(actions.copy())
        self._observations.append(observations.copy())
        self._rewards.append(np.asarray(rewards, np.float64))
        self._states.append(_array(infos, "state"))
        self._steps += self.live
        self._note_numbers(infos)
        self._success |= self.live & _column(infos, "is_success", len(observations)).astype(bool)
        self.fail(self.live & ~np.isfinite(observations).all(axis=1), "diverged")
        self._end(terminated, truncated, _column(infos, "failure", len(observations)))

    def _end(
        self, terminated: NDArray[np.bool_], truncated: NDArray[np.bool_], reasons: NDArray[Any]
    ) -> None:
        ended = self.live & (terminated | truncated)
        self.live &= ~ended
        for world in np.flatnonzero(ended & ~self._success):
            default = "terminated" if terminated[world] else "time"
            self._failure[world] = str(reasons[world] or default)

    def stop(self) -> None:
        """End every episode that still runs: its time is up."""
        running = self.live.copy()
        self.live[:] = False
        for world in np.flatnonzero(running & ~self._success):
            self._failure[world] = "time"

    def _note_numbers(self, infos: dict[str, Any]) -> None:
        for key, values in infos.items():
            if key.startswith("_") or not _is_number_row(values, len(self.live)):
                continue
            rows = self.live & np.asarray(infos.get(f"_{key}", True), bool)
            unseen = np.full(len(self.live), np.nan)
            final = self._final.setdefault(key, unseen.copy())
            best = self._best.setdefault(key, unseen)
            final[rows] = values[rows]
            best[rows] = np.fmax(best[rows], values[rows])

    def trajectories(self) -> list[Trajectory]:
        """Return the episodes in the order of their seeds, each cut at its end."""
        observations = np.stack(self._observations)
        actions = np.stack(self._actions) if self._actions else np.zeros((0, *self.live.shape, 0))
        rewards = np.stack(self._rewards) if self._rewards else np.zeros((0, *self.live.shape))
        known = [state for state in self._states if state is not None]
        states = np.stack(known) if known and len(known) == len(self._states) else None
        return [
            Trajectory(
                seed=seed,
                observations=observations[: end + 1, i].copy(),
                actions=actions[:end, i].copy(),
                states=None if states is None else states[: end + 1, i].copy(),
                goal=None if self._goals is None else self._goals[i].copy(),
                success=bool(self._success[i]),
                failure=self._failure[i],
                rewards=rewards[:end, i].copy(),
                final={key: float(values[i]) for key, values in self._final.items()},
                best={key: float(values[i]) for key, values in self._best.items()},
                inference_seconds=np.array(self._seconds[i], np.float64),
            )
            for i, (seed, end) in enumerate(zip(self.seeds, self._steps, strict=False))
        ]


def _array(infos: dict[str, Any], key: str) -> Floats | None:
    """Return numbers (W,D) of the infos, None if they are missing or not of one shape."""
    value = infos.get(key)
    numeric = isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "fiu"
    return value.astype(np.float64) if numeric and value is not None else None


def _column(infos: dict[str, Any], key: str, worlds: int) -> NDArray[Any]:
    """Return values (W,) of the infos, None for a world that reports none."""
    values = np.full(worlds, None, dtype=object)
    rows = np.broadcast_to(np.asarray(infos.get(f"_{key}", key in infos), bool), (worlds,))
    if rows.any():
        values[rows] = np.asarray(infos[key])[rows]
    return values


def _is_number_row(values: Any, worlds: int) -> bool:
    return isinstance(values, np.ndarray) and values.shape == (worlds,) and values.dtype.kind == "f"
