"""Rows of several arrays that lie one after another: which are whose."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def rows_by_part(rows: Rows, firsts: Rows) -> Iterator[tuple[int, Rows, Rows]]:
    """Sort rows by the part they lie in.

    Args:
        rows: (n,) of the whole, at least ``firsts[0]``.
        firsts: (S,) first row of each part, not falling; a part without rows has the next one's.

    Yields:
        For each part that has any: its number, their places in ``rows``, and their rows within it.
    """
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    part = np.searchsorted(firsts, ordered, side="right") - 1
    stops = np.flatnonzero(np.diff(part, append=-1))
    start = 0
    for stop in (stops + 1).tolist():
        i = int(part[start])
        yield i, order[start:stop], ordered[start:stop] - firsts[i]
        start = stop
