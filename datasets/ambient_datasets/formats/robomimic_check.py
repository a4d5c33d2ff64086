"""What one HDF5 demonstration must be: its arrays of one length, its frames pictures."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ambient_datasets.demonstrations import MAX_PIXELS
from ambient_datasets.faults import fault
from ambient_datasets.formats.robomimic_places import Demo
from ambient_datasets.guards.apart import RESTORE
from ambient_datasets.guards.hdf5 import (
    find_array,
    find_group,
    guarded,
    join,
    list_names,
    plain,
    read_array,
    read_count,
    read_scalars,
    read_text,
)
from ambient_datasets.guards.pictures import picture_shape
from ambient_datasets.records import JSON
from ambient_policy.errors import DataError

OBS = "obs"
MODEL, STATES = "model_file", "states"  # MuJoCo's XML and its flattened states


@dataclass(frozen=True)
class Columns:
    """Some columns of the array at a key below each demonstration."""

    key: str
    first: int
    stop: int
    whole: bool  # all of them were asked for

    @property
    def width(self) -> int:
        return self.stop - self.first

    @property
    def names(self) -> list[str]:
        name = self.key.removeprefix(f"{OBS}/")
        return [f"{name}_{column}" for column in range(self.first, self.stop)]


def count_steps(
    demo: Demo, tables: Sequence[Columns], pictures: Sequence[str], dropped: bool
) -> int:
    """A demonstration's steps: rows of its actions, the same in all that is taken from it.

    Args:
        demo: opened.
        tables: parts of the action, then of the observation.
        pictures: keys of its cameras.
        dropped: whether arrays may have one row more, of an observation after the last action.

    Raises:
        DataError: if arrays are missing, or of other lengths.
    """
    _check_commands(demo, tables[0].key)
    rows: dict[str, int] = {}
    for part in tables:
        array = find_array(demo.group, demo.path, demo.place, part.key)
        check_table(array, demo.path, join(demo.place, part.key), part)
        rows[part.key] = len(array)
    for key in pictures:
        rows[key] = len(find_array(demo.group, demo.path, demo.place, key))
    counted = read_count(demo.group, demo.path, demo.place, "num_samples")
    rows |= {} if counted is None else {"attribute 'num_samples'": counted}
    _check_rows(demo, rows, min(rows.values()), dropped)
    return min(rows.values())


def _check_rows(demo: Demo, rows: Mapping[str, int], least: int, dropped: bool) -> None:
    longer = {key for key, count in rows.items() if count > least}
    one_more = all(rows[key] == least + 1 for key in longer)
    if least and not longer and not dropped:
        return
    if least and longer and one_more and dropped:
        return
    listed = ", ".join(f"{key}: {count}" for key, count in rows.items())
    remedy = "Give one row of each for each step."
    if dropped and not longer:
        remedy = "There is no observation after the last action: leave out drop_last_observation."
    elif one_more and least and not dropped:
        remedy = (
            "Where an observation follows the last action, as in Minari and ManiSkill, "
            "recipe.drop_last_observation=true leaves it out."
        )
    raise fault(demo.path, demo.place, f"rows are {listed}", remedy)


def about(demo: Demo, names: Mapping[str, Any]) -> dict[str, JSON]:
    """What a demonstration says of itself: its attributes, those of a file of its own too.

    Args:
        demo: opened.
        names: what filters ask for: texts are read only if named here, and a name that is no
            attribute but an array of one number for each step is that of the last step.

    Returns:
        values by name.
    """
    values = read_scalars(demo.group, demo.path, demo.place, names)
    for name in names:
        if name not in values and name in list_names(demo.group, demo.path, demo.place):
            array = find_array(demo.group, demo.path, demo.place, name)
            if array.dtype.kind in "biuf" and math.prod(array.shape) == len(array) > 0:
                last = read_array(array, demo.path, join(demo.place, name)).reshape(-1)[-1]
                values[name] = plain(last)
    return values


def _check_commands(demo: Demo, key: str) -> None:
    """The commands are there: the commonest lack, so it gets an advice of its own."""
    if key.split("/")[0] not in list_names(demo.group, demo.path, demo.place):
        raise explain_missing(demo, key)


def explain_missing(demo: Demo, key: str) -> DataError:
    """The error for a key that a demonstration does not have."""
    names = list_names(demo.group, demo.path, demo.place)
    with guarded(demo.path, demo.place):
        inner = demo.group.get(OBS) if OBS in names else None
    if isinstance(inner, h5py.Group):
        obs = find_group(demo.group, demo.path, demo.place, OBS)
        inside = list_names(obs, demo.path, join(demo.place, OBS))
        names = [*names, *(f"{OBS}/{name}" for name in inside)]
    what = f"missing; the demonstration holds {', '.join(sorted(names)) or 'nothing'}"
    return fault(demo.path, join(demo.place, key), what, _remedy(key))


def _remedy(key: str) -> str:
    if key == "actions":
        return (
            "A demonstration without actions teaches nothing: leave it out by a filter key, or "
            "name the arrays that were commanded as action."
        )
    return "Name one of those, a raw file's as columns of its states, for example states[1:8]."


def check_table(array: h5py.Dataset, path: Path, key: str, part: Columns) -> None:
    """Refuse an array that does not hold the numbers asked for."""
    width = math.prod(array.shape[1:])
    if array.dtype.kind not in "fiub" or width < part.stop:
        raise fault(
            path,
            key,
            f"shape {array.shape} and type {array.dtype} given, at least {part.stop} columns of "
            "numbers needed",
            RESTORE,
        )
    if part.whole and width != part.width:
        raise fault(
            path,
            key,
            f"{width} columns, but {part.width} in the first demonstration",
            "Leave out the demonstrations that differ, by a filter key.",
        )


def check_total(demo: Demo, rows: int) -> None:
    """The attribute ``total`` counts every demonstration, so it tells whether some are lost."""
    total = read_count(demo.parent, demo.path, demo.parent_place, "total")
    if total is not None and total != rows:
        what = f"attribute 'total' says {total} rows, but there are {rows}"
        raise fault(demo.path, demo.parent_place, what, RESTORE)


def median_step(demo: Demo) -> float | None:
    """Of the time [s] that begins MuJoCo's flattened states; None where there are none such.

    robosuite and robomimic write the model's XML beside them.
    """
    if read_scalars(demo.group, demo.path, demo.place, {MODEL}).get(MODEL) is None:
        return None
    if STATES not in list_names(demo.group, demo.path, demo.place):
        return None
    array = find_array(demo.group, demo.path, demo.place, STATES)
    if array.dtype.kind != "f" or array.ndim != 2 or len(array) < 2 or not array.shape[1]:
        return None
    steps = np.diff(read_array(array, demo.path, join(demo.place, STATES))[:, 0])
    step = float(np.median(steps))
    return step if math.isfinite(step) and (steps > 0).all() else None


def is_packed(array: h5py.Dataset) -> bool:
    """Whether each row is one encoded picture, filled up with zeros (mobile ALOHA)."""
    return bool(array.dtype == np.uint8 and array.ndim == 2)


def frame_shape(demo: Demo, key: str) -> tuple[int, int, int]:
    """(H,W,3) [px] of the frames at a key; those of encoded pictures are the first one's.

    Raises:
        DataError: if there are no pictures, or too large ones.
    """
    array, place = find_array(demo.group, demo.path, demo.place, key), join(demo.place, key)
    shape = array.shape
    if is_packed(array) and len(array):
        try:
            shape = (len(array), *picture_shape(read_array(array, demo.path, place)[0].tobytes()))
        except ValueError as error:
            raise fault(
                demo.path, place, f"row 0: {error}", "Name an array of pictures."
            ) from error
    elif array.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not min(shape[1:]):
        raise fault(
            demo.path,
            place,
            f"shape {shape} and type {array.dtype} given, (steps, height, width, 3) uint8 needed, "
            "or one JPEG or PNG in each row (steps, bytes)",
            "Name an array of pictures.",
        )
    if shape[1] * shape[2] > MAX_PIXELS:
        raise fault(
            demo.path, place, f"frames of {shape[1]} x {shape[2]} px", "Write smaller ones."
        )
    return int(shape[1]), int(shape[2]), 3


def read_json(group: h5py.Group, path: Path, place: str, name: str) -> dict[str, JSON]:
    """An attribute that is the JSON of an object."""
    with guarded(path, f"{place}: attribute '{name}'"):
        record = json.loads(read_text(group, path, place, name) or "")
        json.dumps(record, allow_nan=False)
        if not isinstance(record, dict):
            raise TypeError(f"JSON of {type(record).__name__} given, of an object needed")
        return record
