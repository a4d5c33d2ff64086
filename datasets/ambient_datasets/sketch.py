"""A histogram of float32 numbers that merges exactly and tells quantiles to a stated precision.

Written as bits, with the sign turned so that order is kept, float32 numbers are whole numbers in
the same order. A bin is all numbers with the same leading ``BITS`` bits: sign, exponent and 12 bits
of the mantissa. So a bin is the same whatever the data, and a merge adds counts: the sketch of a
union, exactly, in any order.

The value told for a quantile lies in the bin of the true one, at its middle: it is off by at most
2^-13 of it, or 2^-138 among subnormal numbers; 0 is told exactly. (Bins of equal relative width are
the idea of Masson, Rim, Lee 2019, "DDSketch"; here they are cut from the bits, so that no logarithm
rounds.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 1 + 8 + 12  # sign, exponent, and of the mantissa
RELATIVE, ABSOLUTE = 2.0**-13, 2.0**-138  # the error of a quantile is at most their larger

_REST = 32 - BITS
_SIGN = np.uint32(1 << 31)

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sketch:
    """How many numbers of each of D columns lie in which bin.

    Attributes:
        keys: (K,) int64, rising: 2^BITS times the column, plus the bin. Empty bins are left out.
        counts: (K,) int64, at least 1.
    """

    keys: Counts
    counts: Counts

    @classmethod
    def of(cls, block: NDArray[np.float32]) -> "Sketch":
        """Count (n,D) finite numbers; 0 and -0 are the same."""
        column = np.arange(block.shape[1], dtype=np.int64) << BITS
        bins = (_ordered(block) >> np.uint32(_REST)).astype(np.int64)
        return cls(*np.unique(bins + column, return_counts=True))

    def merge(self, other: "Sketch") -> "Sketch":
        """The sketch of the numbers of both."""
        keys, places = np.unique(np.concatenate([self.keys, other.keys]), return_inverse=True)
        counts = np.zeros(len(keys), np.int64)
        np.add.at(counts, places, np.concatenate([self.counts, other.counts]))
        return Sketch(keys, counts)

    def take(self, columns: Sequence[int]) -> "Sketch":
        """The sketch of some of the columns, in this order."""
        edges = [np.searchsorted(self.keys, [c << BITS, (c + 1) << BITS]) for c in columns]
        parts = [slice(*edge.tolist()) for edge in edges]
        moves = [(i - c) << BITS for i, c in enumerate(columns)]
        keys = [self.keys[part] + move for part, move in zip(parts, moves, strict=True)]
        return Sketch(np.concatenate(keys), np.concatenate([self.counts[part] for part in parts]))

    def value(self, column: int, rank: int) -> float:
        """About the number of a column at this place in their order, from 0 to n - 1."""
        first, stop = np.searchsorted(self.keys, [column << BITS, (column + 1) << BITS])
        passed = np.cumsum(self.counts[first:stop])
        key = int(self.keys[first + np.searchsorted(passed, rank, side="right")])
        lowest = (key - (column << BITS)) << _REST
        if lowest == _SIGN:  # the bin that begins with 0
            return 0.0
        ends = _number(np.array([lowest, lowest + (1 << _REST) - 1], np.uint32))
        return float(ends.astype(np.float64).mean())


def _ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The bits of numbers, so that they rise with them."""
    bits = np.ascontiguousarray(values + np.float32(0), np.float32).view(np.uint32)  # -0 -> 0
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _number(ordered: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The inverse of ``_ordered``."""
    bits = np.where(ordered & _SIGN, ordered ^ _SIGN, ~ordered)
    return bits.astype(np.uint32).view(np.float32)
