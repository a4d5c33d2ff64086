"""Sigma first, then a window among those admitted at that sigma: exact, O(log E) a draw.

P(window | sigma) is its natural weight restricted to the admitted windows and renormalised over
all sources. Sorting makes that one cumulative sum and one binary search:

* an episode whose two bands overlap (sigma_min < sigma_max) is admitted everywhere,
* any other is admitted above its threshold or below its sigma_max, never both.

So the mass admitted at sigma is a prefix of the episodes by rising threshold (those admitted
everywhere come first) plus a prefix of the others by falling sigma_max.

Where the ambient loss teaches (sigma_trust > 0) a chunk must lie within its episode. Beyond its end
the last action repeats, under kept noise of its own in each copy: the mean of 16 copies shows to
0.07 what may be shown to 0.27 only. Noise that repeats with the action would show no more, but bias
the loss, which assumes noise that is independent from entry to entry. So of an episode, which keeps
its weight, those windows are drawn that end inside it, and one shorter than a chunk teaches nothing
above its threshold. The ordinary loss draws every window.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ambient_policy.ambient.admission import Admission
from ambient_policy.batch import Draw
from ambient_policy.diffusion.law import Law
from ambient_policy.diffusion.noise import Sigma
from ambient_policy.errors import SettingsError
from ambient_policy.seeding import generator

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class _Band:
    """Episodes in the order in which they become admitted.

    Attributes:
        episode: (n,) episode numbers.
        key: (n,) rising; the first j are admitted where key < x.
        mass: (n + 1,) cumulative weight.
    """

    episode: Integers
    key: Sigma
    mass: Sigma

    @classmethod
    def ordered(cls, episode: Integers, key: Sigma, weight: Sigma) -> "_Band":
        order = np.argsort(key, kind="stable")
        mass = np.concatenate([[0.0], np.cumsum(weight[order])])
        return cls(episode[order], key[order], mass)

    def admitted(self, x: Sigma) -> Integers:
        """Count the band's episodes that are admitted at x: their key is strictly below it."""
        return _search(self.key, x, "left")

    def find(self, mass: Sigma, admitted: Integers) -> Integers:
        """The episode, among the admitted, at which the cumulative weight passes ``mass``."""
        place = _search(self.mass, mass, "right") - 1
        return self.episode[np.clip(place, 0, np.maximum(admitted - 1, 0))]


def _search(rising: Sigma, values: Sigma, side: Literal["left", "right"]) -> Integers:
    """``np.searchsorted`` in the order of the values: each search begins where memory is cached."""
    flat = np.ravel(values)
    order = np.argsort(flat)
    places = np.empty(flat.shape, np.int64)
    places[order] = np.searchsorted(rising, flat[order], side=side)
    return places.reshape(np.shape(values))


@dataclass(frozen=True)
class Sampler:
    """Draws (window, sigma, sigma_trust) from E episodes; a batch is a function of (seed, step).

    Attributes:
        admission: thresholds of the E episodes.
        starts: (E,) global index of each episode's first window.
        lengths: (E,) windows of each episode, >= 1.
        window_weight: (E,) weight of one window of each episode, >= 0: source weight / windows.
        law: the training law of sigma.
        ahead: Tp - 1, the steps of a chunk after its first; those of the ambient loss lie within
            their episode.

    Raises:
        SettingsError: when some sigma of the law has no admitted window, naming the interval.
    """

    admission: Admission
    starts: Integers
    lengths: Integers
    window_weight: Sigma
    law: Law
    ahead: int = 0
    _above: _Band = field(init=False, repr=False)
    _below: _Band = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sigma_min = np.where(self.too_short, np.inf, self.admission.sigma_min)
        object.__setattr__(self, "admission", replace(self.admission, sigma_min=sigma_min))
        threshold, sigma_max = self.admission.threshold, self.admission.sigma_max
        weight = self.window_weight * self.lengths
        usable = np.flatnonzero(weight > 0)
        everywhere = threshold < sigma_max
        key = np.where(everywhere, -np.inf, threshold)
        above = usable[key[usable] < np.inf]
        below = usable[(~everywhere & (sigma_max > 0))[usable]]
        object.__setattr__(self, "_above", _Band.ordered(above, key[above], weight[above]))
        object.__setattr__(self, "_below", _Band.ordered(below, -sigma_max[below], weight[below]))
        self._check_coverage()

    def _check_coverage(self) -> None:
        low = -self._below.key[0] if len(self._below.key) else 0.0
        high = self._above.key[0] if len(self._above.key) else np.inf
        missing = self.law.probability(low, high) if low <= high else 0.0
        if missing > 0:
            raise SettingsError(
                f"no episode may teach sigma in [{low:g}, {high:g}], where {missing:.2%} of the "
                "noise levels of training lie. "
                "Lower a sigma_min, raise a sigma_max, or trust one source everywhere."
            )

    @property
    def too_short(self) -> NDArray[np.bool_]:
        """(E,) the episodes that the ambient loss would teach, but no chunk lies within them."""
        short = self.lengths <= self.ahead
        return short & (self.admission.sigma_min > 0) & self.admission.ambient_loss

    @property
    def drawn(self) -> Integers:
        """The numbers of the episodes that some level of the law may draw, rising."""
        usable = np.flatnonzero(self.window_weight * self.lengths > 0)
        lowest, highest = (
            self.admission.admits(usable, np.full(len(usable), sigma))
            for sigma in (self.law.sigma_lo, self.law.sigma_hi)
        )
        return usable[lowest | highest]

    def mass(self, sigma: Sigma) -> Sigma:
        """Total weight admitted at each sigma (...,), before normalisation."""
        high, low = self._above.admitted(sigma), self._below.admitted(-sigma)
        return self._above.mass[high] + self._below.mass[low]

    def draw_at(self, sigma: Sigma, generator: np.random.Generator) -> Draw:
        """Draw one admitted window for each sigma (B,)."""
        high, low = self._above.admitted(sigma), self._below.admitted(-sigma)
        split = self._above.mass[high]
        position = generator.random(len(sigma)) * (split + self._below.mass[low])
        from_above = (position < split) | (low == 0)
        episode = np.where(
            from_above,
            self._above.find(position, high) if len(self._above.episode) else 0,
            self._below.find(position - split, low) if len(self._below.episode) else 0,
        )
        trust = self.admission.trust(episode, sigma)
        windows = self.lengths[episode] - np.where(trust > 0, self.ahead, 0)
        offset = (generator.random(len(sigma)) * windows).astype(np.int64)
        return Draw(self.starts[episode] + offset, sigma, trust)

    def draw(self, seed: int, step: int, count: int) -> Draw:
        """Draw for one training step: a pure function of (seed, step, count)."""
        stream = generator(seed, "draws", step)
        return self.draw_at(self.law.draw(stream, count), stream)
