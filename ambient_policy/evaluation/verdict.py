"""What a comparison of two arms says: one of four words, one sentence, and what would decide."""

import math
from dataclasses import dataclass
from enum import Enum

from ambient_policy.evaluation.paired import RateDifference
from ambient_policy.evaluation.statistics import Interval

LEVEL = 0.05  # of a false "better" or "worse" among all arms
POWER = 0.8  # chance with which "so many more" are to decide
MOST_STARTS, MOST_TRAININGS = 100_000, 1_000  # beyond these nobody goes on


class Finding(Enum):
    """The four words."""

    better = "better"
    worse = "worse"
    equivalent = "equivalent"
    undecided = "undecided"


@dataclass(frozen=True)
class More:
    """What would probably decide, at the rates seen so far; None where it alone would not.

    Attributes:
        starts: further starts for every training.
        trainings: further training seeds for every arm.
    """

    starts: int | None
    trainings: int | None

    def __str__(self) -> str:
        """In words."""
        starts = "" if self.starts is None else f"about {self.starts} more starts"
        trainings = "" if self.trainings is None else f"about {self.trainings} more training seeds"
        choices = " or ".join(filter(None, (starts, trainings)))
        return f"{choices} would decide" if choices else "no bearable number of runs would decide"


@dataclass(frozen=True)
class Verdict:
    """An arm against the baseline in success.

    Attributes:
        arm, baseline: their names.
        finding: the word.
        difference: success of the arm minus that of the baseline, in [-1,1].
        p: two-sided, adjusted for all arms (Holm).
        probability: that the arm is better than the baseline.
        margin: smallest difference that matters, in [0,1].
        more: what would decide; None where it is decided.
        jerk_ratio: squared jerk of the arm over the baseline's, where both succeed.
    """

    arm: str
    baseline: str
    finding: Finding
    difference: Interval
    p: float
    probability: float
    margin: float
    more: More | None
    jerk_ratio: Interval

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        points = f"{_points(self.difference)}, P({self.arm} better) = {_share(self.probability)}"
        return f"{self._claim}: {points}{self._remedy}{self._smoothness}."

    @property
    def _claim(self) -> str:
        names = f"{self.arm} {{}} {self.baseline} in success"
        return {
            Finding.better: names.format("is better than"),
            Finding.worse: names.format("is worse than"),
            Finding.equivalent: names.format("is equivalent to")
            + f" (within {100 * self.margin:g} points)",
            Finding.undecided: f"undecided: {names.format('against')}",
        }[self.finding]

    @property
    def _remedy(self) -> str:
        return "" if self.more is None else f"; {self.more}"

    @property
    def _smoothness(self) -> str:
        ratio = self.jerk_ratio
        if not math.isfinite(ratio.estimate):
            return ""
        ends = f" [{ratio.low:.2f}, {ratio.high:.2f}]" if math.isfinite(ratio.low) else ""
        return (
            f"; where both succeed, its squared jerk is {ratio.estimate:.2f}{ends} times "
            f"{self.baseline}'s"
        )


def _points(value: Interval) -> str:
    ends = f" [{100 * value.low:+.1f}, {100 * value.high:+.1f}]" if math.isfinite(value.low) else ""
    return f"{100 * value.estimate:+.1f} points{ends}"


def _share(probability: float) -> str:
    """In percent; never 0 or 100, which nobody can know."""
    percent = min(max(100 * probability, 0.1), 99.9)
    sign = {0.1: "< ", 99.9: "> "}.get(percent, "")
    return f"{sign}{percent:.1f} %"


def judge(interval: Interval, p: float, margin: float) -> Finding:
    """Find the word.

    A difference that lies within the margin with its whole interval is equivalent, even if it is
    not zero. (This is Schuirmann's two one-sided tests of 1987, at half the level.)

    Args:
        interval: of arm minus baseline; larger is better.
        p: of no difference, adjusted.
        margin: smallest difference that matters.
    """
    if -margin < interval.low and interval.high < margin:
        return Finding.equivalent
    if p < LEVEL and interval.low > 0:
        return Finding.better
    if p < LEVEL and interval.high < 0:
        return Finding.worse
    return Finding.undecided


def more_needed(difference: RateDifference, starts: int, trainings: int, margin: float) -> More:
    """Estimate what would decide at the rates, and the discordance, seen so far.

    Args:
        difference: of the two arms.
        starts: E of each training.
        trainings: S, of the arm that has fewer.
        margin: smallest difference that matters.
    """
    target = _variance_that_decides(difference.pairs.difference, margin)
    variance, between = _variance(difference), difference.spread.between_trainings
    if not target > 0 or not math.isfinite(variance):
        return More(None, None)
    over_starts = max(variance - between, 0.0)
    return More(
        _further(starts, over_starts, target - between, MOST_STARTS),
        # a further training brings both levels down, but not what its starts have in common
        _further(trainings, between, target - over_starts, MOST_TRAININGS) if between else None,
    )


def _variance(difference: RateDifference) -> float:
    """Of the difference; half a pair on either side keeps it from being zero."""
    pairs = difference.pairs
    seen = (pairs.arm + pairs.baseline + 1) / (pairs.count + 1) - pairs.difference**2
    return max(difference.spread.variance, seen / pairs.count)


def _variance_that_decides(difference: float, margin: float) -> float:
    """The larger one of those at which "better" (or "worse") and "equivalent" have their power.

    Both ask that the estimate lies z(1 - level/2) + z(power) standard errors inside.
    """
    from scipy.special import ndtri

    reach = float(ndtri(1 - LEVEL / 2) + ndtri(POWER))
    return (max(abs(difference), margin - abs(difference)) / reach) ** 2


def _further(number: int, variance: float, allowed: float, most: int) -> int | None:
    """How many more than ``number`` bring a variance that falls as 1/number to what is allowed."""
    if not allowed > 0 or variance / allowed * number - number > most:
        return None
    return max(_rounded(variance / allowed * number - number), 1)


def _rounded(number: float) -> int:
    """Up, to two digits: it is an estimate."""
    step = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return int(step * math.ceil(number / step))
