"""Paired comparisons and verdicts: closed forms, coverage, false findings, and what is said."""

import math
from itertools import combinations

import numpy as np
import pytest

from ambient_policy.evaluation.comparison import compare
from ambient_policy.evaluation.crossed import spread
from ambient_policy.evaluation.multiplicity import holm, letters
from ambient_policy.evaluation.paired import (
    Pairs,
    equality,
    mcnemar,
    newcombe,
    pairs_of,
    rate_difference,
)
from ambient_policy.evaluation.statistics import Bootstrap, Interval
from ambient_policy.evaluation.tables import to_markdown
from ambient_policy.evaluation.verdict import Finding, judge, more_needed
from tests.evaluation.test_report import episode


def test_newcombes_own_example() -> None:
    """Table II, example (a) of the 1998 paper: 36, 12, 2, 0 of 50."""
    interval = newcombe(Pairs(36, 12, 2, 0))
    assert interval.estimate == pytest.approx(0.2)
    assert (interval.low, interval.high) == pytest.approx((0.0569, 0.3404), abs=1e-4)


def test_mcnemar_is_a_fair_coins() -> None:
    assert mcnemar(Pairs(36, 12, 2, 0)) == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    assert mcnemar(Pairs(40, 0, 0, 10)) == 1


@pytest.mark.parametrize("trainings", [1, 2])
def test_a_difference_of_zero_from_few_starts_is_no_certainty(trainings: int) -> None:
    same = np.ones((trainings, 10))
    difference = rate_difference(same, same, Bootstrap(0, 500))
    assert difference.interval.estimate == 0
    assert difference.interval.low < -0.1 < 0.1 < difference.interval.high
    assert difference.probability == pytest.approx(0.5) and difference.p == pytest.approx(1)


def test_arms_that_change_places_change_the_sign() -> None:
    a, b = np.random.default_rng(0).random((2, 1, 60)) < np.array([[[0.9]], [[0.6]]])
    there, back = (rate_difference(x * 1.0, y * 1.0, Bootstrap(0)) for x, y in ((a, b), (b, a)))
    assert there.interval.low == pytest.approx(-back.interval.high)
    assert there.p == back.p and there.probability == pytest.approx(1 - back.probability)


def test_newcombe_covers() -> None:
    """3000 comparisons of 40 starts: .9 against .7, dependent by start."""
    rng = np.random.default_rng(1)
    luck = rng.random((3000, 40))
    a, b = luck < 0.9, np.where(rng.random(luck.shape) < 0.5, luck, rng.random(luck.shape)) < 0.7
    cells, counts = np.unique(
        np.stack([(a & b).sum(1), (a & ~b).sum(1), (~a & b).sum(1), (~a & ~b).sum(1)], 1),
        axis=0,
        return_counts=True,
    )
    intervals = [newcombe(Pairs(*map(float, cell))) for cell in cells]
    hit = np.array([i.low <= 0.2 <= i.high for i in intervals])
    assert 0.93 < (hit * counts).sum() / counts.sum() < 0.98


@pytest.mark.parametrize("trainings", [2, 3, 5])
def test_equal_arms_of_few_trainings_seldom_differ(trainings: int) -> None:
    """Trainings good and bad by luck, starts hard for everybody: at most 5 % are told apart."""
    rng, found, times = np.random.default_rng(trainings), 0, 600
    for _ in range(times):
        hard = 1 + rng.normal(size=50)
        level = rng.normal(size=(2, trainings, 1)) + hard
        a, b = (level + rng.logistic(size=(2, trainings, 50)) > 0).astype(float)
        found += equality(a, b) < 0.05
    assert found / times < 0.05 + 2 * math.sqrt(0.05 * 0.95 / times)


def test_the_interval_of_three_trainings_covers() -> None:
    rng, hits = np.random.default_rng(3), 0
    for _ in range(150):
        level = 0.7 * rng.normal(size=(2, 3, 1)) + rng.normal(size=40) + np.array([[[2]], [[1]]])
        a, b = (level + rng.logistic(size=(2, 3, 40)) > 0).astype(float)
        interval = rate_difference(a, b, Bootstrap(0, 300)).interval
        hits += interval.low <= TRUTH <= interval.high
    assert hits / 150 > 0.92


