"""Replay buffers of real-stanford/diffusion_policy, read one episode at a time for conversion.

``diffusion_policy.py`` reads the same files in place. Keys of the request are those of ``data/``;
axes after the first become columns. The files say nothing of names, units and control rate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.chunks import check_chunks
from ambient_datasets.demonstrations import Request, default_names, describe
from ambient_datasets.frames import Frames, open_frames, to_bytes
from ambient_datasets.reading import (
    StrPath,
    check_ends,
    check_length,
    fault,
    find_array,
    open_group,
    read_block,
    read_rows,
)
from ambient_datasets.records import Attributes, Episode
from ambient_policy.errors import DataError

ENDS = "meta/episode_ends"


@dataclass(frozen=True)
class Replay:
    """A checked replay buffer; see ``Demonstrations``."""

    path: Path
    attributes: Attributes
    ends: NDArray[np.int64]
    state: tuple[str, ...]
    action: tuple[str, ...]
    frames: Mapping[str, Frames]

    @property
    def cameras(self) -> Mapping[str, tuple[int, int, int]]:
        """(H,W,3) [px] of each camera."""
        return {name: frames.shape for name, frames in self.frames.items()}

    def __len__(self) -> int:
        """Episodes."""
        return len(self.ends)

    def episode(self, i: int) -> Episode:
        """Episode i.

        Raises:
            DataError: naming file, key and episode.
        """
        if not 0 <= i < len(self):
            raise DataError(f"{self.path}: episode {i}: there are episodes 0 to {len(self) - 1}.")
        with open_group(self.path) as group:
            observations, actions = (
                np.concatenate([self._table(group, key, i) for key in keys], axis=1)
                for keys in (self.state, self.action)
            )
            images = {
                name: to_bytes(self._rows(group, frames.key, i), frames, self._first(i))
                for name, frames in self.frames.items()
            }
        return Episode(observations, actions, images)

    def _first(self, i: int) -> int:
        return int(self.ends[i - 1]) if i else 0

    def _rows(self, group: zarr.Group, key: str, i: int) -> NDArray[Any]:
        """The rows of episode i, unpacked from the beginning of its first chunk."""
        array, first, stop = find_array(group, self.path, key), self._first(i), int(self.ends[i])
        aligned = first - first % array.chunks[0]
        return read_block(array, self.path, key, aligned, stop, self.ends)[first - aligned :]

    def _table(self, group: zarr.Group, name: str, i: int) -> NDArray[np.float32]:
        key = f"data/{name}"
        rows = self._rows(group, key, i)
        with np.errstate(over="ignore"):
            table: NDArray[np.float32] = rows.reshape(len(rows), -1).astype(np.float32)
        bad = ~np.isfinite(table)
        if bad.any():
            step, column = np.unravel_index(int(np.argmax(bad)), bad.shape)
            raise fault(
                self.path,
                key,
                f"step {step}, column {column} is {table[step, column]}, and every number must be "
                "finite",
                "Correct the file, or leave that episode out.",
                i,
            )
        return table


def open_replay(path: StrPath, request: Request) -> Replay:
    """A replay buffer (zarr v2 or v3; folder or .zarr.zip), checked but for its numbers.

    Raises:
        DataError: naming file, key, episode and remedy.
    """
    path = Path(path)
    if request.split is not None:
        raise DataError(
            f"{path}: split = '{request.split}': a replay buffer has no splits. Leave it out."
        )
    with open_group(path) as group:
        ends = _read_ends(group, path)
        names = [
            default_names(keys, [_width(group, path, key, ends) for key in keys])
            for keys in (request.state, request.action)
        ]
        frames = {name: _frames(group, path, key, ends) for name, key in request.cameras.items()}
    attributes = describe(path, request, names[0], names[1])
    return Replay(path, attributes, ends, request.state, request.action, frames)


def _read_ends(group: zarr.Group, path: Path) -> NDArray[np.int64]:
    array = find_array(group, path, ENDS)
    check_chunks(array, path, ENDS)
    ends = check_ends(read_rows(array, path, ENDS, array.shape[0]), path, ENDS)
    if len(ends) == 0:
        raise fault(path, ENDS, "no episodes", "Give a file that holds at least one.")
    return ends


def _width(group: zarr.Group, path: Path, name: str, ends: NDArray[np.int64]) -> int:
    """The columns of a key, its length, type and chunk files checked."""
    key = f"data/{name}"
    array = find_array(group, path, key)
    if array.ndim < 2 or array.dtype.kind != "f" or min(array.shape[1:]) < 1:
        raise fault(
            path,
            key,
            f"shape {array.shape} and type {array.dtype} given, (rows, dimensions) floats needed",
            "Name another key, or write it two-dimensional and as float32.",
        )
    check_length(array, path, key, ends)
    check_chunks(array, path, key, ends)
    return math.prod(array.shape[1:])


def _frames(group: zarr.Group, path: Path, name: str, ends: NDArray[np.int64]) -> Frames:
    key = f"data/{name}"
    array = find_array(group, path, key)
    frames = open_frames(array, path, key, ends)
    check_chunks(array, path, key, ends)
    return frames
