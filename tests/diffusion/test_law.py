"""The laws of sigma: frequencies, identities with laws of flow time, probabilities of intervals."""

import numpy as np
import pytest
from scipy import stats

from ambient_policy.diffusion.law import ContinuousLaw, Law, LawKind, UniformOverLevels
from ambient_policy.diffusion.noise import flow_from_sigma
from ambient_policy.errors import SettingsError

EDM = ContinuousLaw(LawKind.log_normal, -1.2, 1.2, 0.002, 80.0)
FLOW = ContinuousLaw(LawKind.log_logistic, 0.0, 1.0, 0.001, 1000.0)
LEVELS = UniformOverLevels(np.array([0.1, 0.2, 0.4]))
N = 20_000


def test_uniform_law_draws_every_level_equally() -> None:
    drawn = LEVELS.draw(np.random.default_rng(0), N)
    _, counts = np.unique(drawn, return_counts=True)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_edm_draws_a_normal_logarithm() -> None:
    drawn = np.log(EDM.draw(np.random.default_rng(0), N))
    whole = stats.truncnorm((np.log(0.002) + 1.2) / 1.2, (np.log(80) + 1.2) / 1.2, -1.2, 1.2)
    assert stats.kstest(drawn, whole.cdf).pvalue > 1e-4


def test_log_logistic_sigma_is_uniform_flow_time() -> None:
    tau = flow_from_sigma(FLOW.draw(np.random.default_rng(0), N))
    low, high = flow_from_sigma(np.array([0.001, 1000.0]))
    assert stats.kstest(tau, stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_log_normal_sigma_is_logit_normal_flow_time() -> None:
    law = ContinuousLaw(LawKind.log_normal, 0.5, 0.8, 1e-6, 1e6)
    tau = flow_from_sigma(law.draw(np.random.default_rng(0), N))
    assert stats.kstest(np.log(tau / (1 - tau)), stats.norm(0.5, 0.8).cdf).pvalue > 1e-4


@pytest.mark.parametrize("law", [EDM, FLOW, LEVELS], ids=["edm", "flow", "levels"])
def test_probabilities_are_those_of_the_draws_and_of_the_quantiles(law: Law) -> None:
    drawn = law.draw(np.random.default_rng(1), N)
    assert law.sigma_lo <= drawn.min() and drawn.max() <= law.sigma_hi
    even = law.quantile((np.arange(N) + 0.5) / N)
    assert (np.diff(even) >= 0).all()
    for low, high in [(0.0, 0.1), (0.1, 0.15), (0.05, 0.3), (0.3, np.inf), (0.0, np.inf)]:
        expected = law.probability(low, high)
        assert np.mean((even >= low) & (even <= high)) == pytest.approx(expected, abs=1e-3)
        assert np.mean((drawn >= low) & (drawn <= high)) == pytest.approx(expected, abs=0.015)
    assert law.probability(0, np.inf) == pytest.approx(1)
    assert law.probability(1e4, 1e5) == law.probability(0, 1e-5) == 0


@pytest.mark.parametrize("levels", [[], [0.0, 1.0], [2.0, 1.0], [1.0, 1.0], [1.0, np.inf]])
def test_a_law_needs_rising_positive_levels(levels: list[float]) -> None:
    with pytest.raises(SettingsError, match=r"at least one, all positive, finite and rising"):
        UniformOverLevels(np.array(levels))


@pytest.mark.parametrize(
    ("scale", "low", "high"), [(0, 0.1, 1), (1, 0, 1), (1, 1, 1), (1, 1, np.inf), (np.nan, 0.1, 1)]
)
def test_a_continuous_law_needs_width_and_ends(scale: float, low: float, high: float) -> None:
    with pytest.raises(SettingsError, match=r"scale > 0 and 0 < sigma_lo < sigma_hi < inf"):
        ContinuousLaw(LawKind.log_normal, 0.0, scale, low, high)


def test_a_law_that_lies_elsewhere_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"location = 50.0, .* set the ends around exp"):
        ContinuousLaw(LawKind.log_normal, 50.0, 1.0, 0.01, 100.0)
