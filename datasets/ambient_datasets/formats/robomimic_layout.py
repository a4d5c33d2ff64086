"""What a robomimic file holds, and where in each demonstration what is asked for lies."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ambient_datasets.demonstrations import MAX_PIXELS, Request
from ambient_datasets.faults import fault
from ambient_datasets.guards.apart import RESTORE, Arrays
from ambient_datasets.guards.hdf5 import (
    find_array,
    find_group,
    guarded,
    join,
    list_names,
    open_hdf5,
    read_array,
    read_count,
    read_text,
)
from ambient_datasets.records import JSON
from ambient_policy.errors import DataError

DATA, MASK, OBS = "data", "mask", "obs"
MAX_KEYS = 1000  # arrays of one demonstration that are listed


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


@dataclass(frozen=True)
class Index:
    """What is taken from a file, and where in each demonstration it lies.

    Attributes:
        names: of the demonstrations.
        state, action: parts of the observation and of the action.
        pictures: the key of each camera.
        shapes: (H,W,3) [px] of each camera.
        world: the file's own description of it.
        keys: of the first demonstration's arrays that have a row for each step, sorted.
    """

    names: list[str]
    state: list[Columns]
    action: list[Columns]
    pictures: dict[str, str]
    shapes: dict[str, list[int]]
    world: dict[str, dict[str, JSON]]
    keys: list[str]

    @staticmethod
    def decode(arrays: Arrays) -> "Index":
        """What ``encode`` made of it."""
        record = json.loads(arrays["index"].tobytes())
        for part in ("state", "action"):
            record[part] = [Columns(**columns) for columns in record[part]]
        return Index(**record)

    def encode(self) -> Arrays:
        """The index as arrays, so that it may come from another process."""
        return {"index": np.frombuffer(json.dumps(asdict(self)).encode(), np.uint8)}


def read_index(path: Path, request: Request) -> Index:
    with open_hdf5(path) as file:
        data = find_group(file, path, "", DATA)
        names = _choose(file, data, path, request.split)
        first = find_group(data, path, DATA, names[0])
        place = join(DATA, names[0])
        index = Index(
            names,
            [_locate(first, path, place, key, (OBS, "")) for key in request.state],
            [_locate(first, path, place, key, ("",)) for key in request.action],
            {
                name: _locate(first, path, place, key, (OBS, "")).key
                for name, key in request.cameras.items()
            },
            {},
            _read_world(data, path),
            [],
        )
        for name, key in index.pictures.items():
            shape = frame_shape(find_array(first, path, place, key), path, join(place, key))
            index.shapes[name] = list(shape)
        rows = [_check_demo(data, path, name, index) for name in names]
        _check_total(data, path, sum(rows), request.split)
        requested = {_parse(path, key)[0] for key in (*request.state, *request.cameras.values())}
        index.keys.extend(sorted(_list_keys(first, path, place, rows[0], requested)))
    return index


def _list_keys(
    demo: h5py.Group, path: Path, place: str, rows: int, requested: set[str]
) -> set[str]:
    """What has a row for each step: ``obs/pos`` as "pos", unless it was asked for in full."""
    keys: set[str] = set()

    def note(name: str, node: Any) -> bool | None:
        if isinstance(node, h5py.Dataset) and node.shape and len(node) == rows:
            keys.add(name if name in requested else name.removeprefix(f"{OBS}/"))
        return True if len(keys) > MAX_KEYS else None  # anything but None ends it

    with guarded(path, place):
        demo.visititems(note)  # follows no link out of the file, and nothing twice
    return {name for name in keys if name.isprintable()}


def _choose(file: h5py.File, data: h5py.Group, path: Path, split: str | None) -> list[str]:
    """The demonstrations of the split, at least one."""
    present = list_names(data, path, DATA)
    names = present if split is None else _filter(file, path, split)
    strange = sorted(set(names) - set(present))
    if strange or not names or len(set(names)) < len(names):
        place = DATA if split is None else f"{MASK}/{split}"
        what = f"{', '.join(strange)} not in data/" if strange else "none, or one of them twice"
        raise fault(path, place, f"lists demonstrations: {what}", "Name each that there is once.")
    return sorted(names, key=_natural)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """demo_2 before demo_10; numbers are compared by length, then by digits."""
    parts = (part.lstrip("0") if part.isdigit() else part for part in re.split("([0-9]+)", name))
    return [(len(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)], name


def _filter(file: h5py.File, path: Path, split: str) -> list[str]:
    """The names that a filter key lists."""
    key = f"{MASK}/{split}"
    array = find_array(file, path, "", key)
    with guarded(path, key):
        if array.ndim != 1 or (
            array.dtype.kind != "S" and not h5py.check_string_dtype(array.dtype)
        ):
            raise fault(path, key, f"{array.shape} of {array.dtype}, not a list of names", RESTORE)
        return [bytes(name).decode() for name in read_array(array, path, key)]


def _locate(
    demo: h5py.Group, path: Path, place: str, request: str, folders: Sequence[str]
) -> Columns:
    """Where what is asked for lies below every demonstration, judged by one of them."""
    key, columns = _parse(path, request)
    stored = next(_places(demo, path, place, key, folders), None)
    if stored is None:
        raise fault(path, join(place, key), _missing(demo, path, place), _remedy(key))
    array = find_array(demo, path, place, stored)
    width = math.prod(array.shape[1:])
    first, stop = columns or (0, width)
    if not first < stop <= width:
        raise fault(
            path,
            join(place, stored),
            f"columns {first}:{stop} asked for, and it has {width}",
            f"Ask for columns from 0 to {width}, at least one.",
        )
    return Columns(stored, first, stop, columns is None)


def _parse(path: Path, request: str) -> tuple[str, tuple[int, int] | None]:
    """ "states[1:8]" -> ("states", (1, 8)); "actions" -> ("actions", None)."""
    match = re.fullmatch(r"([^\[\]]+)(?:\[([0-9]{1,9}):([0-9]{1,9})\])?", request)
    if match is None:
        raise DataError(
            f"{path}: key '{request}': give a name, or a name with columns: states[1:8]."
        )
    return match[1], None if match[2] is None else (int(match[2]), int(match[3]))


def _places(
    demo: h5py.Group, path: Path, place: str, key: str, folders: Sequence[str]
) -> Iterator[str]:
    """The folders' keys whose first name there is."""
    for folder in folders:
        if folder and folder not in list_names(demo, path, place):
            continue
        group = find_group(demo, path, place, folder) if folder else demo
        if key.split("/")[0] in list_names(group, path, join(place, folder)):
            yield join(folder, key)


