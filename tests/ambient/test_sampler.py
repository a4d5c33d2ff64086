"""Draws: all admissible, with exactly the right frequencies, from nothing but (seed, step)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from ambient_policy.ambient.admission import Admission, buffer_factor
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.diffusion.law import ContinuousLaw, Law, LawKind, UniformOverLevels
from ambient_policy.diffusion.noise import Schedule, Sigma, ddpm_levels
from ambient_policy.errors import SettingsError

LAW = UniformOverLevels(ddpm_levels(Schedule.squaredcos, 100))
EDM = ContinuousLaw(LawKind.log_normal, -1.2, 1.2, 0.002, 80.0)
INF = np.inf


def sampler(
    sigma_min: list[float],
    sigma_max: list[float],
    lengths: list[int],
    weight: list[float],
    ambient_loss: bool = False,
    law: Law = LAW,
    ahead: int = 0,
) -> Sampler:
    sizes = np.array(lengths, dtype=np.int64)
    admission = Admission(np.array(sigma_min), np.array(sigma_max), ambient_loss)
    return Sampler(admission, np.cumsum(sizes) - sizes, sizes, np.array(weight), law, ahead)


def exact(s: Sampler, sigma: float) -> Sigma:
    """P(episode | sigma), by the definition."""
    every = np.arange(len(s.lengths))
    admitted = s.admission.admits(every, np.full(len(every), sigma))
    weight = s.window_weight * s.lengths * admitted
    probability: Sigma = weight / weight.sum()
    return probability


episodes = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.03, 0.0739, 0.3, 1.0, 20.0, INF]),
        st.sampled_from([0.0, 0.03, 0.0739, 0.3, 1.0, 20.0, INF]),
        st.integers(1, 5),
        st.sampled_from([0.0, 0.1, 1.0, 3.0]),
    ),
    min_size=1,
    max_size=8,
)


@given(episodes, st.booleans(), st.sampled_from([LAW, EDM]))
def test_drawn_are_those_that_some_level_draws(
    rows: list[tuple[float, float, int, float]], ambient_loss: bool, law: Law
) -> None:
    rows.append((0.0, INF, 2, 0.5))
    low, high, lengths, weights = (list(column) for column in zip(*rows, strict=True))
    s = sampler(low, high, lengths, weights, ambient_loss, law)
    usable = [i for i, weight in enumerate(weights) if weight > 0]
    assert s.drawn.tolist() == [i for i in usable if chance(s, i) > 0]


def chance(s: Sampler, episode: int) -> float:
    """An upper bound of P(sigma at which the episode is admitted), zero only where that is."""
    low, high = s.admission.threshold[episode], s.admission.sigma_max[episode]
    above = s.law.probability(float(np.nextafter(low, INF)), INF)  # both bounds are strict
    return above + s.law.probability(0.0, float(np.nextafter(high, 0.0)))


def test_an_episode_of_the_outermost_levels_is_drawn() -> None:
    assert EDM.probability(20.0, INF) < 3e-4
    s = sampler([0.0, 20.0, 80.0, INF], [INF, 0.0, 0.0, 0.002], [1] * 4, [1.0] * 4, law=EDM)
    assert s.drawn.tolist() == [0, 1]
    s = sampler([0.0, LAW.levels[-2], LAW.levels[-1]], [INF, 0.0, 0.0], [1] * 3, [1.0] * 3)
    assert s.drawn.tolist() == [0, 1]


@given(episodes, st.booleans())
def test_draws_follow_the_exact_probabilities(
    rows: list[tuple[float, float, int, float]], ambient_loss: bool
) -> None:
    rows.append((0.0, INF, 2, 0.5))  # somebody may always teach
    low, high, lengths, weights = (list(column) for column in zip(*rows, strict=True))
    s = sampler(low, high, lengths, weights, ambient_loss)
    for level in (LAW.levels[0], LAW.levels[3], LAW.levels[50], LAW.levels[99]):
        draw = s.draw_at(np.full(4000, level), np.random.default_rng(0))
        episode = np.searchsorted(s.starts, draw.window, side="right") - 1
        assert s.admission.admits(episode, draw.sigma).all()
        expected = exact(s, level)
        counts = np.bincount(episode, minlength=len(expected))
        assert (counts[expected == 0] == 0).all()
        seen = expected > 0
        if seen.sum() > 1:
            assert chisquare(counts[seen], 4000 * expected[seen]).pvalue > 1e-7


def test_windows_of_an_episode_are_equally_likely_and_inside_it() -> None:
    s = sampler([0.0, 0.5], [INF, 0.0], [7, 5], [1.0, 1.0])
    draw = s.draw_at(np.full(24000, 1.0), np.random.default_rng(0))
    counts = np.bincount(draw.window, minlength=12)
    assert chisquare(counts).pvalue > 1e-6


def test_the_authors_toy_is_not_over_sampled() -> None:
    """p on {0, 1} is trusted, q on {-1, 0} is good at low noise only where it is zero."""
    s = sampler([0.0, 0.0, 0.5, 0.0], [INF, INF, 0.0, INF], [1, 1, 1, 1], [1.0] * 4)
    draw = s.draw_at(np.full(30000, 0.1), np.random.default_rng(0))
    zeros = np.isin(draw.window, [0, 3]).mean()
    assert zeros == pytest.approx(2 / 3, abs=0.01)


def test_both_inequalities_are_strict() -> None:
    admission = Admission(np.array([0.5]), np.array([0.2]))
    sigma = np.array([0.1, 0.2, 0.3, 0.5, 0.6])
    admitted = admission.admits(np.zeros(5, dtype=np.int64), sigma)
    np.testing.assert_array_equal(admitted, [True, False, False, False, True])


def test_trust_level_is_sigma_min_only_where_the_ambient_loss_teaches() -> None:
    s = sampler([0.5, 0.0], [0.0, INF], [1, 1], [1.0, 1.0], ambient_loss=True)
    draw = s.draw(0, 0, 5000)
    np.testing.assert_array_equal(draw.sigma_trust, np.where(draw.window == 0, 0.5, 0.0))
    assert draw.sigma[draw.window == 0].min() > 0.5 * buffer_factor(4.0)
    ordinary = sampler([0.5, 0.0], [0.0, INF], [1, 1], [1.0, 1.0]).draw(0, 0, 5000)
    assert (ordinary.sigma_trust == 0).all()
    assert ordinary.sigma[ordinary.window == 0].min() < 0.5 * buffer_factor(4.0)


def test_buffer_bounds_the_amplification() -> None:
    sigma = 0.3 * buffer_factor(4.0)
    assert 1 / (1 - 0.3**2 / sigma**2) == pytest.approx(4.0)
    assert buffer_factor(INF) == 1.0
    with pytest.raises(SettingsError, match=r"s_max = 1.0 must be above 1"):
        buffer_factor(1.0)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    s = sampler([0.0, 0.2], [INF, 0.0], [50, 500], [1.0, 0.1])
    s.draw(0, 1, 64)
    again = sampler([0.0, 0.2], [INF, 0.0], [50, 500], [1.0, 0.1]).draw(3, 7, 64)
    first = s.draw(3, 7, 64)
    np.testing.assert_array_equal(first.window, again.window)
    np.testing.assert_array_equal(first.sigma, again.sigma)
    assert (s.draw(3, 8, 64).window != first.window).any()


def test_sigma_keeps_its_law_whatever_is_admitted() -> None:
    s = sampler([0.0, 1.0], [INF, 0.0], [1, 1000], [1.0, 1.0])
    _, counts = np.unique(s.draw(0, 0, 100_000).sigma, return_counts=True)
    assert chisquare(counts).pvalue > 1e-6


@pytest.mark.parametrize(
    ("sigma_min", "sigma_max", "interval"),
    [
        ([0.3, 0.5], [0.1, 0.05], r"\[0.1, 0.3\]"),
        ([0.3], [0.0], r"\[0, 0.3\]"),
        ([INF], [0.2], r"\[0.2, inf\]"),
        ([INF], [0.0], r"\[0, inf\]"),
    ],
)
def test_an_uncovered_interval_is_named(
    sigma_min: list[float], sigma_max: list[float], interval: str
) -> None:
    with pytest.raises(SettingsError, match=f"no episode may teach sigma in {interval}"):
        sampler(sigma_min, sigma_max, [1] * len(sigma_min), [1.0] * len(sigma_min))


def test_a_source_of_weight_zero_covers_nothing() -> None:
    with pytest.raises(SettingsError, match="no episode may teach"):
        sampler([0.0, 0.3], [INF, 0.0], [1, 1], [0.0, 1.0])


def test_an_uncovered_interval_between_levels_does_no_harm() -> None:
    law = UniformOverLevels(np.array([0.1, 0.3]))
    s = sampler([0.2, INF], [0.0, 0.2], [1, 1], [1.0, 1.0], law=law)
    draw = s.draw(0, 0, 100)
    np.testing.assert_array_equal(draw.window, np.where(draw.sigma > 0.2, 0, 1))


def test_a_continuous_law_keeps_its_shape_and_teaches_only_the_admitted() -> None:
    s = sampler([0.0, 0.3, INF], [INF, 0.0, 0.1], [3, 500, 40], [1.0, 1.0, 1.0], law=EDM)
    draw = s.draw(0, 0, 20_000)
    assert kstest(np.log(draw.sigma), "norm", args=(-1.2, 1.2)).pvalue > 1e-4
    episode = np.searchsorted(s.starts, draw.window, side="right") - 1
    assert s.admission.admits(episode, draw.sigma).all()
    assert set(episode) == {0, 1, 2}


def test_an_uncovered_interval_of_a_continuous_law_is_named_with_its_share() -> None:
    share = EDM.probability(0.1, 0.3)
    with pytest.raises(SettingsError, match=rf"sigma in \[0.1, 0.3\], where {share:.2%} of the"):
        sampler([0.3, INF], [0.0, 0.1], [1, 1], [1.0, 1.0], law=EDM)
    with pytest.raises(SettingsError, match=r"sigma in \[0, 0.1\]"):
        sampler([0.1], [0.0], [1], [1.0], law=EDM)


def test_bands_of_a_continuous_law_may_touch_for_one_sigma_is_never_drawn() -> None:
    s = sampler([0.2, INF], [0.0, 0.2], [1, 1], [1.0, 1.0], law=EDM)
    draw = s.draw(0, 0, 1000)
    np.testing.assert_array_equal(draw.window, np.where(draw.sigma > 0.2, 0, 1))


def test_an_uncovered_interval_beyond_the_ends_of_the_law_does_no_harm() -> None:
    assert sampler([0.001], [0.0], [1], [1.0], law=EDM).draw(0, 0, 9).sigma.shape == (9,)


@given(episodes, st.integers(0, 4))
def test_a_chunk_of_the_ambient_loss_lies_within_its_episode(
    rows: list[tuple[float, float, int, float]], ahead: int
) -> None:
    """Copies of a last action, each with noise of its own, would show it below its sigma_min."""
    rows.append((0.0, INF, 2, 0.5))
    low, high, lengths, weights = (list(column) for column in zip(*rows, strict=True))
    s = sampler(low, high, lengths, weights, True, ahead=ahead)
    draw = s.draw(0, 0, 4000)
    episode = np.searchsorted(s.starts, draw.window, side="right") - 1
    left = s.starts[episode] + s.lengths[episode] - 1 - draw.window
    assert (left >= np.where(draw.sigma_trust > 0, ahead, 0)).all()
    assert s.admission.admits(episode, draw.sigma).all()


def test_an_episode_keeps_its_weight_and_its_inner_windows_are_alike() -> None:
    s = sampler([0.0, 0.3], [INF, 0.0], [10, 10], [1.0, 3.0], True, ahead=4)
    draw = s.draw_at(np.full(40_000, 1.0), np.random.default_rng(0))
    counts = np.bincount(draw.window, minlength=20)
    assert counts[16:].sum() == 0  # chunks of 5 that would end beyond row 19
    assert (
        chisquare(counts[:16], 40_000 * np.r_[np.full(10, 1 / 40), np.full(6, 3 / 24)]).pvalue
        > 1e-3
    )


def test_an_episode_shorter_than_a_chunk_teaches_nothing_by_the_ambient_loss() -> None:
    args: tuple[list[float], list[float], list[int]] = [0.0, 0.3, 0.3], [INF, 0.0, 0.1], [4, 4, 5]
    s = sampler(*args, [1.0] * 3, True, ahead=4)
    assert s.too_short.tolist() == [False, True, False]
    assert s.admission.threshold[:2].tolist() == [0, INF]
    assert s.drawn.tolist() == [0, 2]
    ordinary = sampler(*args, [1.0] * 3, False, ahead=4)
    assert ordinary.drawn.tolist() == [0, 1, 2] and not ordinary.too_short.any()


@given(episodes)
def test_the_ordinary_loss_draws_what_it_drew(rows: list[tuple[float, float, int, float]]) -> None:
    rows.append((0.0, INF, 2, 0.5))
    low, high, lengths, weights = (list(column) for column in zip(*rows, strict=True))
    one, two = (sampler(low, high, lengths, weights, ahead=n).draw(0, 3, 50) for n in (0, 15))
    np.testing.assert_array_equal(one.window, two.window)
    np.testing.assert_array_equal(one.sigma, two.sigma)
