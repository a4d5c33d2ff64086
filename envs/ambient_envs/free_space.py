"""Free space for a disc: the arena without the walls, grown by its radius and a clearance.

Grown boxes cut the arena into a grid of rectangular cells, each wholly free or wholly blocked: one
exact structure for point queries (RRT), for the cover by rectangles (GCS) and for reachability.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ambient_envs.layouts import ARENA, layout_walls

Rectangle = tuple[float, float, float, float]  # x_low, y_low, x_high, y_high [m]


@dataclass(frozen=True)
class FreeSpace:
    """Cells of free space.

    Attributes:
        xs: (X+1,) borders of the columns [m], ascending.
        ys: (Y+1,) borders of the rows [m], ascending.
        region: (X,Y) int, number of the connected region of a cell from 0 on; -1 where blocked.
    """

    xs: list[float]
    ys: list[float]
    region: list[list[int]]

    def region_at(self, x: float, y: float) -> int:
        """Number of the connected region around a point [m]; -1 where a wall is too near."""
        column, row = bisect_right(self.xs, x) - 1, bisect_right(self.ys, y) - 1
        inside = 0 <= column < len(self.xs) - 1 and 0 <= row < len(self.ys) - 1
        return self.region[column][row] if inside else -1

    def rectangles(self) -> list[Rectangle]:
        """All maximal free rectangles: a cover of the free space by overlapping convex sets."""
        free = np.array(self.region) >= 0
        return [
            (self.xs[a], self.ys[c], self.xs[b], self.ys[d]) for a, b, c, d in _maximal_blocks(free)
        ]


@cache
def free_space(layout: str, grow: float) -> FreeSpace:
    """The free space of a layout for a point, with walls grown by ``grow`` [m] on every side."""
    grown = layout_walls(layout) + grow * np.array([-1.0, -1.0, 1.0, 1.0])
    grown = np.clip(grown, grow, ARENA - grow)
    xs, ys = np.unique(grown[:, [0, 2]]), np.unique(grown[:, [1, 3]])
    free = np.ones((len(xs) - 1, len(ys) - 1), dtype=bool)
    for x_low, y_low, x_high, y_high in grown:
        columns = (xs[:-1] >= x_low) & (xs[1:] <= x_high)
        rows = (ys[:-1] >= y_low) & (ys[1:] <= y_high)
        free[np.ix_(columns, rows)] = False
    return FreeSpace(xs.tolist(), ys.tolist(), _connected(free).tolist())


def _connected(free: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(X,Y) numbers of the regions connected by cell edges; -1 where blocked."""
    region = np.full(free.shape, -1)
    for cell in zip(*np.nonzero(free), strict=True):
        if region[cell] < 0:
            _flood(free, region, (int(cell[0]), int(cell[1])), int(region.max()) + 1)
    return region


def _flood(
    free: NDArray[np.bool_], region: NDArray[np.int64], cell: tuple[int, int], number: int
) -> None:
    """Write ``number`` over every free cell that can be reached from ``cell``."""
    waiting = [cell]
    while waiting:
        i, j = waiting.pop()
        inside = 0 <= i < free.shape[0] and 0 <= j < free.shape[1]
        if inside and free[i, j] and region[i, j] < 0:
            region[i, j] = number
            waiting += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]


def _maximal_blocks(free: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int]]:
    """Blocks of free cells [a, b) x [c, d) that cannot be extended on any side."""
    columns, rows = free.shape
    for a in range(columns):
        for b in range(a + 1, columns + 1):
            strip = np.logical_and.reduce(free[a:b], axis=0)
            left = free[a - 1] if a > 0 else np.zeros(rows, dtype=bool)
            right = free[b] if b < columns else np.zeros(rows, dtype=bool)
            for c, d in _runs(strip):
                if not left[c:d].all() and not right[c:d].all():
                    yield a, b, c, d


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open [start, end) of every unbroken run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
