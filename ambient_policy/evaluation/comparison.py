"""The table of arms: a row for each arm, from its trainings on the same starts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import DataError, unknown
from ambient_policy.evaluation.records import EpisodeRecord
from ambient_policy.evaluation.statistics import (
    Bootstrap,
    Interval,
    levels_note,
)

SUCCESS_OF_ONE = "Wilson interval, which counts every episode as independent."
SUCCESS_OF_SEVERAL = (
    "bootstrap over training seeds and starts, no narrower than Wilson's interval, which would "
    "count every episode as independent and stands alone where an arm was trained once."
)
Episodes = Mapping[int, Sequence[EpisodeRecord]]  # training seed -> its episodes


@dataclass(frozen=True)
class Difference:
    """An arm against the baseline, paired by start.

    Attributes:
        success: arm minus baseline, in [-1,1].
        squared_jerk, squared_jerk_successes: arm minus baseline [(m/s^3)^2], over all starts and
            over those at which both succeeded.
        squared_jerk_ratio, squared_jerk_successes_ratio: arm over baseline.
    """

    success: Interval
    squared_jerk: Interval
    squared_jerk_ratio: Interval
    squared_jerk_successes: Interval
    squared_jerk_successes_ratio: Interval


@dataclass(frozen=True)
class Row:
    """One arm, all its trainings: means over episodes with intervals.

    ``..._successes`` is over successful episodes, the plain name over all of them; ``extra`` holds
    the best value of the world's own numbers (e.g. coverage), over all episodes.
    """

    arm: str
    trainings: int
    episodes: int
    successes: int
    success: Interval
    squared_jerk_successes: Interval
    squared_jerk: Interval
    boundary_squared_jerk: Interval
    inside_squared_jerk: Interval
    squared_acceleration_successes: Interval
    squared_acceleration: Interval
    duration_successes: Interval
    failures: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, Interval] = field(default_factory=dict)
    difference: Difference | None = None


@dataclass(frozen=True)
class Table:
    """The rows of all arms in their order, the baseline of their differences, and notes."""

    rows: tuple[Row, ...]
    baseline: str | None
    notes: tuple[str, ...]

    def row(self, arm: str) -> Row:
        """Return the row of an arm.

        Raises:
            SettingsError: for a name that is no arm.
        """
        for row in self.rows:
            if row.arm == arm:
                return row
        raise unknown("arm", arm, [row.arm for row in self.rows])

    def to_json(self) -> dict[str, Any]:
        """Return rows, baseline and notes as plain values."""
        return asdict(self)


def compare(
    arms: Mapping[str, Episodes],
    *,
    baseline: str | None = None,
    extra: Sequence[str] = (),
    seed: int = 0,
) -> Table:
    """Compare all arms in one table.

    Args:
        arms: name -> training seed -> episodes; every training on the same starts.
        baseline: the arm that the others differ from, None for no differences.
        extra: keys of the world's own numbers for the table, e.g. "coverage".
        seed: seed of the bootstrap.

    Raises:
        SettingsError: for a baseline that is no arm.
        DataError: if starts differ between trainings.
    """
    if baseline is not None and baseline not in arms:
        raise unknown("baseline", baseline, arms)
    starts = _common_starts(arms)
    counts = [len(episodes) for episodes in arms.values()]
    rows = tuple(
        _row(
            name,
            episodes,
            None if baseline in (None, name) else arms[str(baseline)],
            starts,
            tuple(extra),
            Bootstrap(seed),
        )
        for name, episodes in arms.items()
    )
    return Table(rows, baseline, _notes(min(counts), max(counts), len(starts), baseline))


def _row(
    name: str,
    episodes: Episodes,
    baseline: Episodes | None,
    starts: Sequence[int],
    extra: tuple[str, ...],
    bootstrap: Bootstrap,
) -> Row:
    def mean(key: str, successes: bool = False) -> Interval:
        return bootstrap.mean(_values(episodes, starts, key, successes))

    everyone = [episode for run in episodes.values() for episode in run]
    successes = sum(episode.success for episode in everyone)
    reasons = sorted({episode.failure for episode in everyone if not episode.success})
    return Row(
        arm=name,
        trainings=len(episodes),
        episodes=len(everyone),
        successes=successes,
        success=bootstrap.share(_values(episodes, starts, "success", False)),
        squared_jerk_successes=mean("squared_jerk", successes=True),
        squared_jerk=mean("squared_jerk"),
        boundary_squared_jerk=mean("boundary_squared_jerk"),
        inside_squared_jerk=mean("inside_squared_jerk"),
        squared_acceleration_successes=mean("squared_acceleration", successes=True),
        squared_acceleration=mean("squared_acceleration"),
        duration_successes=mean("duration", successes=True),
        failures={reason: sum(e.failure == reason for e in everyone) for reason in reasons},
        extra={key: mean(key) for key in extra},
        difference=None if baseline is None else _difference(episodes, baseline, starts, bootstrap),
    )


def _difference(
    arm: Episodes, baseline: Episodes, starts: Sequence[int], bootstrap: Bootstrap
) -> Difference:
    def pair(key: str, successes: bool = False) -> tuple[Any, Any]:
        return (
            _values(arm, starts, key, successes),
            _values(baseline, starts, key, successes),
        )

    return Difference(
        success=bootstrap.difference(*pair("success")),
        squared_jerk=bootstrap.difference(*pair("squared_jerk")),
        squared_jerk_ratio=bootstrap.ratio(*pair("squared_jerk")),
        squared_jerk_successes=bootstrap.difference(*pair("squared_jerk", True)),
        squared_jerk_successes_ratio=bootstrap.ratio(*pair("squared_jerk", True)),
    )


def _values(
    episodes: Episodes, starts: Sequence[int], key: str, successes: bool
) -> NDArray[np.float64]:
    """Return numbers (S,E) of each training at each start; NaN for failures if successes count."""
    table = np.full((len(episodes), len(starts)), np.nan)
    column = {start: i for i, start in enumerate(starts)}
    for row, run in zip(table, episodes.values(), strict=True):
        for episode in run:
            if episode.success or not successes:
                row[column[episode.seed]] = _value(episode, key)
    return table


def _value(episode: EpisodeRecord, key: str) -> float:
    return float(getattr(episode, key)) if hasattr(episode, key) else episode.best.get(key, np.nan)


def _common_starts(arms: Mapping[str, Episodes]) -> list[int]:
    """Return the episode seeds that all trainings of all arms share, sorted."""
    runs = {
        f"arm '{name}', training seed {seed}": sorted(episode.seed for episode in run)
        for name, episodes in arms.items()
        for seed, run in episodes.items()
    }
    if not runs or not all(arms.values()) or not all(runs.values()):
        raise DataError("a comparison needs at least one arm, and episodes for every arm.")
    first, starts = next(iter(runs.items()))
    for name, others in runs.items():
        if others != starts:
            raise DataError(
                f"{name} was run on {len(others)} starts that are not the {len(starts)} of {first}:"
                " arms are compared on the same episode seeds, so evaluate it on those."
            )
    return starts


def _notes(fewest: int, most: int, starts: int, baseline: str | None) -> tuple[str, ...]:
    notes = (
        f"{starts} starts, the same for every arm and training seed.",
        f"Success: {SUCCESS_OF_ONE if most == 1 else SUCCESS_OF_SEVERAL}",
        levels_note(fewest),
        "All intervals cover 95 %.",
    )
    if baseline is None:
        return notes
    return (
        *notes,
        f"Differences are to '{baseline}', paired by start; jerk over successes is then compared "
        "on the starts at which both succeeded.",
    )
