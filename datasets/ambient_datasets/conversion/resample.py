"""To another rate: how each column goes there is said, never guessed.

Row i of T rows at the old rate r is at time i / r and lasts until (i + 1) / r; so an episode lasts
T / r. New row j is at time j / q, q the new rate; there are ceil(T q / r) of them, so that none
begins after the episode's end. No filter is applied.

========  =============================  ===============================================
method    for                            value of new row j
========  =============================  ===============================================
linear    positions                      on the line between the rows around it
angle     angles [rad]                   likewise, the shorter way around the circle
hold      commands, switches, frames     of the last row at or before it
sum       increments per row             integral from j / q to (j + 1) / q: of two halves
                                         of a row each has half its increment
mean      rates (velocities)             mean over that time
========  =============================  ===============================================

After the last old row (for less than 1 / r) linear and angle hold its value; the last new row's sum
and mean end with the episode. sum and mean look at what comes, so they are for actions alone.
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


@dataclass
class Resample:
    """The rate of the store, and how columns that do not say it themselves go there.

    Attributes:
        rate: of the store [Hz]; None keeps the source's.
        observations, actions: linear, angle or hold; for actions also sum and mean.
    """

    rate: float | None = None
    observations: str | None = None
    actions: str | None = None

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

    def places(self) -> tuple[NDArray[np.int64], Table]:
        """For each new row the last old one at or before it (n,), and how far it is beyond (n,)."""
        whole, part = np.divmod(np.arange(len(self)) * self.step.numerator, self.step.denominator)
        return whole, part / self.step.denominator

    def edges(self) -> tuple[NDArray[np.int64], Table]:
        """Likewise for where each new row begins, and where the last one ends (n + 1,)."""
        whole, part = self.places()
        return np.append(whole, self.rows), np.append(part, 0.0)


def wrapped(angle: Table) -> Table:
    """[rad], in [-pi, pi)."""
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi


def _between(values: Table, grid: Grid) -> tuple[Table, Table, Table]:
    """(n,C) before and after each new row, and how far (n,1) it is on the way."""
    whole, part = grid.places()
    after = np.minimum(whole + 1, grid.rows - 1)
    return values[whole], values[after], part[:, None]


def _linear(values: Table, grid: Grid) -> Table:
    before, after, part = _between(values, grid)
    return before + part * (after - before)


def _angle(values: Table, grid: Grid) -> Table:
    """Where the way leads over the seam of [-pi, pi) or [0, 2 pi), it goes on at the other end."""
    before, after, part = _between(values, grid)
    angle = before + part * wrapped(after - before)
    over = (np.abs(after - before) > np.pi) & (part > 0)
    first = np.where(np.minimum(before, after) < 0, -np.pi, 0.0)
    return np.where(over, first + np.mod(angle - first, 2 * np.pi), angle)


def _hold(values: Table, grid: Grid) -> Table:
    return values[grid.places()[0]]


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
    "linear": _linear,
    "angle": _angle,
    "hold": _hold,
    "sum": _sum,
    "mean": _mean,
}
AHEAD = ("sum", "mean")  # methods that look at what comes after the row


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
