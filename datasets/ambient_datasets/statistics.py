"""Statistics of columns that merge exactly: parts in any order make the same.

Sums and sums of squares are fractions, which add without rounding (those of a block are computed
around its own mean, in float64); quantiles merge by adding the counts of a histogram
(``sketch.py``). Averaging the quantiles of parts would be wrong: those of {0, 0, 0} and {1} average
to medians of 0.5.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.sketch import Sketch
from ambient_datasets.tables import BLOCK, DiskTable, Table
from ambient_policy.errors import DataError
from ambient_policy.files import make_once

Vector = NDArray[np.float64]
Fractions = tuple[Fraction, ...]
SUMS = "totals", "squares"


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums and extremes of D columns of n numbers each.

    Attributes:
        count: n.
        totals: (D,) sums of the numbers.
        squares: (D,) sums of their squares.
        low, high: (D,) float32, exact; inf and -inf where n is 0.
        sketch: of the values, for quantiles; None where nobody will ask for them. It is nearly
            all of the memory: megabytes where the numbers are many, and the rest is bytes.
    """

    count: int
    totals: Fractions
    squares: Fractions
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    sketch: Sketch | None

    @classmethod
    def empty(cls, columns: int, *, sketch: bool = True) -> "Statistics":
        """Statistics of no numbers: merging them changes nothing."""
        nothing, infinite = (Fraction(0),) * columns, np.full(columns, np.inf, np.float32)
        counted = Sketch.of(np.empty((0, columns), np.float32)) if sketch else None
        return cls(0, nothing, nothing, infinite, -infinite, counted)

    @classmethod
    def of(cls, block: NDArray[np.float32], *, sketch: bool = True) -> "Statistics":
        """Count (n,D) numbers, with or without a sketch.

        Raises:
            DataError: unless all are finite.
        """
        values = np.asarray(block, np.float32)
        if not np.isfinite(values).all():
            raise DataError(
                "statistics of NaN or infinite numbers. Correct or leave out that data."
            )
        if len(values) == 0:
            return cls.empty(values.shape[1], sketch=sketch)
        low, high = values.min(axis=0), values.max(axis=0)
        mean = values.mean(axis=0, dtype=np.float64)
        around = ((values - mean) ** 2).sum(axis=0)
        means, n = [Fraction(m) for m in mean.tolist()], len(values)
        totals = tuple(n * m for m in means)
        squares = tuple(Fraction(a) + n * m**2 for a, m in zip(around.tolist(), means, strict=True))
        return cls(n, totals, squares, low, high, Sketch.of(values) if sketch else None)

    @classmethod
    def of_blocks(
        cls, blocks: Iterable[NDArray[np.float32]], *, sketch: bool = True
    ) -> "Statistics":
        """Count all blocks (n,D), at least one; one at a time lies in memory."""
        return reduce(cls.merge, (cls.of(block, sketch=sketch) for block in blocks))

    def merge(self, other: "Statistics") -> "Statistics":
        """Statistics of the numbers of both; with a sketch if both have one."""
        return Statistics(
            self.count + other.count,
            tuple(map(add, self.totals, other.totals)),
            tuple(map(add, self.squares, other.squares)),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.sketch.merge(other.sketch) if self.sketch and other.sketch else None,
        )

    def take(self, columns: Sequence[int]) -> "Statistics":
        """Statistics of some of the columns, in this order."""
        places = list(columns)
        totals, squares = (tuple(of[i] for i in places) for of in (self.totals, self.squares))
        sketch = self.sketch.take(places) if self.sketch else None
        return Statistics(self.count, totals, squares, self.low[places], self.high[places], sketch)

    @property
    def mean(self) -> Vector:
        """(D,); 0 of no numbers."""
        return np.array([float(total / max(1, self.count)) for total in self.totals])

    @property
    def square(self) -> Vector:
        """(D,) sum of the squared deviations from the mean."""
        sums = zip(self.totals, self.squares, strict=True)
        return np.array([float(s - t**2 / max(1, self.count)) for t, s in sums])

    @property
    def deviation(self) -> Vector:
        """(D,) standard deviation (of n, not n - 1); of a constant exactly 0."""
        self._check()
        return np.where(self.low < self.high, np.sqrt(self.square / self.count), 0.0)

    def quantile(self, q: float) -> Vector:
        """(D,) the number that a share ``q`` of the others lies below, 0 <= q <= 1.

        It is the one at place q (n - 1) in their order; between two places, between their two
        numbers in proportion (numpy's default, type 7 of Hyndman, Fan 1996). So it is symmetric:
        quantile 1 - q of the numbers with the other sign is the same, with the other sign. The
        first and the last are exact, the others to the precision of the sketch.

        Raises:
            DataError: of no numbers, of another q, or where no sketch was counted.
        """
        self._check()
        if not 0 <= q <= 1:
            raise DataError(f"quantile {q}: give a share from 0 to 1.")
        place = q * (self.count - 1)
        rank = int(place)
        below, above = self._ranked(rank), self._ranked(min(rank + 1, self.count - 1))
        return np.clip(below + (place - rank) * (above - below), below, above)

    def _ranked(self, rank: int) -> Vector:
        """(D,) about the number of each column at this place in its order."""
        if rank in (0, self.count - 1):
            return (self.low if rank == 0 else self.high).astype(np.float64)
        if self.sketch is None:
            raise DataError("quantiles of statistics without a sketch. Count them with one.")
        values = [self.sketch.value(column, rank) for column in range(len(self.mean))]
        return np.clip(values, self.low, self.high)

    def _check(self) -> None:
        if self.count == 0:
            raise DataError("statistics of no numbers at all. Give at least one row.")


