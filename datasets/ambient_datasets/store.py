"""The store: demonstrations of one task from one source, as a zarr v3 folder.

Layout (version 1), N rows (control steps) in E episodes, O observations, A actions::

    data/observation.state  (N,O) float32     what was seen
    data/action             (N,A) float32     what was commanded while it was seen
    meta/episode_ends       (E,)  int64       cumulative, exclusive
    meta/sigma_min          (E,)  float64     only when annotated; sigma (VE) [normalised action]
    meta/sigma_max          (E,)  float64     only when annotated
    attributes: ambient_policy_layout, task, source, control_rate [Hz], names and units, extra,
                and, when annotated, annotation: sigma's coordinate and the normaliser's fingerprint

An episode is appended whole or not at all. zarr replaces each file atomically (temporary name,
rename), so the order of the files is the protocol:

1. meta/episode_ends grows by one entry, which reads -1: an episode is in flight;
2. data/ grows and its rows are written (committed rows of a shared chunk are in both versions);
3. that entry becomes the true end: the episode is committed.

A process killed between any two of these leaves a trailing -1 and perhaps rows beyond the last
committed end: invisible to ``open_store``, overwritten by the next append. One writer at a time.
"""

import json
import math
import os
import shutil
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.layout import (
    ACTIONS,
    ENDS,
    LAYOUT,
    OBSERVATIONS,
    SIGMAS,
    STAGED,
    VERSION,
    read_annotation,
    read_attributes,
    read_ends,
    write_array,
)
from ambient_datasets.reading import (
    StrPath,
    fault,
    find_array,
    open_group,
    read_table,
)
from ambient_datasets.records import JSON, Annotation, Attributes, Episode, check_json
from ambient_policy.errors import DataError

__all__ = [
    "JSON",
    "Annotation",
    "Appender",
    "Attributes",
    "Episode",
    "Store",
    "annotate_store",
    "append_episode",
    "create_store",
    "open_store",
    "update_extra",
]


@dataclass(frozen=True, eq=False)
class Store:
    """A validated store, its low-dimensional arrays read into memory (read-only).

    Attributes:
        path: where it lies.
        attributes: what its numbers mean.
        episode_ends: (E,) int64, cumulative, exclusive.
        annotation: None where nobody has said what each episode may teach.
    """

    path: Path
    attributes: Attributes
    episode_ends: NDArray[np.int64]
    annotation: Annotation | None
    _observations: NDArray[np.float32] = field(repr=False)
    _actions: NDArray[np.float32] = field(repr=False)

    def observations(self) -> NDArray[np.float32]:
        """(N,O) float32."""
        return self._observations

    def actions(self) -> NDArray[np.float32]:
        """(N,A) float32."""
        return self._actions

    @property
    def episode_lengths(self) -> NDArray[np.int64]:
        """(E,) control steps."""
        return np.diff(self.episode_ends, prepend=0)

    def __len__(self) -> int:
        """Episodes."""
        return len(self.episode_ends)


