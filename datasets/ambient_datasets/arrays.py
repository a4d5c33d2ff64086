"""One array of a store, read in rows: one clear error instead of a strange number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.faults import corrupt_chunk, fault
from ambient_datasets.guards.archive import AnyArray, find_array
from ambient_policy.errors import DataError


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array of a store, with what its messages say.

    Attributes:
        array: zarr's.
        path: of the store.
        key: of the array in it.
        ends: (E,) checked ends of its episodes; None where its rows are not control steps.
        names: of its columns; None for their numbers.
    """

    array: AnyArray
    path: Path
    key: str
    ends: NDArray[np.int64] | None = field(default=None, repr=False)
    names: Sequence[str] | None = None

    def fault(self, what: str, remedy: str, row: int | None = None) -> DataError:
        """The error about this array, or about the episode of one of its rows."""
        return fault(self.path, self.key, what, remedy, self.episode(row))

    def episode(self, row: int | None) -> int | None:
        """The episode that a row belongs to; None where there are no episodes."""
        if row is None or self.ends is None:
            return None
        return episode_of_row(self.ends, row)

    def read(self, first: int, stop: int) -> NDArray[Any]:
        """The rows from ``first`` to before ``stop``.

        Raises:
            DataError: if a chunk is corrupt, naming its file and the first episode in it.
        """
        try:
            return np.asarray(self.array[first:stop])
        except Exception as error:  # codecs raise whatever they like
            chunk, reason = self._find_corrupt_chunk(first, stop)
            cause = reason or error
            name, episode = self._chunk_file(chunk), self.episode(chunk * self.array.chunks[0])
            words = f"{type(cause).__name__}: {cause}"
            raise corrupt_chunk(self.path, self.key, name, words, episode) from error

    def _find_corrupt_chunk(self, first: int, stop: int) -> tuple[int, Exception | None]:
        """Index along axis 0 of the first chunk that cannot be decoded, and why."""
        size = self.array.chunks[0]
        for start in range(first - first % size, stop, size):
            try:
                self.array[start : min(start + size, stop)]
            except Exception as error:
                return start // size, error
        return first // size, None

    def _chunk_file(self, chunk: int) -> str:
        """The file of a chunk, inside the array's folder (other axes are one chunk wide)."""
        index = (chunk, *[0] * (self.array.ndim - 1))
        return str(self.array.metadata.encode_chunk_key(index))

    def check_table(self, *, unfinished: bool = False, flatten: bool = False) -> None:
        """Refuse what is no table of floats with a row for each step; no number is read.

        Args:
            unfinished: an episode is in flight, so there may be more rows than the ends say.
            flatten: let further axes, e.g. of keypoints (N,9,2), become columns.

        Raises:
            DataError: naming file, key, episode and remedy.
        """
        shape, dtype = self.array.shape, self.array.dtype
        if not (len(shape) == 2 or (flatten and len(shape) > 2)) or dtype.kind != "f":
            raise self.fault(
                f"shape {shape} and type {dtype} given, (rows, dimensions) floats needed",
                "Write it two-dimensional and as float32.",
            )
        width = math.prod(shape[1:])
        if self.names is not None and width != len(self.names):
            raise self.fault(
                f"{width} columns, but {len(self.names)} names ({', '.join(self.names)})",
                "Name every column, in order.",
            )
        self.check_length(unfinished=unfinished)

    def check_length(self, *, unfinished: bool = False) -> None:
        """Refuse another number of rows than the episodes have.

        Args:
            unfinished: an episode is in flight, so there may be more rows than the ends say.

        Raises:
            DataError: naming the first episode at fault.
        """
        assert self.ends is not None
        stored, rows = self.array.shape[0], count_rows(self.ends)
        if stored == rows or (unfinished and stored > rows):
            return
        last = len(self.ends) - 1
        raise fault(
            self.path,
            self.key,
            f"{stored} rows, but meta/episode_ends ends at row {rows}; lengths must be equal",
            "Restore the store from a copy or write it again with equal lengths (a store that "
            "another process is appending to at this moment opens once that episode is complete).",
            min(episode_of_row(self.ends, stored), last) if last >= 0 else None,
        )

    def read_table(self, first: int, stop: int) -> NDArray[np.float32]:
        """Rows of an array that ``check_table`` has passed: (stop - first, D) float32, finite.

        Raises:
            DataError: naming file, key, episode and remedy.
        """
        raw = self.read(first, stop)
        with np.errstate(over="ignore"):
            table: NDArray[np.float32] = raw.reshape(stop - first, -1).astype(np.float32)
        bad = ~np.isfinite(table)
        if bad.any():
            place = int(np.argmax(bad.any(axis=1)))
            raise self._not_finite(first + place, int(np.argmax(bad[place])), table[place])
        return table

    def _not_finite(self, row: int, column: int, values: NDArray[np.float32]) -> DataError:
        assert self.ends is not None
        episode = episode_of_row(self.ends, row)
        step = row - (int(self.ends[episode - 1]) if episode else 0)
        name = self.names[column] if self.names is not None else column
        file = self._chunk_file(row // self.array.chunks[0])
        return self.fault(
            f"step {step}, dimension '{name}' is {values[column]}, and every number must be finite",
            f"Restore the file '{file}' from a copy, or leave that episode out and write the store "
            "again.",
            row,
        )


def find_stored(
    group: zarr.Group, path: Path, key: str, ends: NDArray[np.int64] | None = None
) -> StoredArray:
    """The array under a key; errors as of ``find_array``."""
    return StoredArray(find_array(group, path, key), path, key, ends)


def episode_of_row(ends: NDArray[np.int64], row: int) -> int:
    """The episode a row belongs to (ends are exclusive)."""
    return int(np.searchsorted(ends, row, side="right"))


def count_rows(ends: NDArray[np.int64]) -> int:
    """The committed rows, N."""
    return int(ends[-1]) if len(ends) else 0


def check_ends(ends: NDArray[Any], path: Path, key: str) -> NDArray[np.int64]:
    """(E,) cumulative, exclusive ends as int64.

    Raises:
        DataError: unless one-dimensional integers that increase strictly from above 0.
    """
    if ends.ndim != 1 or ends.dtype.kind not in "iu":
        raise fault(
            path,
            key,
            f"shape {ends.shape} and type {ends.dtype} given, (episodes,) integers needed",
            "Write the cumulative, exclusive end row of every episode.",
        )
    ends = ends.astype(np.int64)
    lengths = np.diff(ends, prepend=0)
    if (lengths <= 0).any():
        episode = int(np.argmax(lengths <= 0))
        before = int(ends[episode - 1]) if episode else 0
        raise fault(
            path,
            key,
            f"ends at row {ends[episode]} but begins at row {before}; ends must increase",
            "Restore the file from a copy, or write the cumulative, exclusive end row of every "
            "episode, each at least one step long.",
            episode,
        )
    return ends
