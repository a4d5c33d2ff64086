"""The frames of a camera, unpacked once to a plain file (``unpacked.py``) and read by row."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.chunks import check_chunks
from ambient_datasets.joined import rows_by_part
from ambient_datasets.reading import (
    AnyArray,
    check_length,
    count_rows,
    episode_of_row,
    fault,
    find_array,
    open_group,
    read_block,
)
from ambient_datasets.unpacked import Unpacked

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
        frames: Pixels = self._unpacked.read(rows)
        return frames

    @cached_property
    def _unpacked(self) -> Unpacked:
        shape, dtype = (len(self), *self.shape), np.dtype(np.uint8)
        return Unpacked(self.path, (self.key,), shape, dtype, self._blocks, "frames")

    def _blocks(self) -> Iterator[Pixels]:
        """All frames in order, those of a chunk at a time."""
        with open_group(self.path) as group:
            array = find_array(group, self.path, self.key)
            check_chunks(array, self.path, self.key, self.episode_ends)
            for first in range(0, len(self), array.chunks[0]):
                stop = min(first + array.chunks[0], len(self))
                block = read_block(array, self.path, self.key, first, stop, self.episode_ends)
                yield to_bytes(block, self, first)


def to_bytes(block: NDArray[Any], frames: Frames, first: int) -> Pixels:
    """Pixels (n,H,W,3) as uint8, exactly; floats must be whole numbers from 0 to 255.

    Args:
        block: rows first, first + 1, .. of the frames' array.
        frames: where they come from, for the message.
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
        raise fault(
            frames.path,
            frames.key,
            f"row {row} holds {block[place]}, and pixels must be whole numbers from 0 to 255",
            "Write the frames as uint8.",
            episode_of_row(frames.episode_ends, row),
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


def open_frames(
    array: AnyArray, path: Path, key: str, ends: NDArray[np.int64], *, unfinished: bool = False
) -> Frames:
    """The frames of an array, validated by its shape and type; no pixel is read.

    Args:
        array, path, key: the array, its store and its key in it.
        ends: (E,) checked ends.
        unfinished: an episode is in flight, so further rows than the ends tell of are expected.

    Raises:
        DataError: unless (N,H,W,3) uint8, or floats that may hold such numbers.
    """
    if array.ndim != 4 or array.shape[3] != 3 or not (array.dtype == np.uint8 or _is_float(array)):
        raise fault(
            path,
            key,
            f"shape {array.shape} and type {array.dtype} given, (rows, height, width, 3) uint8 "
            "needed",
            "Name an array of pictures, or write it so.",
        )
    check_length(array, path, key, ends, unfinished=unfinished)
    _, height, width, colours = array.shape
    return Frames(path, key, (height, width, colours), ends)


def _is_float(array: AnyArray) -> bool:
    return bool(array.dtype.kind == "f")
