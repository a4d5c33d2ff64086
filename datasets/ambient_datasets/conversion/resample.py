"""To another rate: how each column goes there is said, never guessed.

Row i of T rows at the old rate r is at time i / r and lasts until (i + 1) / r; so an episode lasts
T / r. New row j is at time j / q, q the new rate; there are ceil(T q / r) of them, so that none
begins after the episode's end. No filter is applied.

============  =========================  ===============================================
method        for                        value of new row j
============  =========================  ===============================================
linear        positions                  on the line between the rows around it
angle         angles [rad]               likewise, the shorter way around the circle
hold          commands, switches, frames of the last row at or before it
target        actions: positions to go   where the way through the old targets is at
              to                         (j + 1) / q: what the row leads to
target_angle  likewise angles [rad]      likewise, the shorter way around the circle
target_hold   likewise quaternions,      of the last old row that has ended by (j + 1) / q
              openings of a gripper
sum           increments per row         integral from j / q to (j + 1) / q: of two halves
                                         of a row each has half its increment
mean          rates (velocities)         mean over that time
============  =========================  ===============================================

An old row's target is where it leads by its end, so row i's stands at (i + 1) / r. Read there,
targets and increments of one motion stay so: the sums of what sum makes of d are what target makes
of the sums of d (after the first old row; within it the first target stands, for no row leads up to
it). linear would read the target of the row's start, and show another speed. Where the target is
the state one row later, target is linear, and target_hold is hold, of that state at the row's end.

A switch that is told beside increments (open, close) is held: it is in force from its row's start.
At a higher rate it goes with every part of its row's increment. At a lower one each new row starts
with arm and switch as they were then: the switch is late by less than a new row and never early,
for a gripper that closes before the arm is there misses. What lasts less than a new row may be
lost. A gripper's opening that is itself a target goes with the pose it belongs to: target_hold.

After the last old row (for less than 1 / r) linear and angle hold its value; the last new row's
sum, mean and targets end with the episode. Targets, sum and mean look at what comes, so they are
for actions alone. linear and angle, too, read the next row for a new one in between, which thereby
knows it before the frames, which are held, show it; where rows are added and actions are
increments, two neighbours tell the action. ``Resample.causal`` holds the observations, too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.demonstrations import Changed, Demonstrations
from ambient_datasets.records import Episode
from ambient_policy.errors import SettingsError, unknown

MOST = 1000  # times more or fewer rows; beyond that a rate was given in another unit
FINEST = 10**6  # denominator of the ratio of both rates: 29.97 to 2.997 is 10, as it is meant

Table = NDArray[np.float64]
Places = tuple[NDArray[np.int64], Table]  # (n,) an old row, and how far each new one is beyond


@dataclass
class Resample:
    """The rate of the store, and how columns that do not say it themselves go there."""

    # of the store [Hz]; null keeps the source's
    rate: float | None = None
    # linear, angle or hold
    observations: str | None = None
    # those, target, target_angle, target_hold, sum or mean
    actions: str | None = None
    # hold every observation, as the frames are held, whatever its column says: none knows the
    # source's next row
    causal: bool = False

    def __post_init__(self) -> None:
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise SettingsError(
                f"resample.rate = {self.rate}: give the rows per second, a positive number, or "
                "null for the source's own."
            )
        for kind in ("observations", "actions"):
            method = getattr(self, kind)
            if method is not None:
                check_method(f"resample.{kind}", method, observed=kind == "observations")


@dataclass(frozen=True)
class Grid:
    """T old rows and the new ones, exactly.

    Attributes:
        rows: T.
        step: old rows for each new one, r / q.
    """

    rows: int
    step: Fraction

    def __len__(self) -> int:
        """New rows: ceil(T q / r)."""
        return -(-self.rows * self.step.denominator // self.step.numerator)

    def places(self) -> Places:
        """For each new row the last old one at or before it (n,), and how far it is beyond (n,)."""
        return self._split(np.arange(len(self)) * self.step.numerator)

    def targets(self) -> Places:
        """The same (n,) for where each new row ends, among the ends of the old ones.

        Row i ends at i + 1, so what stands there is its target: at whole i. Before the end of the
        first old row it is the first.
        """
        ends = np.arange(1, len(self) + 1) * self.step.numerator
        last = self.rows * self.step.denominator
        return self._split(np.maximum(np.minimum(ends, last) - self.step.denominator, 0))

    def _split(self, place: NDArray[np.int64]) -> Places:
        """(n,) in shares of an old row: the whole rows, and what is beyond."""
        whole, part = np.divmod(place, self.step.denominator)
        return whole, part / self.step.denominator

    def edges(self) -> Places:
        """The same for where each new row begins, and where the last one ends (n + 1,)."""
        whole, part = self.places()
        return np.append(whole, self.rows), np.append(part, 0.0)


def wrapped(angle: Table, first: float = -np.pi) -> Table:
    """[rad], in [first, first + 2 pi)."""
    return np.mod(angle - first, 2 * np.pi) + first


def narrow(angle: Table, first: Table | float = -np.pi) -> NDArray[np.float32]:
    """An angle of [first, first + 2 pi) as float32; what rounding brings to the end is first."""
    small = angle.astype(np.float32)
    end = np.asarray(first + 2 * np.pi, np.float32)
    return np.where(small >= end, np.asarray(first, np.float32), small)


def _between(values: Table, places: Places) -> tuple[Table, Table, Table]:
    """(n,C) before and after each new row, and how far (n,1) it is on the way."""
    whole, part = places
    after = np.minimum(whole + 1, len(values) - 1)
    return values[whole], values[after], part[:, None]


def _linear(values: Table, places: Places) -> Table:
    before, after, part = _between(values, places)
    return before + part * (after - before)


def _angle(values: Table, places: Places) -> Table:
    """Where the way leads over the seam of [-pi, pi) or [0, 2 pi), it goes on at the other end."""
    before, after, part = _between(values, places)
    angle = before + part * wrapped(after - before)
    over = (np.abs(after - before) > np.pi) & (part > 0)
    first = np.where(np.minimum(before, after) < 0, -np.pi, 0.0)
    return np.where(over, narrow(first + np.mod(angle - first, 2 * np.pi), first), angle)


def _hold(values: Table, places: Places) -> Table:
    return values[places[0]]


def _at_start(read: Callable[[Table, Places], Table]) -> Callable[[Table, Grid], Table]:
    return lambda values, grid: read(values, grid.places())


def _at_end(read: Callable[[Table, Places], Table]) -> Callable[[Table, Grid], Table]:
    return lambda values, grid: read(values, grid.targets())


def _sum(values: Table, grid: Grid) -> Table:
    """Differences of S(p), the integral over the first p old rows: linear between whole p."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    whole, part = grid.edges()
    within = np.minimum(whole, grid.rows - 1)  # at the end part is 0
    return np.diff(total[whole] + part[:, None] * values[within], axis=0)


