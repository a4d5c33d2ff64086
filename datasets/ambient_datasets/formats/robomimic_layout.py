"""What HDF5 demonstrations hold, and where in each of them what is asked for lies."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ambient_datasets.demonstrations import Request
from ambient_datasets.faults import fault
from ambient_datasets.formats.robomimic_check import (
    OBS,
    Columns,
    about,
    check_total,
    count_steps,
    explain_missing,
    frame_shape,
    median_step,
    read_json,
)
from ambient_datasets.formats.robomimic_places import (
    GROUPS,
    Demo,
    Place,
    list_places,
    open_demo,
    open_demos,
)
from ambient_datasets.guards.forks import Arrays
from ambient_datasets.guards.hdf5 import (
    find_array,
    find_group,
    guarded,
    join,
    list_names,
    read_text,
)
from ambient_datasets.records import JSON
from ambient_policy.errors import DataError

MAX_KEYS = 1000  # arrays of one demonstration that are listed


@dataclass(frozen=True)
class Index:
    """What is taken from a file or folder, and where in each demonstration it lies.

    Attributes:
        places: of the demonstrations.
        state, action: parts of the observation and of the action.
        pictures: the key of each camera.
        shapes: (H,W,3) [px] of each camera.
        world: the file's own description of it.
        dropped: the last observation of each, for which there is no action.
        keys: of the first demonstration's arrays that have a row for each step, sorted.
        clock: median step of MuJoCo's time in the first demonstration's states [s]; None without.
        steps: of each demonstration.
        about: what is known of each demonstration besides, by name.
    """

    places: list[Place]
    state: list[Columns]
    action: list[Columns]
    pictures: dict[str, str]
    shapes: dict[str, list[int]]
    world: dict[str, dict[str, JSON]]
    dropped: bool
    clock: float | None
    keys: list[str]
    steps: list[int]
    about: list[dict[str, JSON]]

    @staticmethod
    def decode(arrays: Arrays) -> "Index":
        """What ``encode`` made of it."""
        record = json.loads(arrays["index"].tobytes())
        for part in ("state", "action"):
            record[part] = [Columns(**columns) for columns in record[part]]
        record["places"] = [Place(**place) for place in record["places"]]
        return Index(**record)

    def only(self, i: int) -> "Index":
        """Of demonstration i alone."""
        row = slice(i, i + 1)
        return replace(self, places=self.places[row], steps=self.steps[row], about=self.about[row])

    def encode(self) -> Arrays:
        """The index as arrays, so that it may come from another process."""
        return {"index": np.frombuffer(json.dumps(asdict(self)).encode(), np.uint8)}


def read_index(path: Path, request: Request) -> Index:
    """What is asked for, located in the first demonstration and checked in every other.

    Raises:
        DataError: naming file and place.
    """
    places = list_places(path, request)
    with open_demo(path, places[0]) as demo:
        index = _describe(demo, places, request)
    tables, pictures = [*index.action, *index.state], list(index.pictures.values())
    for demo in open_demos(path, places):
        index.steps.append(count_steps(demo, tables, pictures, index.dropped))
        index.about.append(about(demo, request.where))
        whole = request.split is None and request.episodes in (None, GROUPS)
    if whole and not path.is_dir():
        with open_demo(path, places[0]) as demo:
            check_total(demo, sum(index.steps))
    requested = {_parse(path, key)[0] for key in (*request.state, *request.cameras.values())}
    with open_demo(path, places[0]) as demo:
        index.keys.extend(sorted(_list_keys(demo, index.steps[0], requested)))
    return index


def _describe(demo: Demo, places: list[Place], request: Request) -> Index:
    """What the first demonstration says of all."""
    pictures = {name: _locate(demo, key, (OBS, "")).key for name, key in request.cameras.items()}
    return Index(
        places,
        [_locate(demo, key, (OBS, "")) for key in request.state],
        [_locate(demo, key, ("",)) for key in request.action],
        pictures,
        {name: list(frame_shape(demo, key)) for name, key in pictures.items()},
        _read_world(demo),
        request.drop_last_observation,
        median_step(demo),
        [],
        [],
        [],
    )


def _list_keys(demo: Demo, rows: int, requested: set[str]) -> set[str]:
    """What has a row for each step: ``obs/pos`` as "pos", unless it was asked for in full."""
    keys: set[str] = set()

    def note(name: str, node: Any) -> bool | None:
        if isinstance(node, h5py.Dataset) and node.shape and len(node) == rows:
            keys.add(name if name in requested else name.removeprefix(f"{OBS}/"))
        return True if len(keys) > MAX_KEYS else None  # anything but None ends it

    with guarded(demo.path, demo.place):
        demo.group.visititems(note)  # follows no link out of the file, and nothing twice
    return {name for name in keys if name.isprintable()}


def _locate(demo: Demo, request: str, folders: Sequence[str]) -> Columns:
    """Where what is asked for lies below every demonstration, judged by one of them."""
    key, columns = _parse(demo.path, request)
    stored = next(_keys(demo, key, folders), None)
    if stored is None:
        raise explain_missing(demo, key)
    array = find_array(demo.group, demo.path, demo.place, stored)
    width = math.prod(array.shape[1:])
    first, stop = columns or (0, width)
    if not first < stop <= width:
        raise fault(
            demo.path,
            join(demo.place, stored),
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


def _keys(demo: Demo, key: str, folders: Sequence[str]) -> Iterator[str]:
    """The folders' keys whose first name there is."""
    for folder in folders:
        group: Any = demo.group
        if folder:
            if folder not in list_names(demo.group, demo.path, demo.place) or not _is_group(demo):
                continue
            group = find_group(demo.group, demo.path, demo.place, folder)
        if key.split("/")[0] in list_names(group, demo.path, join(demo.place, folder)):
            yield join(folder, key)


def _is_group(demo: Demo) -> bool:
    """Whether ``obs`` is no array itself, as ManiSkill writes a state."""
    with guarded(demo.path, join(demo.place, OBS)):
        return demo.group.get(OBS, getclass=True, getlink=False) is not h5py.Dataset


def _read_world(demo: Demo) -> dict[str, dict[str, JSON]]:
    """The file's own description of the world, kept in the attribute ``extra``."""
    where = demo.parent, demo.path, demo.parent_place
    return {
        name: read_json(*where, name)
        for name in ("env_args", "env_info")
        if read_text(*where, name) is not None
    }