def _share(mean: float) -> float:
    """Success of a level of this mean and variance .7^2 + 1 under a logistic's luck."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    values = 1 / (1 + np.exp(-mean - nodes * math.sqrt(0.7**2 + 1)))
    return float((weights * values).sum() / weights.sum())


TRUTH = _share(2) - _share(1)


def test_the_spread_of_a_crossed_table_is_that_of_its_mean() -> None:
    rng = np.random.default_rng(4)
    effects = rng.normal(size=(4000, 3, 1)) + rng.normal(size=(4000, 1, 20))
    tables = effects + rng.normal(size=(4000, 3, 20))
    estimates = [spread(table).variance for table in tables]
    truth = 1 / 3 + 1 / 20 + 1 / 60
    assert tables.mean(axis=(1, 2)).var() == pytest.approx(truth, rel=0.06)
    assert np.mean(estimates) == pytest.approx(truth, rel=0.06)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_two_arms_share_a_letter_unless_they_differ() -> None:
    rng, arms = np.random.default_rng(5), list("PQRSTU")
    for _ in range(50):
        differ = {frozenset(pair): bool(rng.random() < 0.5) for pair in combinations(arms, 2)}
        names = letters(arms, differ)
        assert all(
            bool(set(names[a]) & set(names[b])) != differ[frozenset((a, b))]
            for a, b in combinations(arms, 2)
        )
        assert names["P"].startswith("a")


@pytest.mark.parametrize(
    ("low", "high", "p", "word"),
    [
        (0.01, 0.2, 0.01, Finding.better),
        (-0.2, -0.01, 0.01, Finding.worse),
        (-0.04, 0.04, 0.9, Finding.equivalent),
        (0.01, 0.2, 0.06, Finding.undecided),  # Holm took it back
        (-0.04, 0.06, 0.5, Finding.undecided),
    ],
)
def test_the_four_words(low: float, high: float, p: float, word: Finding) -> None:
    assert judge(Interval((low + high) / 2, low, high), p, 0.05) is word


def test_so_many_more_starts_decide_with_the_power_that_is_named() -> None:
    a, b = np.ones((1, 40)), np.ones((1, 40))
    a[0, :2], b[0, :6] = 0, 0
    a[0, 0], b[0, 0] = 1, 0
    first = rate_difference(a, b, Bootstrap(0))
    assert judge(first.interval, first.p, 0.05) is Finding.undecided
    more = more_needed(first, 40, 1, 0.05)
    assert more.trainings is None and more.starts is not None
    pairs, rng = pairs_of(a, b), np.random.default_rng(6)
    shares = np.array([pairs.both, pairs.arm, pairs.baseline, pairs.neither]) / 40
    decided = 0
    for counts in rng.multinomial(40 + more.starts, shares, size=300):
        again = Pairs(*map(float, counts))
        decided += judge(newcombe(again), mcnemar(again), 0.05) is Finding.better
    assert 0.7 < decided / 300 < 0.97


def test_verdicts_stand_first_and_are_written_by_no_config() -> None:
    starts = range(60)
    arms = {
        "cotrain": {0: [episode(s, s >= 30, 100.0) for s in starts]},
        "ambient": {0: [episode(s, s >= 3, 50.0) for s in starts]},
        "twin": {0: [episode(s, s >= 34, 100.0) for s in starts]},
    }
    table = compare(arms, baseline="cotrain")
    ambient, twin = table.verdicts
    assert ambient.finding is Finding.better and twin.finding is Finding.undecided
    assert ambient.sentence.startswith("ambient is better than cotrain in success: +45.0 points [")
    assert (
        "its squared jerk is 0.50" in ambient.sentence
        and "more starts would decide" in twin.sentence
    )
    assert to_markdown(table).startswith(f"**{ambient.sentence}**")
    assert [row.letters for row in table.rows] == ["b", "a", "b"]
    assert table.to_json()["verdicts"][0]["finding"] == "better"


def test_one_arm_has_neither_letters_nor_verdict() -> None:
    table = compare({"only": {0: [episode(s, True, 1.0) for s in range(5)]}})
    assert table.verdicts == () and table.rows[0].letters == ""
    assert not any("letter" in note for note in table.notes)
