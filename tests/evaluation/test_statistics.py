"""Intervals: closed forms, coverage on synthetic data, pairing narrows, training seeds widen."""

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ambient_policy.errors import DataError
from ambient_policy.evaluation.statistics import (
    Bootstrap,
    Interval,
    levels_note,
    wilson,
)


def width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (7, 10), (200, 200), (97, 200)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_is_scipys(successes: int, trials: int, confidence: float) -> None:
    bounds = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    interval = wilson(successes, trials, confidence)
    assert interval.estimate == successes / trials
    assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high), abs=1e-12)


@pytest.mark.slow
def test_wilson_covers() -> None:
    draws = np.random.default_rng(0).binomial(100, 0.93, size=2000)
    hits = [wilson(int(n), 100).low <= 0.93 <= wilson(int(n), 100).high for n in draws]
    assert 0.93 < np.mean(hits) < 0.98


def test_success_of_one_training_is_wilsons() -> None:
    assert Bootstrap(0).share(np.array([1.0] * 93 + [0.0] * 7)) == wilson(93, 100)


def test_trainings_that_fail_and_succeed_whole_leave_success_open() -> None:
    """Pooled, 200 episodes would claim [43, 57] %."""
    tables = [np.repeat(np.arange(n) % 2, 100).reshape(n, 100).astype(float) for n in (2, 10)]
    two, ten = (Bootstrap(0).share(table) for table in tables)
    assert (two.estimate, two.low, two.high) == (0.5, 0.0, 1.0)
    assert 0.1 < ten.low < 0.2 and 0.8 < ten.high < 0.9  # Student's, with nine degrees of freedom


def test_successes_alone_are_no_certainty() -> None:
    assert Bootstrap(0).share(np.ones((3, 50))) == wilson(150, 150)


@pytest.mark.parametrize("hard", [0.0, 1.0])
def test_success_over_trainings_covers(hard: float) -> None:
    """Ten trainings and forty starts, each more or less good and hard."""

    def once(rng: Any) -> tuple[Interval, float]:
        level = 1 + rng.normal(size=(10, 1)) + hard * rng.normal(size=40)
        table = (level + rng.logistic(size=(10, 40)) > 0).astype(float)
        return Bootstrap(0, 400).share(table), truth

    random = np.random.default_rng(99)
    spread = np.sqrt(1 + hard**2) * random.normal(size=100_000)
    truth = float((1 / (1 + np.exp(-1 - spread))).mean())
    assert 0.85 <= covered(once) <= 1


def test_one_level_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=80)
    own = Bootstrap(0).mean(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000)
    assert own.estimate == pytest.approx(values.mean())
    assert own.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert own.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def covered(make: Callable[[Any], tuple[Interval, float]], times: int = 200) -> float:
    results = [make(np.random.default_rng(i)) for i in range(times)]
    return float(np.mean([interval.low <= truth <= interval.high for interval, truth in results]))


def crossed(rng: Any, trainings: int, starts: int, level: float, hard: Any) -> Any:
    noise = rng.normal(size=(trainings, starts))
    return level + rng.normal(size=(trainings, 1)) + hard + noise


def test_one_level_coverage() -> None:
    share = covered(lambda rng: (Bootstrap(0, 1000).mean(rng.normal(size=60)), 0.0))
    assert 0.9 <= share <= 0.985


def test_two_level_coverage() -> None:
    def once(rng: Any) -> tuple[Interval, float]:
        table = crossed(rng, 12, 30, 3.0, rng.normal(size=30))
        return Bootstrap(0, 1000).mean(table), 3.0

    assert 0.87 <= covered(once) <= 0.99


@pytest.mark.slow
def test_paired_two_level_coverage_and_what_pooling_would_claim() -> None:
    def once(rng: Any, pool: bool) -> tuple[Interval, float]:
        hard = 3 * rng.normal(size=30)
        a, b = (crossed(rng, 10, 30, level, hard) for level in (2.0, 1.0))
        if pool:
            return Bootstrap(0, 1000).mean((a - b).ravel()), 1.0
        return Bootstrap(0, 1000).difference(a, b), 1.0

    assert 0.87 <= covered(lambda rng: once(rng, False)) <= 0.99
    assert covered(lambda rng: once(rng, True)) < 0.6


