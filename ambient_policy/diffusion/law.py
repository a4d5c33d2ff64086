"""How often training meets each noise level: the law of sigma.

Laws of flow time are laws of sigma, since tau / (1 - tau) = sigma and logit(tau) = ln sigma:

* logit-normal flow time (m, s) is log-normal sigma (m, s), which EDM trains with (-1.2, 1.2);
* uniform flow time is log-logistic sigma (0, 1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from scipy import special

from ambient_policy.diffusion.noise import Sigma
from ambient_policy.errors import SettingsError


class LawKind(Enum):
    """The families."""

    discrete = "discrete"  # each level of a schedule equally often
    log_normal = "log_normal"  # ln sigma is normal
    log_logistic = "log_logistic"  # ln sigma is logistic


class Law(Protocol):
    """A probability law of sigma on [sigma_lo, sigma_hi]."""

    @property
    def sigma_lo(self) -> float:
        """The lowest level that training meets, > 0."""

    @property
    def sigma_hi(self) -> float:
        """The highest."""

    def draw(self, generator: np.random.Generator, count: int) -> Sigma:
        """(count,) independent noise levels."""

    def quantile(self, share: Sigma) -> Sigma:
        """The level below which that share of the law lies, share in [0, 1)."""

    def probability(self, low: float, high: float) -> float:
        """P(low <= sigma <= high)."""


@dataclass(frozen=True)
class UniformOverLevels:
    """Each level of a schedule equally often.

    Attributes:
        levels: (K,) rising, > 0.
    """

    levels: Sigma

    def __post_init__(self) -> None:
        rising = np.all(np.diff(self.levels, prepend=0.0) > 0)
        if not (len(self.levels) and rising and np.isfinite(self.levels).all()):
            shown = ", ".join(f"{level:.4g}" for level in (*self.levels[:3], *self.levels[-3:]))
            raise SettingsError(
                f"{len(self.levels)} noise levels, {shown}: a law of sigma needs at least one, all "
                "positive, finite and rising. Change noise.levels or noise.schedule."
            )

    @property
    def sigma_lo(self) -> float:
        return float(self.levels[0])

    @property
    def sigma_hi(self) -> float:
        return float(self.levels[-1])

    def draw(self, generator: np.random.Generator, count: int) -> Sigma:
        return self.levels[generator.integers(len(self.levels), size=count)]

    def quantile(self, share: Sigma) -> Sigma:
        return self.levels[(np.asarray(share) * len(self.levels)).astype(np.int64)]

    def probability(self, low: float, high: float) -> float:
        return float(np.mean((self.levels >= low) & (self.levels <= high)))


# of ln sigma, before location and scale: distribution function and its inverse
_SHAPES: dict[LawKind, tuple[Callable[..., Any], Callable[..., Any]]] = {
    LawKind.log_normal: (special.ndtr, special.ndtri),
    LawKind.log_logistic: (special.expit, special.logit),
}


@dataclass(frozen=True)
class ContinuousLaw:
    """ln sigma = location + scale z, restricted to [sigma_lo, sigma_hi]; z normal or logistic."""

    kind: LawKind
    location: float
    scale: float
    sigma_lo: float
    sigma_hi: float

    def __post_init__(self) -> None:
        if not (self.scale > 0 and 0 < self.sigma_lo < self.sigma_hi < np.inf):
            raise SettingsError(
                f"noise.scale = {self.scale}, sigma_lo = {self.sigma_lo}, sigma_hi = "
                f"{self.sigma_hi}: a law needs scale > 0 and 0 < sigma_lo < sigma_hi < inf."
            )
        inside = self._cdf(self.sigma_hi) - self._cdf(self.sigma_lo)
        if not inside > 1e-3:
            raise SettingsError(
                f"noise.location = {self.location}, scale = {self.scale}: {inside:.2g} of this law "
                f"lies from sigma_lo = {self.sigma_lo} to sigma_hi = {self.sigma_hi}; set the ends "
                "around exp(location)."
            )

    def _cdf(self, sigma: float) -> float:
        """Distribution function before the restriction."""
        return float(_SHAPES[self.kind][0]((np.log(sigma) - self.location) / self.scale))

    def draw(self, generator: np.random.Generator, count: int) -> Sigma:
        return self.quantile(generator.random(count))

    def quantile(self, share: Sigma) -> Sigma:
        below, above = self._cdf(self.sigma_lo), self._cdf(self.sigma_hi)
        z: Sigma = _SHAPES[self.kind][1](below + np.asarray(share) * (above - below))
        return np.exp(self.location + self.scale * z)

    def probability(self, low: float, high: float) -> float:
        low, high = (min(max(end, self.sigma_lo), self.sigma_hi) for end in (low, high))
        whole = self._cdf(self.sigma_hi) - self._cdf(self.sigma_lo)
        return max(self._cdf(high) - self._cdf(low), 0.0) / whole
