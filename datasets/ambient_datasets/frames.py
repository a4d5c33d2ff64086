"""The frames of a camera, unpacked once to a plain file (``cache.py``) and read by row."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.arrays import StoredArray, count_rows, find_stored
from ambient_datasets.cache import RowCache
from ambient_datasets.guards.archive import open_group
from ambient_datasets.guards.chunks import check_chunks
from ambient_datasets.rows import rows_by_part

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Frames:
    """The committed frames of one camera of a store.

    Attributes:
        path: of the store.
        key: of the array in it.
        shape: (H,W,3) of a frame [px].
        episode_ends: (E,) of the store.
    """

    path: Path
    key: str
    shape: tuple[int, int, int]
    episode_ends: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        """N, frames."""
        return count_rows(self.episode_ends)

    def read(self, rows: NDArray[np.int64]) -> Pixels:
        """(...) rows -> (...,H,W,3) uint8.

        Raises:
            DataError: at the first reading, if a chunk is lost or corrupt, or a value is no byte;
                if there is no such row.
            CheckpointError: if the unpacked file cannot be written.
        """
        frames: Pixels = self._cache.read(rows)
        return frames

    @cached_property
    def _cache(self) -> RowCache:
        shape, dtype = (len(self), *self.shape), np.dtype(np.uint8)
        return RowCache(self.path, (self.key,), shape, dtype, self._blocks, "frames")

    def _blocks(self) -> Iterator[Pixels]:
        """All frames in order, those of a chunk at a time."""
        with open_group(self.path) as group:
            stored = self.open(group)
            for first in range(0, len(self), stored.array.chunks[0]):
                yield read_span(stored, first, min(first + stored.array.chunks[0], len(self)))

    def open(self, group: zarr.Group) -> StoredArray:
        """The array in an opened store, its chunk files looked at, for ``read_span``.

        Raises:
            DataError: if a chunk is lost, or unfolds to another size than the array declares.
        """
        stored = find_stored(group, self.path, self.key, self.episode_ends)
        check_chunks(stored)
        return stored


def read_span(stored: StoredArray, first: int, stop: int) -> Pixels:
    """(n,H,W,3) frames ``first`` to before ``stop``, from their chunks: nothing is unpacked.

    Raises:
        DataError: if a chunk is corrupt, or a value is no byte.
    """
    return to_bytes(stored.read(first, stop), stored, first)


def to_bytes(block: NDArray[Any], stored: StoredArray, first: int) -> Pixels:
    """Pixels (n,H,W,3) as uint8, exactly; floats must be whole numbers from 0 to 255.

    Args:
        block: rows first, first + 1, .. of the array.
        stored: where they come from, for the message.
        first: see above.

    Raises:
        DataError: naming row and episode.
    """
    if block.dtype == np.uint8:
        return block
    whole = (block >= 0) & (block <= 255) & (block == np.floor(block))
    if not whole.all():
        place = np.unravel_index(int(np.argmin(whole)), whole.shape)
        row = first + int(place[0])
        raise stored.fault(
            f"row {row} holds {block[place]}, and pixels must be whole numbers from 0 to 255",
            "Write the frames as uint8.",
            row,
        )
    return block.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class JoinedFrames:
    """The frames of one camera from several stores, one after the other.

    Attributes:
        parts: (S,) of the stores.
        firsts: (S,) int64, the row of each one's first frame, rising.
    """

    parts: tuple[Frames, ...]
    firsts: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H,W,3) of a frame [px]."""
        return self.parts[0].shape

    def read(self, rows: NDArray[np.int64]) -> Pixels:
        """(...) rows -> (...,H,W,3) uint8; errors as of ``Frames.read``."""
        frames = np.empty((rows.size, *self.shape), np.uint8)
        for i, places, inside in rows_by_part(rows.reshape(-1), self.firsts):
            frames[places] = self.parts[i].read(inside)
        return frames.reshape(*rows.shape, *self.shape)


def open_frames(stored: StoredArray, *, unfinished: bool = False) -> Frames:
    """The frames of an array, validated by its shape and type; no pixel is read.

    Args:
        stored: the array, with the ends of its episodes.
        unfinished: an episode is in flight, so there may be more rows than the ends say.

    Raises:
        DataError: unless (N,H,W,3) uint8, or floats that may hold such numbers.
    """
    shape, dtype = stored.array.shape, stored.array.dtype
    if len(shape) != 4 or shape[3] != 3 or not (dtype == np.uint8 or dtype.kind == "f"):
        raise stored.fault(
            f"shape {shape} and type {dtype} given, (rows, height, width, 3) uint8 needed",
            "Name an array of pictures, or write it so.",
        )
    stored.check_length(unfinished=unfinished)
    assert stored.ends is not None
    return Frames(stored.path, stored.key, (shape[1], shape[2], shape[3]), stored.ends)
