"""The low-dimensional numbers of a store, in memory or on disk, and of several stores as one.

A table is (N,D) float32: N control steps, D columns. In memory it was read and checked when its
store was opened. On disk it is unpacked and checked when first read, and then costs the memory of
the rows that are read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.arrays import StoredArray, count_rows
from ambient_datasets.cache import RowCache, check_rows
from ambient_datasets.guards.archive import find_array, open_group
from ambient_datasets.guards.chunks import check_chunks
from ambient_datasets.rows import rows_by_part
from ambient_policy.settings import Tables

BLOCK = 16384  # rows read, checked or counted at a time

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class Table(Protocol):
    """(N,D) float32, finite."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N,D)."""
        ...

    @property
    def in_memory(self) -> bool:
        """Whether ``whole`` costs nothing."""
        ...

    def read(self, rows: Rows) -> Floats:
        """(...) rows -> (...,D); a copy.

        Raises:
            DataError: of a table on disk, at the first reading: naming file, key, episode, remedy.
        """
        ...

    def blocks(self) -> Iterator[Floats]:
        """All rows in order, ``BLOCK`` at a time (the last block may be shorter)."""
        ...

    def whole(self) -> Floats:
        """(N,D), read-only."""
        ...

    def head(self, rows: int) -> "Table":
        """The first so many rows of it."""
        ...


@dataclass(frozen=True, eq=False)
class MemoryTable:
    """A table in memory.

    Attributes:
        values: (N,D) float32.
    """

    values: Floats

    def __post_init__(self) -> None:
        shared = self.values.view()
        shared.setflags(write=False)
        object.__setattr__(self, "values", shared)

    @property
    def shape(self) -> tuple[int, int]:
        """(N,D)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def in_memory(self) -> bool:
        """True."""
        return True

    def read(self, rows: Rows) -> Floats:
        """(...) rows -> (...,D)."""
        check_rows(rows, len(self.values))
        return self.values[rows]

    def blocks(self) -> Iterator[Floats]:
        """All rows in order, ``BLOCK`` at a time."""
        for first in range(0, len(self.values), BLOCK):
            yield self.values[first : first + BLOCK]

    def whole(self) -> Floats:
        """(N,D), read-only."""
        return self.values

    def head(self, rows: int) -> "MemoryTable":
        """The first so many rows; nothing is copied."""
        return MemoryTable(self.values[:rows])


@dataclass(frozen=True, eq=False)
class DiskTable:
    """The first rows of a cache.

    Attributes:
        cache: (M,D) float32.
        rows: N, at most M.
    """

    cache: RowCache
    rows: int

    @property
    def shape(self) -> tuple[int, int]:
        """(N,D)."""
        return self.rows, self.cache.shape[1]

    @property
    def in_memory(self) -> bool:
        """False."""
        return False

    def read(self, rows: Rows) -> Floats:
        """(...) rows -> (...,D); errors as of ``RowCache.read``."""
        check_rows(rows, self.rows)
        return self.cache.read(rows)

    def blocks(self) -> Iterator[Floats]:
        """All rows in order, ``BLOCK`` at a time."""
        for first in range(0, self.rows, BLOCK):
            yield self.cache.read_span(first, min(first + BLOCK, self.rows))

    def whole(self) -> Floats:
        """(N,D), read-only, read from disk anew."""
        values = self.cache.read_span(0, self.rows)
        values.setflags(write=False)
        return values

    def head(self, rows: int) -> "DiskTable":
        """The first so many rows."""
        return replace(self, rows=min(rows, self.rows))


@dataclass(frozen=True, eq=False)
class JoinedTable:
    """Several tables one after another, each with columns of its own among those of the whole.

    Attributes:
        parts: (S,) tables.
        firsts: (S,) int64, the row of each one's first, each where the one before ends.
        places: (S,) where each part's columns lie among those of the whole; the others are 0.
        width: columns of the whole, D.
    """

    parts: tuple[Table, ...]
    firsts: Rows
    places: tuple[NDArray[np.int64], ...]
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(N,D)."""
        return int(self.firsts[-1]) + self.parts[-1].shape[0], self.width

    @property
    def in_memory(self) -> bool:
        """Whether all parts are."""
        return all(part.in_memory for part in self.parts)

    def read(self, rows: Rows) -> Floats:
        """(...) rows -> (...,D); errors as of the parts' ``read``."""
        check_rows(rows, self.shape[0])
        values = np.zeros((rows.size, self.width), np.float32)
        for i, places, inside in rows_by_part(rows.reshape(-1), self.firsts):
            values[places[:, None], self.places[i]] = self.parts[i].read(inside)
        return values.reshape(*rows.shape, self.width)

    def whole(self) -> Floats:
        """(N,D), read-only; the part itself where it is the only one and fills every column."""
        if len(self.parts) == 1 and np.array_equal(self.places[0], np.arange(self.width)):
            return self.parts[0].whole()
        values = np.zeros(self.shape, np.float32)
        for first, part, places in zip(self.firsts, self.parts, self.places, strict=True):
            values[first : first + part.shape[0], places] = part.whole()
        values.setflags(write=False)
        return values


