"""The table of arms: a row for each arm, from its trainings on the same starts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import DataError, unknown
from ambient_policy.evaluation.multiplicity import holm, letters
from ambient_policy.evaluation.paired import RateDifference, equality, rate_difference
from ambient_policy.evaluation.records import EpisodeRecord
from ambient_policy.evaluation.statistics import (
    Bootstrap,
    Interval,
    levels_note,
)
from ambient_policy.evaluation.verdict import LEVEL, Finding, Verdict, judge, more_needed

SUCCESS_OF_ONE = "Wilson interval, which counts every episode as independent."
SUCCESS_OF_SEVERAL = (
    "bootstrap over training seeds and starts, no narrower than Wilson's interval, which would "
    "count every episode as independent and stands alone where an arm was trained once."
)
LETTERS = "Arms that share a letter do not differ in success (5 %, Holm over all pairs of arms)."
DIFFERENCE_OF_ONE = (
    "Difference in success: exact McNemar test, Holm over the arms; Newcombe's interval (its "
    "method 10)."
)
DIFFERENCE_OF_SEVERAL = (
    "Difference in success: Student's test over training seeds and starts, Holm over the arms; the "
    "interval is no narrower than Newcombe's of the pairs."
)
MARGIN = 0.05  # smallest difference in success that matters, unless another one is named
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
    the best value of the world's own numbers (e.g. coverage), over all episodes. ``letters``: arms
    that share one do not differ in success (5 %, Holm over all pairs); "" for a single arm.
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
    sparc_successes: Interval
    ldlj_successes: Interval
    progress: Interval
    failures: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, Interval] = field(default_factory=dict)
    difference: Difference | None = None
    letters: str = ""


@dataclass(frozen=True)
class Table:
    """The rows of all arms in their order, what is said of them, and notes.

    Attributes:
        rows: of the arms.
        baseline: of the differences.
        verdicts: of every other arm against the baseline.
        notes: how to read the rest.
    """

    rows: tuple[Row, ...]
    baseline: str | None
    verdicts: tuple[Verdict, ...]
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
        """Return rows, baseline, verdicts and notes as plain values."""
        verdicts = [
            {"sentence": v.sentence, **asdict(v), "finding": v.finding.value} for v in self.verdicts
        ]
        return {**asdict(self), "verdicts": verdicts}


def compare(
    arms: Mapping[str, Episodes],
    *,
    baseline: str | None = None,
    extra: Sequence[str] = (),
    seed: int = 0,
    margin: float = MARGIN,
) -> Table:
    """Compare all arms in one table.

    Args:
        arms: name -> training seed -> episodes; every training on the same starts.
        baseline: the arm that the others differ from, None for no differences.
        extra: keys of the world's own numbers for the table, e.g. "coverage".
        seed: seed of the bootstrap.
        margin: smallest difference in success that matters.

    Raises:
        SettingsError: for a baseline that is no arm.
        DataError: if starts differ between trainings.
    """
    if baseline is not None and baseline not in arms:
        raise unknown("baseline", baseline, arms)
    starts = _common_starts(arms)
    bootstrap, shared = Bootstrap(seed), _letters(arms, starts)
    against = _against(arms, baseline, starts, bootstrap)
    rows = tuple(
        replace(
            _row(name, episodes, starts, tuple(extra), bootstrap),
            difference=_difference(episodes, arms[str(baseline)], starts, bootstrap, against[name])
            if name in against
            else None,
            letters=shared[name],
        )
        for name, episodes in arms.items()
    )
    trainings = {row.arm: row.trainings for row in rows}
    verdicts = _verdicts(rows, baseline, against, margin, len(starts)) if baseline else ()
    return Table(rows, baseline, verdicts, _notes(trainings, len(starts), baseline))


def _against(
    arms: Mapping[str, Episodes], baseline: str | None, starts: Sequence[int], bootstrap: Bootstrap
) -> dict[str, RateDifference]:
    """Compare the success of every other arm with the baseline's."""
    if baseline is None:
        return {}
    theirs = _values(arms[baseline], starts, "success", False)
    return {
        arm: rate_difference(_values(episodes, starts, "success", False), theirs, bootstrap)
        for arm, episodes in arms.items()
        if arm != baseline
    }


def _letters(arms: Mapping[str, Episodes], starts: Sequence[int]) -> dict[str, str]:
    """Letters of each arm, "a" for the best; none for a single arm."""
    if len(arms) < 2:
        return dict.fromkeys(arms, "")
    tables = {arm: _values(episodes, starts, "success", False) for arm, episodes in arms.items()}
    two = list(combinations(arms, 2))
    p_values = holm([equality(tables[a], tables[b]) for a, b in two])
    differ = {frozenset(pair): p < LEVEL for pair, p in zip(two, p_values, strict=True)}
    return letters(sorted(arms, key=lambda arm: -tables[arm].mean()), differ)


def _verdicts(
    rows: Sequence[Row],
    baseline: str,
    against: Mapping[str, RateDifference],
    margin: float,
    starts: int,
) -> tuple[Verdict, ...]:
    """Judge every other arm against the baseline, Holm over these arms."""
    trainings = {row.arm: row.trainings for row in rows}
    p_values = holm([difference.p for difference in against.values()])
    ratios = {
        row.arm: row.difference.squared_jerk_successes_ratio for row in rows if row.difference
    }
    verdicts = []
    for (arm, difference), p in zip(against.items(), p_values, strict=True):
        fewest = min(trainings[arm], trainings[baseline])
        finding = judge(difference.interval, p, margin)
        undecided = finding is Finding.undecided
        verdicts.append(
            Verdict(
                arm=arm,
                baseline=baseline,
                finding=finding,
                difference=difference.interval,
                p=p,
                probability=difference.probability,
                margin=margin,
                more=more_needed(difference, starts, fewest, margin) if undecided else None,
                jerk_ratio=ratios[arm],
            )
        )
    return tuple(verdicts)


def _row(
    name: str,
    episodes: Episodes,
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
        sparc_successes=mean("sparc", successes=True),
        ldlj_successes=mean("ldlj", successes=True),
        progress=mean("progress"),
        failures={reason: sum(e.failure == reason for e in everyone) for reason in reasons},
        extra={key: mean(key) for key in extra},
    )


def _difference(
    arm: Episodes,
    baseline: Episodes,
    starts: Sequence[int],
    bootstrap: Bootstrap,
    success: RateDifference,
) -> Difference:
    def pair(key: str, successes: bool = False) -> tuple[Any, Any]:
        return (
            _values(arm, starts, key, successes),
            _values(baseline, starts, key, successes),
        )

    return Difference(
        success=success.interval,
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


def _notes(trainings: Mapping[str, int], starts: int, baseline: str | None) -> tuple[str, ...]:
    most = max(trainings.values())
    notes = (
        f"{starts} starts, the same for every arm and training seed.",
        f"Success: {SUCCESS_OF_ONE if most == 1 else SUCCESS_OF_SEVERAL}",
        levels_note(min(trainings.values())),
        "All intervals cover 95 %.",
        *([LETTERS] if len(trainings) > 1 else []),
    )
    if baseline is None:
        return notes
    return (
        *notes,
        f"Differences are to '{baseline}', paired by start; jerk over successes is then compared "
        "on the starts at which both succeeded.",
        DIFFERENCE_OF_ONE if most == 1 else DIFFERENCE_OF_SEVERAL,
    )