def test_pairing_by_start_narrows_the_interval() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(size=200) * 5
    a, b = hard + rng.normal(size=200), hard + rng.normal(size=200) + 1
    together = Bootstrap(0).difference(a, b)
    apart = Bootstrap(0).difference(a, rng.permutation(b))
    assert together.estimate == pytest.approx(apart.estimate)
    assert width(together) < 0.5 * width(apart)


def test_disagreeing_trainings_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(4, 200))
    shifted = table + np.array([[-2.0], [-1.0], [1.0], [2.0]])
    assert width(Bootstrap(0).mean(shifted)) > 3 * width(Bootstrap(0).mean(table))
    other = rng.normal(size=(1, 200))
    assert width(Bootstrap(0).difference(shifted, other)) > 3 * width(
        Bootstrap(0).difference(table, other)
    )


def test_equal_trainings_do_not_pretend_to_be_more_starts() -> None:
    run = np.random.default_rng(4).normal(size=100)
    once, thrice = Bootstrap(0).mean(run), Bootstrap(0).mean(np.tile(run, (3, 1)))
    assert width(thrice) == pytest.approx(width(once), rel=0.05)


def test_an_arm_against_itself_and_a_constant_shift() -> None:
    run = np.random.default_rng(5).normal(size=50)
    assert Bootstrap(0).difference(run, run) == Interval(0, 0, 0)
    shifted = Bootstrap(0).difference(run + 2, run)
    assert shifted.estimate == pytest.approx(2)
    assert width(shifted) == pytest.approx(0, abs=1e-12)
    halved = Bootstrap(0).ratio(np.exp(run) / 2, np.exp(run))
    assert halved.low == pytest.approx(0.5)
    assert halved.high == pytest.approx(0.5)


def test_a_function_of_the_seed() -> None:
    run = np.random.default_rng(6).normal(size=50)
    assert Bootstrap(1).mean(run) == Bootstrap(1).mean(run)
    assert Bootstrap(1).mean(run) != Bootstrap(2).mean(run)


def test_cells_nobody_knows_are_left_out() -> None:
    arm, baseline = np.array([1.0, np.nan, 5.0, 7.0]), np.array([[0.0, 2.0, np.nan, 4.0]])
    assert Bootstrap(0).mean(arm).estimate == pytest.approx(13 / 3)
    assert Bootstrap(0).difference(arm, baseline).estimate == pytest.approx(2.0)  # starts 0 and 3
    assert Bootstrap(0).ratio(arm, baseline).estimate == pytest.approx(2.0)
    nothing = Bootstrap(0).mean(np.full(4, np.nan))
    assert math.isnan(nothing.estimate) and math.isnan(nothing.low)


def test_one_start_has_no_interval() -> None:
    alone = Bootstrap(0).mean(np.array([[3.0]]))
    assert alone.estimate == 3 and math.isnan(alone.low) and math.isnan(alone.high)


def test_notes_say_what_an_interval_is_about() -> None:
    assert "over episodes only" in levels_note(1)
    assert "itself uncertain" in levels_note(2) and "itself uncertain" not in levels_note(5)


def test_messages() -> None:
    with pytest.raises(DataError, match="3 successes in 2 trials"):
        wilson(3, 2)
    with pytest.raises(DataError, match="same starts, got 3 for the arm and 4"):
        Bootstrap(0).difference(np.zeros(3), np.zeros(4))
    with pytest.raises(DataError, match=r"\(trainings, starts\), got shape \(0,\)"):
        Bootstrap(0).mean(np.zeros(0))


@pytest.mark.slow
def test_nothing_pays_for_scipys_statistics_before_an_interval_is_wanted() -> None:
    code = (
        "import sys, ambient_policy.evaluation.comparison; assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