def _mean(values: Table, grid: Grid) -> Table:
    whole, part = grid.edges()
    return _sum(values, grid) / np.diff(whole + part)[:, None]


METHODS: dict[str, Callable[[Table, Grid], Table]] = {
    "linear": _at_start(_linear),
    "angle": _at_start(_angle),
    "hold": _at_start(_hold),
    "target": _at_end(_linear),
    "target_angle": _at_end(_angle),
    "target_hold": _at_end(_hold),
    "sum": _sum,
    "mean": _mean,
}
# methods of what comes after the row's start, so of actions alone
AHEAD = ("target", "target_angle", "target_hold", "sum", "mean")


def check_method(place: str, method: str, *, observed: bool) -> None:
    """Refuse an unknown method, and one that would show an observation of the future.

    Raises:
        SettingsError: naming the place.
    """
    if method not in METHODS:
        raise unknown(f"{place} =", method, METHODS)
    if observed and method in AHEAD:
        raise SettingsError(
            f"{place} = '{method}': an observation would show what comes after it. Give one of "
            f"{', '.join(name for name in METHODS if name not in AHEAD)}."
        )


def resample(
    path: Path,
    source: Demonstrations,
    rate: float,
    observations: Sequence[str],
    actions: Sequence[str],
) -> Demonstrations:
    """Every episode at another rate; frames are held.

    Args:
        path: of the source, for messages.
        source: at its own rate.
        rate: of what comes out [Hz].
        observations, actions: method of each column.

    Raises:
        SettingsError: for an unfit method or a rate more than ``MOST`` times another than the
            source's.
    """
    step = _step(path, source.attributes.control_rate, rate)
    _check_methods("observation", source.attributes.observation_names, observations)
    _check_methods("action", source.attributes.action_names, actions)

    def change(episode: Episode) -> Episode:
        if step == 1:
            return episode
        grid = Grid(len(episode), step)
        shown = grid.places()[0]
        return replace(
            episode,
            observations=_each(episode.observations, observations, grid),
            actions=_each(episode.actions, actions, grid),
            images={name: frames[shown] for name, frames in episode.images.items()},
        )

    attributes = replace(source.attributes, control_rate=rate)
    return Changed(path, source, attributes, source.cameras, change)


def _check_methods(kind: str, names: Sequence[str], methods: Sequence[str]) -> None:
    for name, method in zip(names, methods, strict=True):
        place = f"resample of {kind} column '{name}'"
        check_method(place, method, observed=kind == "observation")


def _step(path: Path, old: float, new: float) -> Fraction:
    if not 1 / MOST <= old / new <= MOST:
        raise SettingsError(
            f"{path}: resample.rate = {new} Hz, but the source has {old} Hz. Give a rate at most "
            f"{MOST} times higher or lower."
        )
    return (Fraction(old) / Fraction(new)).limit_denominator(FINEST)


def _each(values: NDArray[np.float32], methods: Sequence[str], grid: Grid) -> NDArray[np.float32]:
    """(T,C) as (n,C), each column by its method."""
    out = np.empty((len(grid), values.shape[1]), np.float32)
    for method in set(methods):
        columns = [j for j, name in enumerate(methods) if name == method]
        out[:, columns] = METHODS[method](values[:, columns].astype(np.float64), grid)
    return out
