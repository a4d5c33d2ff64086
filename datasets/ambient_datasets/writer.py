"""Writing a store: an empty one, episode after episode; the protocol is told in ``store.py``."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.faults import fault
from ambient_datasets.guards.archive import find_array, list_keys, open_group
from ambient_datasets.layout import (
    ACTIONS,
    CAMERA,
    ENDS,
    INSTRUCTION,
    INSTRUCTIONS,
    LAYOUT,
    LOST_INSTRUCTION,
    NO_INSTRUCTION,
    OBSERVATIONS,
    VERSION,
    find_cameras,
    forget_ends,
    read_attributes,
    read_ends,
    read_instructions,
    write_array,
    write_frames_array,
)
from ambient_datasets.records import JSON, Attributes, Episode, StrPath, check_json
from ambient_policy.batch import STATE
from ambient_policy.errors import DataError
from ambient_policy.files import create_path, disk_errors, hold


def create_store(
    path: StrPath,
    attributes: Attributes,
    cameras: Mapping[str, tuple[int, int, int]] | None = None,
) -> None:
    """An empty store, complete the moment its folder appears.

    Args:
        path: where.
        attributes: what its numbers mean.
        cameras: (H,W,3) [px] of each camera by its name; None for none.

    Raises:
        DataError: if something lies at the path already, or for cameras that no store can have.
    """
    path, cameras = Path(path), cameras or {}
    _check_cameras(cameras)
    if path.exists():
        raise DataError(
            f"{path}: something lies here already. Append to it, delete it or give another path."
        )
    with create_path(path) as partial:
        _write_empty(zarr.create_group(str(partial)), attributes, cameras)


def _check_cameras(cameras: Mapping[str, tuple[int, int, int]]) -> None:
    for name, shape in cameras.items():
        if not name.isidentifier() or name == STATE:
            raise DataError(
                f"camera '{name}': give a name of letters, digits and underscores, not '{STATE}'."
            )
        if len(shape) != 3 or min(shape) < 1 or shape[2] != 3:
            raise DataError(
                f"camera '{name}': frames of shape {shape} given; give (height, width, 3) [px]."
            )


def _write_empty(
    group: zarr.Group, attributes: Attributes, cameras: Mapping[str, tuple[int, int, int]]
) -> None:
    for name in ("data", "meta"):
        group.create_group(name)
    widths = {
        OBSERVATIONS: len(attributes.observation_names),
        ACTIONS: len(attributes.action_names),
    }
    for key, width in widths.items():
        # NaN as fill value: a chunk that gets lost later shows as NaN, never as zeros.
        write_array(group, key, np.empty((0, width), np.float32), math.nan)
    for name, shape in cameras.items():
        write_frames_array(group, name, shape)
    write_array(group, ENDS, np.empty(0, np.int64), -1)
    write_array(group, INSTRUCTION, np.empty(0, np.int64), LOST_INSTRUCTION)
    group.update_attributes({LAYOUT: VERSION, **_to_json(attributes)})


def _to_json(attributes: Attributes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(json.dumps(asdict(attributes)))
    return record


class Appender:
    """A store held open for appending many episodes.

    One writer at a time: two appenders of one store would overwrite each other.

    Raises:
        DataError: if the store does not open or is annotated.
    """

    def __init__(self, path: StrPath) -> None:
        self._path = Path(path)
        with open_group(self._path) as group:
            _, annotation = read_attributes(group, self._path)
            ends, unfinished = read_ends(group, self._path)
            _, texts = read_instructions(group, self._path, len(ends))
        if annotation is not None:
            raise DataError(
                f"{self._path}: annotated, and a new episode would have no sigma_min and sigma_max."
                " Append to the unannotated store (collect again), or put the new episodes into a "
                "store of their own."
            )
        group = zarr.open_group(str(self._path), mode="r+")
        self._arrays = {key: find_array(group, self._path, key) for key in (OBSERVATIONS, ACTIONS)}
        for name, array in find_cameras(group, self._path).items():
            self._arrays[CAMERA + name] = array
        self._ends = find_array(group, self._path, ENDS)
        if unfinished:
            forget_ends(self._ends, self._path, len(ends))
        self._instruction = (
            find_array(group, self._path, INSTRUCTION)
            if INSTRUCTION in list_keys(self._path, "meta")
            else None
        )
        self._texts = {text: index for index, text in enumerate(texts)}
        self._episodes, self._rows = len(ends), int(ends[-1]) if len(ends) else 0

    @property
    def episodes(self) -> int:
        """Committed episodes."""
        return self._episodes

    @property
    def rows(self) -> int:
        """Committed control steps."""
        return self._rows

    @property
    def instructions(self) -> int:
        """Distinct instructions."""
        return len(self._texts)

    def append(self, episode: Episode) -> None:
        """Add one episode, whole or not at all.

        Raises:
            DataError: if its dimensions or cameras are not the store's; nothing is written then.
        """
        tables: dict[str, NDArray[Any]] = {
            OBSERVATIONS: episode.observations,
            ACTIONS: episode.actions,
            **{CAMERA + name: frames for name, frames in episode.images.items()},
        }
        self._check(tables)
        with disk_errors(self._path):
            self._write(tables, episode.instruction, self._rows + len(episode))

    def _write(self, tables: Mapping[str, NDArray[Any]], text: str | None, stop: int) -> None:
        index = self._index(text)
        self._ends.resize((self._episodes + 1,))  # 1. reads -1: in flight
        for key, array in self._arrays.items():  # 2. its rows
            array.resize((stop, *array.shape[1:]))
            array[self._rows : stop] = tables[key]
        if self._instruction is not None:
            self._instruction.resize((self._episodes + 1,))
            self._instruction[self._episodes] = index
        self._ends[self._episodes] = stop  # 3. committed
        self._episodes, self._rows = self._episodes + 1, stop

    def _index(self, text: str | None) -> int:
        """The number of an instruction among the texts; a new one is added to them on disk."""
        if text is None:
            return NO_INSTRUCTION
        if self._instruction is None:
            raise fault(
                self._path,
                INSTRUCTION,
                "this store was made before episodes had instructions",
                "Write a new store, or give the episode without one.",
                self._episodes,
            )
        if text not in self._texts:
            # opened anew: others (update_extra) may have changed the attributes since
            group = zarr.open_group(str(self._path), mode="r+")
            group.update_attributes({INSTRUCTIONS: [*self._texts, text]})
            self._texts[text] = len(self._texts)
        return self._texts[text]

    def _check(self, tables: Mapping[str, NDArray[Any]]) -> None:
        if tables.keys() != self._arrays.keys():
            raise fault(
                self._path,
                ", ".join(sorted(tables.keys() ^ self._arrays.keys())),
                f"the episode has {', '.join(sorted(tables))}, the store "
                f"{', '.join(sorted(self._arrays))}",
                "Give frames of every camera that the store has, and of no other.",
                self._episodes,
            )
        for key, array in self._arrays.items():
            row, stored = tables[key].shape[1:], array.shape[1:]
            if row != stored:
                raise fault(
                    self._path,
                    key,
                    f"each row of the episode has shape {row}, of the store {stored}",
                    "Give the dimensions that the store's attributes name, and frames of the size "
                    "that it was made for.",
                    self._episodes,
                )


def append_episode(path: StrPath, episode: Episode) -> None:
    """Add one episode to a store, whole or not at all (see ``Appender`` for many)."""
    with hold(Path(path)):
        Appender(path).append(episode)


def update_extra(path: StrPath, **values: JSON) -> None:
    """Set entries of the attribute ``extra`` in one atomic write; the others stay."""
    path = Path(path)
    check_json(values)
    with open_group(path) as group:
        attributes, _ = read_attributes(group, path)
    with disk_errors(path):
        group = zarr.open_group(str(path), mode="r+")
        group.update_attributes({"extra": {**attributes.extra, **values}})