def _missing(demo: h5py.Group, path: Path, place: str) -> str:
    names = list_names(demo, path, place)
    if OBS in names:
        inside = list_names(find_group(demo, path, place, OBS), path, join(place, OBS))
        names = [*names, *(f"{OBS}/{name}" for name in inside)]
    return f"missing; the demonstration holds {', '.join(sorted(names)) or 'nothing'}"


def _remedy(key: str) -> str:
    if key == "actions":
        return (
            "A demonstration without actions teaches nothing: leave it out by a filter key, or "
            "name the arrays that were commanded as action."
        )
    return "Name one of those, a raw file's as columns of its states, for example states[1:8]."


def _check_demo(data: h5py.Group, path: Path, name: str, index: Index) -> int:
    """One demonstration's rows, the same in all that is taken from it."""
    tables = [*index.action, *index.state]
    place = join(DATA, name)
    demo = find_group(data, path, DATA, name)
    _check_commands(demo, path, place, tables[0].key)
    rows: dict[str, int] = {}
    for part in tables:
        array = find_array(demo, path, place, part.key)
        check_table(array, path, join(place, part.key), part)
        rows[part.key] = len(array)
    rows |= {key: len(find_array(demo, path, place, key)) for key in index.pictures.values()}
    counted = read_count(demo, path, place, "num_samples")
    rows |= {} if counted is None else {"attribute 'num_samples'": counted}
    if len(set(rows.values())) != 1 or not all(rows.values()):
        listed = ", ".join(f"{key}: {count}" for key, count in rows.items())
        raise fault(path, place, f"rows are {listed}", "Give one row of each for each step.")
    return rows[tables[0].key]


def _check_commands(demo: h5py.Group, path: Path, place: str, key: str) -> None:
    """The commands are there: the commonest lack, so it gets an advice of its own."""
    if key.split("/")[0] not in list_names(demo, path, place):
        raise fault(path, join(place, key), _missing(demo, path, place), _remedy(key))


def check_table(array: h5py.Dataset, path: Path, key: str, part: Columns) -> None:
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


def _check_total(data: h5py.Group, path: Path, rows: int, split: str | None) -> None:
    """The attribute ``total`` counts every demonstration, so it tells whether some are lost."""
    total = read_count(data, path, DATA, "total")
    if split is None and total is not None and total != rows:
        raise fault(
            path, DATA, f"attribute 'total' says {total} rows, but there are {rows}", RESTORE
        )


def frame_shape(array: h5py.Dataset, path: Path, key: str) -> tuple[int, int, int]:
    shape = array.shape
    if array.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not min(shape[1:]):
        raise fault(
            path,
            key,
            f"shape {shape} and type {array.dtype} given, (steps, height, width, 3) uint8 needed",
            "Name an array of pictures.",
        )
    if shape[1] * shape[2] > MAX_PIXELS:
        raise fault(path, key, f"frames of {shape[1]} x {shape[2]} px", "Write smaller ones.")
    return int(shape[1]), int(shape[2]), 3


def _read_world(data: h5py.Group, path: Path) -> dict[str, dict[str, JSON]]:
    """The file's own description of the world, kept in the attribute ``extra``."""
    return {
        name: read_json(data, path, DATA, name)
        for name in ("env_args", "env_info")
        if read_text(data, path, DATA, name) is not None
    }


def read_json(group: h5py.Group, path: Path, place: str, name: str) -> dict[str, JSON]:
    """An attribute that is the JSON of an object."""
    with guarded(path, f"{place}: attribute '{name}'"):
        record = json.loads(read_text(group, path, place, name) or "")
        json.dumps(record, allow_nan=False)
        if not isinstance(record, dict):
            raise TypeError(f"JSON of {type(record).__name__} given, of an object needed")
        return record
