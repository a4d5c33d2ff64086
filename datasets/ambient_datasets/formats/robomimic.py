"""Reads demonstrations in HDF5: robomimic's, robosuite's raw ones, ACT's, Minari's, ManiSkill's.

robomimic's layout: one group ``data/<demo>`` for each demonstration, with ``actions`` (T,A),
``states`` (T,S) and ``obs/<key>`` (T,...); ``mask/<filter key>`` lists the demonstrations of a
split. ``data`` may carry the attributes ``total`` (rows) and ``env_args`` (JSON: the world, its
control rate ``env_kwargs.control_freq`` [Hz]). Others put the groups elsewhere, or write a file for
each demonstration: ``robomimic_places.py``.

A key of ``Request.state`` and ``Request.cameras`` is looked for in ``obs/`` first, then beside it;
one of ``Request.action`` beside ``obs/`` only. A key may end in columns: "states[1:8]" is columns
1 to 7. That is how a raw file, which has no ``obs/``, gives an observation: MuJoCo's flattened
state is time, then the positions, then the velocities of all joints, in the order of the model;
only the caller knows which of them the policy may see. Further axes become columns. Frames are
(T,H,W,3), or (T,bytes) of one encoded picture in each row.

Kept besides: the instruction (``ep_meta`` of the demonstration, or ``problem_info`` of ``data``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.demonstrations import Labels, Request, describe
from ambient_datasets.faults import fault
from ambient_datasets.formats.robomimic_check import (
    Columns,
    check_table,
    frame_shape,
    is_packed,
    read_json,
)
from ambient_datasets.formats.robomimic_layout import Index, read_index
from ambient_datasets.formats.robomimic_places import DATA, Demo, open_demo
from ambient_datasets.formats.stamps import AS_THEY_COME, compare_rate
from ambient_datasets.guards.apart import RESTORE, read_apart, read_episode_apart
from ambient_datasets.guards.forks import Arrays
from ambient_datasets.guards.hdf5 import find_array, join, read_array, read_text
from ambient_datasets.guards.numbers import to_float32
from ambient_datasets.guards.pictures import check_memory, read_picture
from ambient_datasets.records import JSON, Attributes, Episode, StrPath
from ambient_policy.errors import DataError


@dataclass(frozen=True, eq=False)
class RobomimicDemonstrations:
    """The demonstrations of one file or folder, in natural order (demo_2 before demo_10).

    Attributes:
        path: of it.
        attributes: what its numbers mean.
    """

    path: Path
    attributes: Attributes
    _index: Index = field(repr=False)

    @property
    def cameras(self) -> dict[str, tuple[int, int, int]]:
        """(H,W,3) [px] of each camera by our name for it."""
        return {name: (shape[0], shape[1], 3) for name, shape in self._index.shapes.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the demonstrations."""
        return tuple(place.name for place in self._index.places)

    @property
    def keys(self) -> tuple[str, ...]:
        """Arrays with a row for each step, those of no use as numbers or frames too; sorted."""
        return tuple(self._index.keys)

    def __len__(self) -> int:
        """Demonstrations."""
        return len(self._index.places)

    def about(self, i: int) -> Mapping[str, JSON]:
        """What is known of demonstration i without its rows: its steps, and its attributes."""
        return {**self._index.about[i], "length": self._index.steps[i]}

    def episode(self, i: int) -> Episode:
        """Demonstration i of 0 to len - 1.

        Raises:
            DataError: naming file and place.
        """
        if not 0 <= i < len(self):
            raise DataError(f"{self.path}: episode {i}: give one of 0 to {len(self) - 1}.")
        place = self._index.places[i]
        return read_episode_apart(
            self.path / place.file if place.file else self.path,
            place.group or "the file",
            partial(_read_demo, self.path, self._index.only(i)),
        )


