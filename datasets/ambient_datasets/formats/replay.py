"""Replay buffers of real-stanford/diffusion_policy, read one episode at a time for conversion.

``diffusion_policy.py`` reads the same files in place. Keys of the request are those of ``data/``;
axes after the first become columns. The files say nothing of names, units and control rate.
"""

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.arrays import StoredArray, find_stored
from ambient_datasets.demonstrations import MAX_FRAMES, Labels, Request, default_names, describe
from ambient_datasets.faults import fault
from ambient_datasets.formats.diffusion_policy import ENDS, read_ends
from ambient_datasets.formats.replay_beside import Beside, read_beside
from ambient_datasets.formats.stamps import REPLAY_STAMPS, check_rate, nearest_rows, read_stamps
from ambient_datasets.frames import Frames, open_frames, to_bytes
from ambient_datasets.guards.archive import open_group
from ambient_datasets.guards.chunks import check_chunks
from ambient_datasets.guards.numbers import to_float32
from ambient_datasets.records import JSON, Attributes, Episode, StrPath
from ambient_policy.errors import DataError

METADATA = (".zarray", "zarr.json")  # of an array, zarr v2 and v3
MAX_BYTES = MAX_FRAMES  # of one array in one episode, as it is stored [bytes]


@dataclass(frozen=True)
class Replay:
    """A checked replay buffer; see ``Demonstrations``.

    Attributes:
        path: the folder or .zip file.
        attributes: what its numbers mean.
        ends: (E,) exclusive end row of each episode.
        state, action: keys whose columns make up observation and action.
        frames: of each camera by our name for it.
        keys: of ``data/``, asked for or not; sorted.
        beside: instructions, where our own writer left some.
        seconds: (N,) stamps of all rows, by which they are resampled; None: they are not.
    """

    path: Path
    attributes: Attributes
    ends: NDArray[np.int64]
    state: tuple[str, ...]
    action: tuple[str, ...]
    frames: Mapping[str, Frames]
    keys: tuple[str, ...]
    beside: Beside
    seconds: NDArray[np.float64] | None = None

    @property
    def cameras(self) -> Mapping[str, tuple[int, int, int]]:
        """(H,W,3) [px] of each camera."""
        return {name: frames.shape for name, frames in self.frames.items()}

    def __len__(self) -> int:
        """Episodes."""
        return len(self.ends)

    def about(self, i: int) -> Mapping[str, JSON]:
        """The steps of episode i; the format knows no more without reading them."""
        return {"length": int(self.ends[i]) - self._first(i)}

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
            images = {name: self._frames(group, frames, i) for name, frames in self.frames.items()}
        rows = self._choose_rows(i)
        images = {name: frames[rows] for name, frames in images.items()}
        return Episode(observations[rows], actions[rows], images, self.beside.instruction(i))

    def _choose_rows(self, i: int) -> slice | NDArray[np.int64]:
        """The rows to take: all of them, or for each time the one stamped nearest."""
        if self.seconds is None:
            return slice(None)
        seconds = self.seconds[self._first(i) : int(self.ends[i])]
        return nearest_rows(self.path, REPLAY_STAMPS, seconds, self.attributes.control_rate, i)

    def _first(self, i: int) -> int:
        return int(self.ends[i - 1]) if i else 0

    def _rows(self, stored: StoredArray, i: int) -> NDArray[Any]:
        """The rows of episode i."""
        array, first, stop = stored.array, self._first(i), int(self.ends[i])
        size = (stop - first) * math.prod(array.shape[1:]) * array.dtype.itemsize
        if size > MAX_BYTES:
            raise stored.fault(
                f"{stop - first} steps take {size} bytes, and at most {MAX_BYTES} are read",
                "Leave that episode out, or write frames as uint8.",
                first,
            )
        return stored.read(first, stop)

    def _table(self, group: zarr.Group, name: str, i: int) -> NDArray[np.float32]:
        key = f"data/{name}"
        rows = self._rows(find_stored(group, self.path, key, self.ends), i)
        return to_float32(self.path, key, rows.reshape(len(rows), -1), i)

    def _frames(self, group: zarr.Group, frames: Frames, i: int) -> NDArray[np.uint8]:
        stored = find_stored(group, self.path, frames.key, self.ends)
        return to_bytes(self._rows(stored, i), stored, self._first(i))


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
        ends = read_ends(group, path)
        if len(ends) == 0:
            raise fault(path, ENDS, "no episodes", "Give a file that holds at least one.")
        observations, actions = (
            Labels(default_names(keys, [_width(group, path, key, ends) for key in keys]))
            for keys in (request.state, request.action)
        )
        frames = {name: _frames(group, path, key, ends) for name, key in request.cameras.items()}
        beside = read_beside(group, path, len(ends))
        seconds = read_stamps(group, path, ends) if request.stamps != "ignore" else None
    attributes = describe(path, request, observations, actions)
    if request.stamps == "resample" and seconds is None:
        raise DataError(
            f"{path}: stamps = resample, but there is no {REPLAY_STAMPS}. Leave it out."
        )
    if request.stamps == "check" and seconds is not None:
        check_rate(path, REPLAY_STAMPS, seconds, ends, attributes.control_rate)
        seconds = None
    keys = tuple(sorted(_list_keys(path)))
    state, action = tuple(request.state), tuple(request.action)
    return Replay(path, attributes, ends, state, action, frames, keys, beside, seconds)


def _list_keys(path: Path) -> set[str]:
    """By the names of files alone: what nobody asked for may be written in a way zarr cannot read.

    (UMI's cameras, for one, are packed by a codec of their own.)
    """
    if path.is_dir():
        names = [f"data/{file.parent.name}/{file.name}" for file in path.glob("data/*/*")]
    else:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    parts = (name.split("/") for name in names)
    return {p[1] for p in parts if len(p) == 3 and p[0] == "data" and p[2] in METADATA}


def _width(group: zarr.Group, path: Path, name: str, ends: NDArray[np.int64]) -> int:
    """The columns of a key, its length, type and chunk files checked."""
    stored = find_stored(group, path, f"data/{name}", ends)
    array = stored.array
    if array.ndim < 2 or array.dtype.kind not in "fiub" or min(array.shape[1:]) < 1:
        raise stored.fault(
            f"shape {array.shape} and type {array.dtype} given, (rows, dimensions) numbers needed",
            "Name another key, or write it two-dimensional and as float32.",
        )
    stored.check_length()
    check_chunks(stored)
    return math.prod(array.shape[1:])


def _frames(group: zarr.Group, path: Path, name: str, ends: NDArray[np.int64]) -> Frames:
    stored = find_stored(group, path, f"data/{name}", ends)
    frames = open_frames(stored)
    check_chunks(stored)
    return frames