@dataclass(frozen=True, eq=False)
class StoredColumns:
    """Where the columns of a table lie in a store.

    Attributes:
        path: of the store.
        keys: of its arrays, side by side in the table.
        names: of the columns of each array, for messages.
        ends: (E,) checked ends.
        columns: those taken of the columns side by side; None takes all.
    """

    path: Path
    keys: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    ends: Rows
    columns: tuple[int, ...] | None = None

    @property
    def width(self) -> int:
        """D."""
        return sum(map(len, self.names)) if self.columns is None else len(self.columns)

    def open(self, group: Any) -> list[StoredArray]:
        """The arrays in an opened store, their chunk files looked at."""
        arrays = [
            StoredArray(find_array(group, self.path, key), self.path, key, self.ends, names)
            for key, names in zip(self.keys, self.names, strict=True)
        ]
        for array in arrays:
            check_chunks(array)
        return arrays

    def read(self, arrays: Sequence[StoredArray], first: int, stop: int) -> Floats:
        """Rows ``first`` to before ``stop`` of the arrays from ``open``: (stop - first, D), finite.

        Raises:
            DataError: naming file, key, episode and remedy.
        """
        parts = [array.read_table(first, stop) for array in arrays]
        side_by_side = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return side_by_side if self.columns is None else side_by_side[:, list(self.columns)]

    def blocks(self, size: int = BLOCK) -> Iterator[Floats]:
        """(n,D) in order; n is ``size`` or one chunk, if that is longer. Errors as of ``read``."""
        rows = count_rows(self.ends)
        with open_group(self.path) as group:
            arrays = self.open(group)
            step = max(size, *(stored.array.chunks[0] for stored in arrays))
            for first in range(0, rows, step):
                yield self.read(arrays, first, min(first + step, rows))

    def check(self, group: Any, *, unfinished: bool = False, flatten: bool = False) -> None:
        """Refuse arrays of another shape, type or length; as ``StoredArray.check_table``."""
        for key, names in zip(self.keys, self.names, strict=True):
            array = find_array(group, self.path, key)
            stored = StoredArray(array, self.path, key, self.ends, names)
            stored.check_table(unfinished=unfinished, flatten=flatten)


def make_table(stored: StoredColumns, tables: Tables) -> Table:
    """The table of stored columns that were checked.

    Raises:
        DataError: in memory, if a number or chunk is at fault.
    """
    rows = count_rows(stored.ends)
    if tables is Tables.memory:
        empty = np.empty((0, stored.width), np.float32)
        return MemoryTable(next(stored.blocks(max(rows, 1)), empty))
    detail = f"columns {stored.columns}"
    shape, dtype = (rows, stored.width), np.dtype("<f4")
    blocks = stored.blocks
    cache = RowCache(stored.path, stored.keys, shape, dtype, blocks, "tables", detail)
    return DiskTable(cache, rows)
