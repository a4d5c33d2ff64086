"""The statistics that a LeRobotDataset states, of each feature, for each episode and for the whole.

Those of the whole merge from those of the episodes: numbers by ``Statistics``, pixels by the counts
of their 256 values, which are exact. Of pixels they are of value / 255, shaped (3,1,1), over every
frame (lerobot itself looks at a sample); ``count`` is rows or frames, not pixels.
"""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.statistics import Statistics

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count")
Vector = NDArray[np.float64]


class Tally(Protocol):
    """What is counted of a feature."""

    def merge(self, other: Self) -> Self:
        """The statistics of both together."""
        ...

    def record(self) -> dict[str, Any]:
        """As lerobot writes it: lists by the names min, max, mean, std, count and q01 to q99."""
        ...


@dataclass(frozen=True, eq=False)
class Numbers:
    """Statistics of the D columns of a float feature."""

    statistics: Statistics

    @classmethod
    def of(cls, table: NDArray[np.float32]) -> "Numbers":
        """Count (n,D) numbers."""
        return cls(Statistics.of(table))

    def merge(self, other: "Numbers") -> "Numbers":
        """The statistics of both together."""
        return Numbers(self.statistics.merge(other.statistics))

    def record(self) -> dict[str, Any]:
        """Lists of D numbers."""
        of = self.statistics
        return {
            "min": of.low.tolist(),
            "max": of.high.tolist(),
            "mean": of.mean.tolist(),
            "std": of.deviation.tolist(),
            "count": [of.count],
            **{name: of.quantile(q).tolist() for name, q in QUANTILES.items()},
        }


@dataclass(frozen=True)
class Counter:
    """Statistics of whole numbers that count something: float32 would lose their last digits.

    Attributes:
        low, high, count: exact.
        mean, square: and the sum of the squared deviations from it.
    """

    low: int
    high: int
    mean: float
    square: float
    count: int

    @classmethod
    def of(cls, values: NDArray[np.int64]) -> "Counter":
        """Count (n,) numbers."""
        mean = float(values.mean())
        square = float(((values - mean) ** 2).sum())
        return cls(int(values.min()), int(values.max()), mean, square, len(values))

    def merge(self, other: "Counter") -> "Counter":
        """The statistics of both together; Chan, Golub, LeVeque 1979."""
        count = self.count + other.count
        apart, share = other.mean - self.mean, other.count / count
        return Counter(
            min(self.low, other.low),
            max(self.high, other.high),
            self.mean + share * apart,
            self.square + other.square + apart**2 * self.count * share,
            count,
        )

    def record(self) -> dict[str, Any]:
        """Lists of one number; of no quantiles, which would say nothing."""
        deviation = float(np.sqrt(self.square / self.count))
        values = (self.low, self.high, self.mean, deviation, self.count)
        return {name: [value] for name, value in zip(NAMES, values, strict=True)}


@dataclass(frozen=True, eq=False)
class Pixels:
    """Statistics of the three colours of frames.

    Attributes:
        counts: (3,256) int64, how often each value stands in each colour.
        frames: looked at.
    """

    counts: NDArray[np.int64]
    frames: int

    @classmethod
    def of(cls, frames: NDArray[np.uint8]) -> "Pixels":
        """Count frames (n,H,W,3)."""
        colours = frames.reshape(-1, 3)
        counts = np.stack([np.bincount(colours[:, c], minlength=256) for c in range(3)])
        return cls(counts, len(frames))

    def merge(self, other: "Pixels") -> "Pixels":
        """The statistics of both together."""
        return Pixels(self.counts + other.counts, self.frames + other.frames)

    def record(self) -> dict[str, Any]:
        """Lists of shape (3,1,1), of value / 255."""
        values, total = np.arange(256) / 255, self.counts.sum(axis=1)
        mean = self.counts @ values / total
        square = (self.counts * (values - mean[:, None]) ** 2).sum(axis=1)
        below = self.counts.cumsum(axis=1)

        def ranked(rank: Vector) -> Vector:
            level: Vector = values[(below <= rank[:, None]).sum(axis=1)]
            return level

        def quantile(q: float) -> Vector:
            place = q * (total - 1)
            lower, upper = ranked(np.floor(place)), ranked(np.ceil(place))
            between: Vector = lower + place % 1 * (upper - lower)
            return between

        numbers = {
            "min": quantile(0.0),
            "max": quantile(1.0),
            "mean": mean,
            "std": np.sqrt(square / total),
            **{name: quantile(q) for name, q in QUANTILES.items()},
        }
        shaped = {name: vector.reshape(3, 1, 1).tolist() for name, vector in numbers.items()}
        return {**shaped, "count": [self.frames]}
