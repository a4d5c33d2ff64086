"""How uncertain the mean of a crossed table is: starts, and trainings that are few.

A table (S,E) holds S trainings by E starts. Resampling S trainings understates their variance by
(S-1)/S, and its percentiles are those of a normal law; with two or three trainings both matter.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Spread:
    """The variance of a mean by its origin.

    Attributes:
        starts: of the mean over starts, residual included.
        trainings: of the means over trainings, summed over the arms; residual included.
        residual: what both of them count.
        starts_freedom: E - 1.
        trainings_freedom: Satterthwaite's for ``trainings``; infinite for one training each.
    """

    starts: float
    trainings: float
    residual: float
    starts_freedom: float
    trainings_freedom: float

    @property
    def variance(self) -> float:
        """Of the mean over both levels; never below that of one of them."""
        # Cameron, Gelbach and Miller 2011, eq. 2.13: V = V_starts + V_trainings - V_both
        return max(self.starts + self.trainings - self.residual, self.starts, self.trainings)

    @property
    def between_trainings(self) -> float:
        """What more starts would not take away."""
        return max(self.trainings - self.residual, 0.0)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of ``variance``."""
        # Satterthwaite 1946: (sum V_i)^2 / sum(V_i^2 / f_i)
        parts = self.starts**2 / self.starts_freedom + self.trainings**2 / self.trainings_freedom
        least = min(self.starts_freedom, self.trainings_freedom)
        return max(self.variance**2 / parts, min(least, 1.0)) if parts > 0 else self.starts_freedom

    def half_width(self, confidence: float) -> float:
        """Half of Student's interval."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, (1 + confidence) / 2)) * math.sqrt(self.variance)


def spread(*tables: Floats) -> Spread:
    """The spread of the sum of the tables' means.

    Args:
        tables: (S,E) for each arm, the same E starts, S may differ; NaN cells do not enter. For a
            difference the baseline's table has its sign changed.
    """
    means = [_columns(table) for table in tables]
    known = np.isfinite(sum(means))
    count = int(known.sum())
    if count < 2:
        return Spread(math.nan, math.nan, math.nan, 1.0, math.inf)
    starts = float(np.var(sum(mean[known] for mean in means), ddof=1) / count)
    several = [
        _of_trainings(table[:, known], mean[known])
        for table, mean in zip(tables, means, strict=True)
        if len(table) > 1
    ]
    trainings = sum(variance for variance, _, _ in several)
    weight = sum(variance**2 / freedom for variance, _, freedom in several)
    return Spread(
        starts,
        trainings,
        sum(residual for _, residual, _ in several),
        count - 1.0,
        trainings**2 / weight if weight > 0 else math.inf,
    )


def _of_trainings(table: Floats, column: Floats) -> tuple[float, float, float]:
    """Variance of the mean over trainings, its part that is residual, and degrees of freedom."""
    deviation = table - column
    row = _columns(deviation.T)
    row = np.where(np.isfinite(row), row, 0.0)
    size, starts = table.shape
    rest = np.nansum(np.square(deviation - row[:, None]))
    residual = rest / ((size - 1) * max(starts - 1, 1)) / (size * starts)
    return float(np.var(row, ddof=1) / size), float(residual), size - 1.0


def _columns(table: Floats) -> Floats:
    """(E,) mean of each column over its known cells; NaN where none is known."""
    known = np.isfinite(table)
    total, count = np.where(known, table, 0.0).sum(axis=0), known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
