"""Reads robomimic's HDF5 files, and robosuite's raw ones that they are made from.

Layout: one group ``data/<demo>`` for each demonstration, with ``actions`` (T,A), ``states`` (T,S)
and, in robomimic, ``obs/<key>`` (T,...); ``mask/<filter key>`` lists the demonstrations of a split.
``data`` may carry the attributes ``total`` (rows) and ``env_args`` (JSON: the world, its control
rate ``env_kwargs.control_freq`` [Hz]).

A key of ``Request.state`` and ``Request.cameras`` is looked for in ``obs/`` first, then beside it;
one of ``Request.action`` beside ``obs/`` only. A key may end in columns: "states[1:8]" is columns
1 to 7. That is how a raw file, which has no ``obs/``, gives an observation: MuJoCo's flattened
state is time, then the positions, then the velocities of all joints, in the order of the model;
only the caller knows which of them the policy may see. Further axes become columns.

Kept besides: the instruction (``ep_meta`` of the demonstration, or ``problem_info`` of ``data``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ambient_datasets.demonstrations import Labels, Request, describe
from ambient_datasets.faults import fault
from ambient_datasets.formats.robomimic_layout import (
    DATA,
    Columns,
    Index,
    check_table,
    frame_shape,
    read_index,
    read_json,
)
from ambient_datasets.guards.apart import RESTORE, read_apart, read_episode_apart
from ambient_datasets.guards.hdf5 import (
    find_array,
    find_group,
    join,
    open_hdf5,
    read_array,
    read_text,
)
from ambient_datasets.guards.numbers import to_float32
from ambient_datasets.records import JSON, Attributes, Episode, StrPath
from ambient_policy.errors import DataError


@dataclass(frozen=True, eq=False)
class RobomimicDemonstrations:
    """The demonstrations of one file, in natural order (demo_2 before demo_10).

    Attributes:
        path: of the file.
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
        return tuple(self._index.names)

    @property
    def keys(self) -> tuple[str, ...]:
        """Arrays with a row for each step, those of no use as numbers or frames too; sorted."""
        return tuple(self._index.keys)

    def __len__(self) -> int:
        """Demonstrations."""
        return len(self._index.names)

    def episode(self, i: int) -> Episode:
        """Demonstration i of 0 to len - 1.

        Raises:
            DataError: naming file and place.
        """
        if not 0 <= i < len(self):
            raise DataError(f"{self.path}: episode {i}: give one of 0 to {len(self) - 1}.")
        place = join(DATA, self.names[i])
        return read_episode_apart(self.path, place, lambda: _read_demo(self.path, self._index, i))


def open_robomimic(path: StrPath, request: Request) -> RobomimicDemonstrations:
    """Open robomimic's or raw robosuite's HDF5; every demonstration is checked by its shapes.

    Args:
        path: of the file.
        request: what is taken from it; ``split`` is a filter key.

    Raises:
        DataError: naming file and place, among others for a demonstration without actions.
    """
    path = Path(path)
    index = Index.decode(read_apart(path, "the file", lambda: read_index(path, request).encode()))
    observations, actions = (
        Labels([name for part in parts for name in part.names])
        for parts in (index.state, index.action)
    )
    rate = _control_rate(index.world, path)
    attributes = describe(path, request, observations, actions, rate)
    return RobomimicDemonstrations(path, replace(attributes, extra=dict(index.world)), index)


def _read_demo(path: Path, index: Index, i: int) -> Episode:
    place = join(DATA, index.names[i])
    with open_hdf5(path) as file:
        data = find_group(file, path, "", DATA)
        demo = find_group(data, path, DATA, index.names[i])
        observations, actions = (
            np.concatenate([_read_part(demo, path, place, part) for part in parts], axis=1)
            for parts in (index.state, index.action)
        )
        images = {
            name: _read_frames(demo, path, place, key, index.shapes[name])
            for name, key in index.pictures.items()
        }
        instruction = _instruction(data, demo, path, place)
    try:
        return Episode(observations, actions, images, instruction)
    except DataError as error:
        raise DataError(f"{path}: {place}: {error}") from error


def _read_part(demo: h5py.Group, path: Path, place: str, part: Columns) -> NDArray[np.float32]:
    array, key = find_array(demo, path, place, part.key), join(place, part.key)
    check_table(array, path, key, part)
    raw = read_array(array, path, key)
    return to_float32(path, key, raw.reshape(len(raw), -1)[:, part.first : part.stop])


def _read_frames(
    demo: h5py.Group, path: Path, place: str, key: str, shape: list[int]
) -> NDArray[np.uint8]:
    array, key = find_array(demo, path, place, key), join(place, key)
    if list(frame_shape(array, path, key)) != shape:
        what = f"frames of {array.shape[1:]} [px], but {tuple(shape)} in the first demonstration"
        raise fault(path, key, what, "Leave out the demonstrations that differ, by a filter key.")
    frames: NDArray[np.uint8] = read_array(array, path, key)
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


def _instruction(data: h5py.Group, demo: h5py.Group, path: Path, place: str) -> str | None:
    """RoboCasa's text for one demonstration, else LIBERO's for the whole file."""
    for group, where, attribute, key in (
        (demo, place, "ep_meta", "lang"),
        (data, DATA, "problem_info", "language_instruction"),
    ):
        if read_text(group, path, where, attribute) is not None:
            text = read_json(group, path, where, attribute).get(key)
            if isinstance(text, str) and text:
                return text
    return None
