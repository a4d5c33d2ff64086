"""Intervals that respect the experiment: all arms share their starts, and trainings are few.

Every arm runs on the same starts (episode seeds), once per training seed: a table (S,E) of
S trainings by E starts, crossed. A resample draws trainings with replacement and, independently,
starts with replacement; the drawn starts are the same for every training and every arm (the
"pigeonhole" bootstrap of Owen 2007 for crossed tables). Pooling S*E episodes as if independent
would hide both that a start is hard for everybody and that a training came out well by luck.
Resamples of few trainings spread too little, and they count what is left over on both levels: the
resamples give an interval its shape, and ``crossed`` its width.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy import seeding
from ambient_policy.errors import DataError
from ambient_policy.evaluation.crossed import Spread, spread

Floats = NDArray[np.floating[Any]]
RESAMPLES = 10_000
_BLOCK = 1_000  # resamples held in memory at once


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its interval; NaN where it is not defined."""

    estimate: float
    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the share of successes in [0,1] with Wilson's score interval.

    Episodes count as independent.

    Raises:
        DataError: unless 0 <= successes <= trials and trials >= 1.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise DataError(f"{successes} successes in {trials} trials: need 0 <= successes <= trials.")
    return wilson_of_share(successes / trials, trials, confidence)


def wilson_of_share(share: float, trials: float, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a share that may be a mean of several counts.

    Wilson 1927; scipy has it for whole successes alone.
    """
    from scipy.special import ndtri

    square = float(ndtri((1 + confidence) / 2)) ** 2 / trials  # z^2 / n
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0))


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals by resampling trainings and starts.

    Attributes:
        seed: seed of the resamples; equal seeds draw equal starts for every quantity.
        resamples: number of resamples.
        confidence: share of the resamples inside an interval.
    """

    seed: int
    resamples: int = RESAMPLES
    confidence: float = 0.95

    def mean(self, values: Floats) -> Interval:
        """Return the mean of a table (S,E) of trainings by starts, or (E,) of one training.

        NaN cells (failures, if only successes count) do not enter. With S = 1 only the starts are
        resampled: the interval is then about *this* training, not about training again.
        """
        table = _table(values)
        draws = []
        for trainings, starts in self._counts(table.shape, None):
            known = np.isfinite(table)
            total = ((starts @ np.where(known, table, 0).T) * trainings).sum(axis=1)
            draws.append(_divide(total, ((starts @ known.T) * trainings).sum(axis=1)))
        return self._percentiles(_nanmean(table), np.concatenate(draws), spread(table))

    def share(self, successes: Floats) -> Interval:
        """Return the share of successes in a table (S,E) of 0 and 1, or (E,) of one training.

        Of one training it is Wilson's. Of several it is ``mean``'s, where a training that came out
        well by luck counts once and not E times; but no narrower than Wilson's of all S*E episodes,
        for a resample of nothing but successes would claim to be certain.
        """
        table = _table(successes)
        pooled = wilson(int(table.sum()), table.size, self.confidence)
        if len(table) == 1:
            return pooled
        levels = self.mean(table)
        low, high = np.fmin(levels.low, pooled.low), np.fmax(levels.high, pooled.high)
        return Interval(pooled.estimate, max(float(low), 0.0), min(float(high), 1.0))

    def difference(self, arm: Floats, baseline: Floats) -> Interval:
        """Return arm minus baseline, start by start: tables (S,E) and (S',E), the same E starts.

        The mean over trainings at each start (without NaN cells) comes first, then the difference
        of arm and baseline, then the mean over starts; a start unknown to either does not enter.
        Trainings of the two arms are resampled apart, for they are different runs; starts are
        resampled together.
        """
        return self._paired(arm, baseline, np.subtract, lambda a, b, _: (a, -b))

    def ratio(self, arm: Floats, baseline: Floats) -> Interval:
        """Return the arm's mean over the baseline's, on the starts that both know."""
        return self._paired(arm, baseline, _divide, _linear_ratio)

    def _paired(self, arm: Floats, baseline: Floats, compare: Any, linear: Any) -> Interval:
        a, b = _table(arm), _table(baseline)
        if a.shape[1] != b.shape[1]:
            raise DataError(
                f"a paired comparison needs the same starts, got {a.shape[1]} for the arm and "
                f"{b.shape[1]} for the baseline: evaluate both on the same episode seeds."
            )
        estimate = _compare(a, b, compare, *(np.ones((1, n)) for n in (len(a), len(b), a.shape[1])))
        arm_draws = self._counts(a.shape, "arm")
        baseline_draws = self._counts(b.shape, "baseline")
        draws = [
            _compare(a, b, compare, of_arm, of_baseline, starts)
            for (of_arm, starts), (of_baseline, _) in zip(arm_draws, baseline_draws, strict=True)
        ]
        at = float(estimate[0])
        return self._percentiles(at, np.concatenate(draws), spread(*linear(a, b, at)))

    def _counts(self, shape: tuple[int, ...], side: str | None) -> Any:
        """Draw blocks of counts of trainings (R,S) and starts (R,E); the starts ignore the side."""
        trainings, starts = shape
        purpose = "bootstrap trainings" if side is None else f"bootstrap trainings of {side}"
        of_trainings = seeding.generator(self.seed, purpose)
        of_starts = seeding.generator(self.seed, "bootstrap starts")
        for first in range(0, self.resamples, _BLOCK):
            block = min(_BLOCK, self.resamples - first)
            yield (
                _multinomial(of_trainings, trainings, block),
                _multinomial(of_starts, starts, block),
            )

    def _percentiles(self, estimate: float, draws: Floats, levels: Spread) -> Interval:
        """Percentiles of the resamples, scaled to the width of Student's interval (``crossed``)."""
        known = draws[np.isfinite(draws)]
        if not math.isfinite(levels.variance) or not len(known):
            return Interval(estimate, float("nan"), float("nan"))
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(known, [tail, 1 - tail])
        half = (high - low) / 2
        scale = levels.half_width(self.confidence) / half if half > 0 else 1.0
        ends = (estimate + scale * (float(end) - estimate) for end in (low, high))
        return Interval(estimate, *ends)


def levels_note(trainings: int) -> str:
    """Explain the intervals of a comparison with this many trainings per arm."""
    if trainings == 1:
        return (
            "One training seed: intervals are over episodes only. They tell how sure we are about "
            "these trained networks, not what training again would give."
        )
    few = "" if trainings >= 5 else " So few trainings make the outer level itself uncertain."
    return (
        f"Bootstrap intervals resample training seeds ({trainings} in the smallest arm) and "
        f"starts, and have the width of Student's.{few}"
    )


def _linear_ratio(arm: Floats, baseline: Floats, ratio: float) -> tuple[Floats, Floats]:
    """The two tables whose difference varies as the ratio does, to first order (delta method)."""
    scale = _nanmean(baseline)
    return (arm / scale, -ratio * baseline / scale) if scale else (arm * np.nan, baseline * np.nan)


def _compare(
    a: Floats, b: Floats, compare: Any, of_arm: Floats, of_baseline: Floats, starts: Floats
) -> Floats:
    """Compare means over starts (R,), from the counts of the drawn rows, (R,S) and (R,S')."""
    at_arm, at_baseline = _per_start(a, of_arm), _per_start(b, of_baseline)
    weight = starts * (np.isfinite(at_arm) & np.isfinite(at_baseline))
    total = weight.sum(axis=1)
    means = (
        _divide((weight * np.nan_to_num(side)).sum(axis=1), total) for side in (at_arm, at_baseline)
    )
    return np.asarray(compare(*means))


def _per_start(table: Floats, counts: Floats) -> Floats:
    """Return the mean (R,E) over the drawn trainings at each start, NaN where none is known."""
    known = np.isfinite(table)
    return _divide(counts @ np.where(known, table, 0), counts @ known)


def _multinomial(rng: np.random.Generator, items: int, draws: int) -> Floats:
    return np.asarray(rng.multinomial(items, np.full(items, 1 / items), size=draws), np.float64)


def _table(values: Floats) -> Floats:
    table = np.atleast_2d(np.asarray(values, np.float64))
    if table.ndim != 2 or not table.size:
        raise DataError(f"expected numbers (trainings, starts), got shape {np.shape(values)}.")
    return table


def _nanmean(table: Floats) -> float:
    known = table[np.isfinite(table)]
    return float(known.mean()) if len(known) else float("nan")


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    missing = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=missing, where=denominator != 0)
    return missing