def open_robomimic(path: StrPath, request: Request) -> RobomimicDemonstrations:
    """Open demonstrations in HDF5; every one is checked by its shapes.

    Args:
        path: of the file, or of the folder of a file for each.
        request: what is taken from it; ``split`` is a filter key.

    Raises:
        DataError: naming file and place, among others for a demonstration without actions.
    """
    path = Path(path)
    if request.stamps == "resample":
        raise DataError(
            f"{path}: stamps = resample: HDF5 is read row by row. Give check or ignore."
        )
    index = Index.decode(read_apart(path, "the file", partial(_read_index, path, request)))
    observations, actions = (
        Labels([name for part in parts for name in part.names])
        for parts in (index.state, index.action)
    )
    rate = _control_rate(index.world, path)
    attributes = describe(path, request, observations, actions, rate)
    if index.clock is not None and request.stamps == "check":
        key = "states (MuJoCo's time)"
        compare_rate(path, key, index.clock, attributes.control_rate, AS_THEY_COME)
    return RobomimicDemonstrations(path, replace(attributes, extra=dict(index.world)), index)


def _read_index(path: Path, request: Request) -> Arrays:
    return read_index(path, request).encode()


def _read_demo(path: Path, index: Index) -> Episode:
    """The only demonstration of an index."""
    (place,), (steps,) = index.places, index.steps
    with open_demo(path, place) as demo:
        observations, actions = (
            np.concatenate([_read_part(demo, part, steps) for part in parts], axis=1)
            for parts in (index.state, index.action)
        )
        images = {
            name: _read_frames(demo, key, index.shapes[name], steps)
            for name, key in index.pictures.items()
        }
        instruction = _instruction(demo)
        try:
            return Episode(observations, actions, images, instruction)
        except DataError as error:
            raise DataError(f"{demo.path}: {demo.place}: {error}") from error


def _read_part(demo: Demo, part: Columns, steps: int) -> NDArray[np.float32]:
    array, key = find_array(demo.group, demo.path, demo.place, part.key), join(demo.place, part.key)
    check_table(array, demo.path, key, part)
    raw = read_array(array, demo.path, key)[:steps]
    return to_float32(demo.path, key, raw.reshape(len(raw), -1)[:, part.first : part.stop])


def _read_frames(demo: Demo, name: str, shape: list[int], steps: int) -> NDArray[np.uint8]:
    array, key = find_array(demo.group, demo.path, demo.place, name), join(demo.place, name)
    if list(frame_shape(demo, name)) != shape:
        what = f"frames of {array.shape[1:]} [px], but {tuple(shape)} in the first demonstration"
        raise fault(demo.path, key, what, "Leave out the demonstrations that differ.")
    rows: NDArray[np.uint8] = read_array(array, demo.path, key)[:steps]
    return _unpack(demo.path, key, rows, shape) if is_packed(array) else rows


def _unpack(path: Path, key: str, rows: NDArray[np.uint8], shape: list[int]) -> NDArray[np.uint8]:
    """(T,H,W,3) of (T,bytes) encoded pictures."""
    size = (shape[0], shape[1], shape[2])
    check_memory(path, len(rows), [size], None)
    frames = np.empty((len(rows), *size), np.uint8)
    for step, row in enumerate(rows):
        try:
            frames[step] = read_picture(row.tobytes(), size)
        except ValueError as error:
            raise fault(path, key, f"row {step}: {error}", RESTORE) from error
    return frames


def _control_rate(world: Mapping[str, dict[str, JSON]], path: Path) -> float | None:
    """What the file says [Hz]: robomimic in env_kwargs, raw robosuite among its arguments."""
    arguments = world.get("env_args", {}).get("env_kwargs")
    rates = [
        kwargs["control_freq"]
        for kwargs in (arguments, world.get("env_info"))
        if isinstance(kwargs, dict) and "control_freq" in kwargs
    ]
    if not rates:
        return None
    rate = rates[0]
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise fault(path, DATA, f"control_freq = {rate!r}, a positive number needed", RESTORE)
    return float(rate)


def _instruction(demo: Demo) -> str | None:
    """RoboCasa's text for one demonstration, else LIBERO's for the whole file."""
    for group, where, attribute, key in (
        (demo.group, demo.place, "ep_meta", "lang"),
        (demo.parent, demo.parent_place, "problem_info", "language_instruction"),
    ):
        if read_text(group, demo.path, where, attribute) is not None:
            text = read_json(group, demo.path, where, attribute).get(key)
            if isinstance(text, list):  # LIBERO wraps some in a list
                text = "".join(map(str, text))
            if isinstance(text, str) and text:
                return text
    return None
