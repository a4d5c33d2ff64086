"""The frames of a camera, unpacked once to a plain file that is mapped into memory.

Training reads frames in random order, and a compressed chunk costs all of its frames to yield one.
So the first reading unpacks the array, block by block, to one uncompressed uint8 file; a frame then
costs its own bytes, and no more of the data lies in memory than is read. Processes that start
together unpack it once: one does, the others wait. The files lie in
$XDG_CACHE_HOME/ambient_policy/frames (else ~/.cache/...), named after the array and the state of
its chunks: a store that grew is unpacked anew. They may be deleted at any time.
"""

import hashlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.chunks import check_chunks
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
from ambient_policy.files import make_once

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
            DataError: at the first reading, if a chunk is lost or corrupt, or a value is no byte.
            CheckpointError: if the unpacked file cannot be written.
        """
        frames: Pixels = self._unpacked[rows]
        return frames

    @cached_property
    def _unpacked(self) -> Pixels:
        file = _cache_folder() / f"{_digest(self)}.npy"
        make_once(file, self._unpack)
        unpacked: Pixels = np.load(file, mmap_mode="r", allow_pickle=False)
        return unpacked

    def _unpack(self, file: Path) -> None:
        """As a stream of bytes: a full disk under a memory map is no error but a SIGBUS."""
        ends, rows = self.episode_ends, len(self)
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, *self.shape)}
        with open_group(self.path) as group, file.open("wb") as target:
            array = find_array(group, self.path, self.key)
            check_chunks(array, self.path, self.key, ends)
            np.lib.format.write_array_header_1_0(target, header)
            for first in range(0, rows, array.chunks[0]):
                stop = min(first + array.chunks[0], rows)
                block = read_block(array, self.path, self.key, first, stop, ends)
                target.write(to_bytes(block, self, first).tobytes())


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
        part = np.searchsorted(self.firsts, rows, side="right") - 1
        frames = np.empty((*rows.shape, *self.shape), np.uint8)
        for i in np.unique(part):
            frames[part == i] = self.parts[i].read(rows[part == i] - self.firsts[i])
        return frames


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


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ambient_policy" / "frames"


def _digest(frames: Frames) -> str:
    """32 hexadecimal digits of where the frames are and when each of their files was written."""
    digest = hashlib.sha256(f"{frames.path.resolve()} {frames.key} {len(frames)}".encode())
    for file in _files(frames):
        status = file.stat()
        digest.update(f" {file} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def _files(frames: Frames) -> list[Path]:
    """The files the frames lie in: those of their array, or the one .zip."""
    path = frames.path.resolve()
    if path.is_file():
        return [path]
    return sorted(file for file in (path / frames.key).rglob("*") if file.is_file())