def table_statistics(
    table: Table, rows: NDArray[np.bool_] | None = None, *, sketch: bool = True
) -> Statistics:
    """Count a table; the statistics of a whole one on disk are kept beside its cache.

    Args:
        table: (N,D).
        rows: (N,) those that count; None is all.
        sketch: whether with one.
    """
    if rows is not None and not rows.all():
        return _count_some(table, rows, sketch)
    if not isinstance(table, DiskTable) or table.rows < table.cache.shape[0]:
        return _count(table, sketch)
    suffix = ".counts.npz" if sketch else ".sums.npz"
    file = table.cache.file.with_suffix(suffix)
    make_once(file, lambda partial: _write(partial, _count(table, sketch)))
    return _read(file)


def _count(table: Table, sketch: bool) -> Statistics:
    if table.shape[0] == 0:
        return Statistics.empty(table.shape[1], sketch=sketch)
    return Statistics.of_blocks(table.blocks(), sketch=sketch)


def _count_some(table: Table, rows: NDArray[np.bool_], sketch: bool) -> Statistics:
    chosen = np.flatnonzero(rows)
    if not len(chosen):
        return Statistics.empty(table.shape[1], sketch=sketch)
    parts = (chosen[first : first + BLOCK] for first in range(0, len(chosen), BLOCK))
    return Statistics.of_blocks(map(table.read, parts), sketch=sketch)


def _write(file: Path, counted: Statistics) -> None:
    numbers = {name: getattr(counted, name) for name in ("count", "low", "high")}
    sums = {name: np.array([str(f) for f in getattr(counted, name)]) for name in SUMS}
    sketch = {} if counted.sketch is None else vars(counted.sketch)
    with file.open("wb") as target:
        np.savez(target, allow_pickle=False, **numbers, **sums, **sketch)


def _read(file: Path) -> Statistics:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            values: dict[str, Any] = dict(arrays)
        parts = [values.pop(name) for name in ("keys", "counts") if name in values]
        totals, squares = (tuple(map(Fraction, values.pop(name).tolist())) for name in SUMS)
        count, sketch = int(values.pop("count")), Sketch(*parts) if parts else None
        return Statistics(count, totals, squares, **values, sketch=sketch)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, BadZipFile) as error:
        raise DataError(
            f"{file}: cannot be read ({error}): somebody has changed this file. Delete it, and it "
            "is made anew."
        ) from error
