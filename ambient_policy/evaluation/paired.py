"""Two arms' success on the same starts: counts of pairs, exact test, interval, probability.

What is said of one training each is said of these two networks. Of several trainings the counts
are means over all pairs of trainings, and only bounds for what resamples of both levels say.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.evaluation.crossed import Spread, spread
from ambient_policy.evaluation.statistics import Bootstrap, Interval, wilson_of_share

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Pairs:
    """Starts by who succeeded there; whole numbers for one training each.

    Attributes:
        both, arm, baseline, neither: how many starts, times the smaller number of trainings.
    """

    both: float
    arm: float
    baseline: float
    neither: float

    @property
    def count(self) -> float:
        """All of them."""
        return self.both + self.arm + self.baseline + self.neither

    @property
    def difference(self) -> float:
        """Success of the arm minus that of the baseline, in [-1,1]."""
        return (self.arm - self.baseline) / self.count

    @property
    def discordance(self) -> float:
        """Share of the starts at which one arm alone succeeds."""
        return (self.arm + self.baseline) / self.count


def pairs_of(arm: Floats, baseline: Floats) -> Pairs:
    """Count the pairs of two tables of 0 and 1, (S,E) and (S',E)."""
    a, b = arm.mean(axis=0), baseline.mean(axis=0)
    weight = min(len(arm), len(baseline))
    cells = (a * b, a * (1 - b), (1 - a) * b, (1 - a) * (1 - b))
    return Pairs(*(weight * float(cell.sum()) for cell in cells))


def mcnemar(pairs: Pairs) -> float:
    """Two-sided p of equal success: the exact binomial test of discordant pairs.

    McNemar 1947, in the exact form: of b + c pairs, b are a fair coin's heads.
    """
    from scipy.stats import binomtest

    heads, tosses = round(pairs.arm), round(pairs.arm) + round(pairs.baseline)
    return float(binomtest(heads, tosses).pvalue) if tosses else 1.0


def newcombe(pairs: Pairs, confidence: float = 0.95) -> Interval:
    """Interval of the paired difference: method 10 of Newcombe 1998 (Stat. Med. 17, 2635-2650)."""
    n = pairs.count
    ours, theirs = (pairs.both + pairs.arm) / n, (pairs.both + pairs.baseline) / n
    arm, base = (wilson_of_share(share, n, confidence) for share in (ours, theirs))
    phi = _correlation(pairs)
    below, above = (
        math.sqrt(max(x**2 - 2 * phi * x * y + y**2, 0.0))
        for x, y in ((ours - arm.low, base.high - theirs), (theirs - base.low, arm.high - ours))
    )
    return Interval(ours - theirs, ours - theirs - below, ours - theirs + above)


def _correlation(pairs: Pairs) -> float:
    """The correlation phi of the two successes, with method 10's correction for continuity."""
    e, f, g, h = pairs.both, pairs.arm, pairs.baseline, pairs.neither
    product = (e + f) * (g + h) * (e + g) * (f + h)
    excess = e * h - f * g
    if excess > 0:
        excess = max(excess - pairs.count / 2, 0.0)
    return excess / math.sqrt(product) if product > 0 else 0.0


@dataclass(frozen=True)
class RateDifference:
    """Success of an arm minus that of a baseline.

    Attributes:
        interval: in [-1,1].
        p: two-sided, of no difference.
        probability: that the arm is the better one.
        pairs: of both.
        spread: of the difference, by level.
    """

    interval: Interval
    p: float
    probability: float
    pairs: Pairs
    spread: Spread


def rate_difference(arm: Floats, baseline: Floats, bootstrap: Bootstrap) -> RateDifference:
    """Compare two tables of 0 and 1, (S,E) and (S',E), on the same E starts."""
    pairs, levels = pairs_of(arm, baseline), spread(arm, -baseline)
    interval = newcombe(pairs, bootstrap.confidence)
    if len(arm) == len(baseline) == 1:
        p, probability = mcnemar(pairs), _probability_of_discordant(pairs)
    else:
        p, probability = _student(pairs, levels)
        interval = _widest(bootstrap.difference(arm, baseline), interval)
    return RateDifference(interval, p, probability, pairs, levels)


def equality(arm: Floats, baseline: Floats) -> float:
    """Two-sided p of equal success: tables of 0 and 1, (S,E) and (S',E), on the same E starts."""
    pairs = pairs_of(arm, baseline)
    if len(arm) == len(baseline) == 1:
        return mcnemar(pairs)
    return _student(pairs, spread(arm, -baseline))[0]


def _widest(levels: Interval, pooled: Interval) -> Interval:
    """The interval of both levels, no narrower than that of the pairs, inside [-1,1]."""
    low, high = np.fmin(levels.low, pooled.low), np.fmax(levels.high, pooled.high)
    return Interval(levels.estimate, max(float(low), -1.0), min(float(high), 1.0))


def _probability_of_discordant(pairs: Pairs) -> float:
    """That of discordant pairs more than half are the arm's, under Jeffreys' prior."""
    from scipy.special import betaincc

    return float(betaincc(pairs.arm + 0.5, pairs.baseline + 0.5, 0.5))


def _student(pairs: Pairs, levels: Spread) -> tuple[float, float]:
    """Two-sided p, and the probability of a positive difference, by Student's law.

    The variance is never below that of the pairs with half a pair added on either side, so that
    trainings that all succeed everywhere are no certainty.
    """
    from scipy.special import stdtr

    n, sum_, gap = pairs.count, pairs.arm + pairs.baseline + 1, pairs.arm - pairs.baseline
    least = (sum_ / (n + 1) - (gap / (n + 1)) ** 2) / n
    variance = max(least, levels.variance) if math.isfinite(levels.variance) else least
    t = pairs.difference / math.sqrt(variance)
    freedom = levels.freedom if math.isfinite(levels.variance) else 1.0
    return 2 * float(stdtr(freedom, -abs(t))), float(stdtr(freedom, t))
