"""Statistics of columns that merge exactly: of parts taken apart, the same as of the whole.

Mean and squared deviations merge by Chan, Golub, LeVeque 1979 ("Updating formulae and a pairwise
algorithm for computing sample variances"); quantiles by adding the counts of a histogram
(``sketch.py``). Averaging the quantiles of parts would be wrong: those of {0, 0, 0} and {1} average
to medians of 0.5.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.sketch import Sketch
from ambient_datasets.store import Store
from ambient_datasets.tables import DiskTable, Table
from ambient_policy.errors import DataError
from ambient_policy.files import make_once

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of D columns of n numbers each.

    Attributes:
        count: n.
        mean: (D,); 0 where n is 0.
        square: (D,) sum of the squared deviations from the mean.
        low, high: (D,) float32, exact; inf and -inf where n is 0.
        sketch: of the values, for quantiles.
    """

    count: int
    mean: Vector
    square: Vector
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    sketch: Sketch

    @classmethod
    def empty(cls, columns: int) -> "Statistics":
        """Of no numbers: merging it changes nothing."""
        nothing, infinite = np.zeros(columns), np.full(columns, np.inf, np.float32)
        sketch = Sketch.of(np.empty((0, columns), np.float32))
        return cls(0, nothing, nothing, infinite, -infinite, sketch)

    @classmethod
    def of(cls, block: NDArray[np.float32]) -> "Statistics":
        """Of (n,D) numbers.

        Raises:
            DataError: unless all are finite.
        """
        values = np.asarray(block, np.float32)
        if not np.isfinite(values).all():
            raise DataError(
                "statistics of NaN or infinite numbers. Correct or leave out that data."
            )
        if len(values) == 0:
            return cls.empty(values.shape[1])
        low, high = values.min(axis=0), values.max(axis=0)
        mean = values.mean(axis=0, dtype=np.float64)
        square = ((values - mean) ** 2).sum(axis=0)
        return cls(len(values), mean, square, low, high, Sketch.of(values))

    @classmethod
    def of_blocks(cls, blocks: Iterable[NDArray[np.float32]]) -> "Statistics":
        """Of all blocks (n,D), at least one, of which one at a time lies in memory."""
        return reduce(cls.merge, map(cls.of, blocks))

    def merge(self, other: "Statistics") -> "Statistics":
        """Of the numbers of both."""
        count = self.count + other.count
        share = other.count / max(1, count)
        apart = other.mean - self.mean
        return Statistics(
            count,
            self.mean + share * apart,
            self.square + other.square + apart**2 * self.count * share,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.sketch.merge(other.sketch),
        )

    def take(self, columns: Sequence[int]) -> "Statistics":
        """Of some of the columns, in the order given."""
        taken = list(columns)
        moments = self.mean[taken], self.square[taken]
        sketch = self.sketch.take(taken)
        return Statistics(self.count, *moments, self.low[taken], self.high[taken], sketch)

    @property
    def deviation(self) -> Vector:
        """(D,) standard deviation (of n, not n - 1); of a constant exactly 0."""
        self._check()
        return np.where(self.low < self.high, np.sqrt(self.square / self.count), 0.0)

    def quantile(self, q: float) -> Vector:
        """(D,) the number that a share ``q`` of the others lies below, 0 <= q <= 1.

        It is the one at place floor(q (n - 1)) in their order, exactly for the first and the last,
        else to the precision of the sketch.
        """
        self._check()
        if not 0 <= q <= 1:
            raise DataError(f"quantile {q}: give a share from 0 to 1.")
        rank = int(np.floor(q * (self.count - 1)))
        if rank in (0, self.count - 1):
            return (self.low if rank == 0 else self.high).astype(np.float64)
        values = [self.sketch.value(column, rank) for column in range(len(self.mean))]
        return np.clip(values, self.low, self.high)

    def _check(self) -> None:
        if self.count == 0:
            raise DataError("statistics of no numbers at all. Give at least one row.")


def table_statistics(table: Table) -> Statistics:
    """Of a table; those of one on disk are kept beside its unpacked file."""
    if not isinstance(table, DiskTable) or table.rows < table.unpacked.shape[0]:
        return _count(table)
    file = table.unpacked.file.with_suffix(".statistics.npz")
    make_once(file, lambda partial: _write(partial, _count(table)))
    return _read(file)


def store_statistics(store: Store) -> tuple[Statistics, Statistics]:
    """Of the observations and the actions of a store, all its episodes."""
    return table_statistics(store.observation_table), table_statistics(store.action_table)


def _count(table: Table) -> Statistics:
    if table.shape[0] == 0:
        return Statistics.empty(table.shape[1])
    return Statistics.of_blocks(table.blocks())


def _write(file: Path, counted: Statistics) -> None:
    sketch = {"keys": counted.sketch.keys, "counts": counted.sketch.counts}
    numbers = {name: getattr(counted, name) for name in ("count", "mean", "square", "low", "high")}
    with file.open("wb") as target:
        np.savez(target, allow_pickle=False, **numbers, **sketch)


def _read(file: Path) -> Statistics:
    try:
        with np.load(file, allow_pickle=False) as found:
            values: dict[str, Any] = dict(found)
        sketch = Sketch(values.pop("keys"), values.pop("counts"))
        return Statistics(**{**values, "count": int(values["count"])}, sketch=sketch)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise DataError(
            f"{file}: cannot be read ({error}): somebody has changed this file. Delete it, and it "
            "is made anew."
        ) from error