def create_store(path: StrPath, attributes: Attributes) -> None:
    """An empty store, complete the moment its folder appears.

    Raises:
        DataError: if something lies at the path already.
    """
    path = Path(path)
    if path.exists():
        raise DataError(
            f"{path}: something lies here already. Append to it, delete it or give another path."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        _write_empty(zarr.create_group(str(partial)), attributes)
        os.rename(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_empty(group: zarr.Group, attributes: Attributes) -> None:
    for name in ("data", "meta"):
        group.create_group(name)
    widths = {
        OBSERVATIONS: len(attributes.observation_names),
        ACTIONS: len(attributes.action_names),
    }
    for key, width in widths.items():
        # NaN as fill value: a chunk that gets lost later shows as NaN, never as zeros.
        write_array(group, key, np.empty((0, width), np.float32), math.nan)
    write_array(group, ENDS, np.empty(0, np.int64), -1)
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
            ends, _ = read_ends(group, self._path)
        if annotation is not None:
            raise DataError(
                f"{self._path}: annotated, and a new episode would have no sigma_min and sigma_max."
                " Append to the unannotated store (collect again), or put the new episodes into a "
                "store of their own."
            )
        group = zarr.open_group(str(self._path), mode="r+")
        self._arrays = [find_array(group, self._path, key) for key in (OBSERVATIONS, ACTIONS)]
        self._ends = find_array(group, self._path, ENDS)
        self._episodes, self._rows = len(ends), int(ends[-1]) if len(ends) else 0

    def append(self, episode: Episode) -> None:
        """Add one episode, whole or not at all.

        Raises:
            DataError: if its dimensions are not the store's; nothing is written then.
        """
        tables = (episode.observations, episode.actions)
        for array, key, values in zip(self._arrays, (OBSERVATIONS, ACTIONS), tables, strict=True):
            if array.shape[1] != values.shape[1]:
                raise fault(
                    self._path,
                    key,
                    f"the episode has {values.shape[1]} dimensions, the store {array.shape[1]}",
                    "Give the dimensions that the store's attributes name.",
                    self._episodes,
                )
        stop = self._rows + len(episode)
        self._ends.resize((self._episodes + 1,))  # 1. reads -1: in flight
        for array, values in zip(self._arrays, tables, strict=True):  # 2. its rows
            array.resize((stop, values.shape[1]))
            array[self._rows : stop] = values
        self._ends[self._episodes] = stop  # 3. committed
        self._episodes, self._rows = self._episodes + 1, stop


def append_episode(path: StrPath, episode: Episode) -> None:
    """Add one episode to a store, whole or not at all (see ``Appender`` for many)."""
    Appender(path).append(episode)


def annotate_store(path: StrPath, annotation: Annotation) -> None:
    """Say what each episode may teach; replaces an earlier annotation.

    Killed at any moment, the store holds either the old annotation or the new one: the new arrays
    are staged, one atomic write of the attributes declares them (the commit), and then they are
    moved to their places in meta/; until that is done, readers follow the attributes.

    Raises:
        DataError: unless there is one sigma_min and sigma_max for each episode.
    """
    path = Path(path)
    with open_group(path) as group:
        read_attributes(group, path)
        ends, _ = read_ends(group, path)
    if len(annotation.sigma_min) != len(ends):
        raise DataError(
            f"{path}: the annotation speaks of {len(annotation.sigma_min)} episodes, the store "
            f"holds {len(ends)}. Annotate every episode once, in order."
        )
    group = zarr.open_group(str(path), mode="r+")
    _settle_annotation(group)
    _write_sigmas(group, STAGED, annotation.sigma_min, annotation.sigma_max)
    _declare(group, annotation.fingerprint, STAGED)
    _settle_annotation(group)


def _write_sigmas(group: zarr.Group, folder: str, *sigmas: NDArray[np.float64]) -> None:
    for name, values in zip(SIGMAS, sigmas, strict=True):
        write_array(group, f"{folder}/{name}", values, math.nan)


def _declare(group: zarr.Group, fingerprint: str, folder: str) -> None:
    group.update_attributes(
        {"annotation": {"sigma": "ve", "fingerprint": fingerprint, "folder": folder}}
    )


def _settle_annotation(group: zarr.Group) -> None:
    """Finish what a killed ``annotate_store`` had committed; drop what it had not."""
    record: Any = group.attrs.get("annotation")
    if record is not None and record["folder"] == STAGED:
        staged = [np.asarray(group[f"{STAGED}/{name}"][...]) for name in SIGMAS]  # type: ignore[index]
        _write_sigmas(group, "meta", *staged)
        _declare(group, record["fingerprint"], "meta")
    if STAGED in group:
        del group[STAGED]


def update_extra(path: StrPath, **values: JSON) -> None:
    """Set entries of the attribute ``extra`` in one atomic write; the others stay."""
    path = Path(path)
    check_json(values)
    with open_group(path) as group:
        attributes, _ = read_attributes(group, path)
    group = zarr.open_group(str(path), mode="r+")
    group.update_attributes({"extra": {**attributes.extra, **values}})


def open_store(path: StrPath) -> Store:
    """Open and validate a store of our layout (folder, or zipped).

    Raises:
        DataError: naming file, key, episode and remedy.
    """
    path = Path(path)
    with open_group(path) as group:
        attributes, record = read_attributes(group, path)
        ends, unfinished = read_ends(group, path)
        observations, actions = (
            read_table(find_array(group, path, key), path, key, ends, names, unfinished=unfinished)
            for key, names in (
                (OBSERVATIONS, attributes.observation_names),
                (ACTIONS, attributes.action_names),
            )
        )
        annotation = read_annotation(group, path, record, len(ends))
    return Store(path, attributes, ends, annotation, observations, actions)
