"""The store: demonstrations of one task from one source, as a zarr v3 folder.

Layout (version 1), N rows (control steps) in E episodes, O observations, A actions::

    data/observation.state  (N,O) float32     what was seen
    data/observation.<name> (N,H,W,3) uint8   one for each camera, where there are any
    data/action             (N,A) float32     what was commanded while it was seen
    meta/episode_ends       (E,)  int64       cumulative, exclusive
    meta/instruction        (E,)  int64       index into the attribute instructions, -1 for none
    meta/sigma_min          (E,)  float64     only when annotated; sigma (VE) [normalised action]
    meta/sigma_max          (E,)  float64     only when annotated
    attributes: ambient_policy_layout, task, source, control_rate [Hz], names and units, extra,
                instructions (the distinct texts), and, when annotated, annotation: sigma's
                coordinate and the normaliser's fingerprint

An episode is appended whole or not at all. zarr replaces each file atomically (temporary name,
rename), so the order of the files is the protocol:

1. meta/episode_ends grows by one entry, which reads -1: an episode is in flight;
2. data/ and meta/instruction grow and are written (committed rows of a shared chunk are in both
   versions); a new text is added to the attribute first;
3. that entry becomes the true end: the episode is committed.

A process killed between any two of these leaves a trailing -1 and perhaps rows beyond the last
committed end: invisible to ``open_store``, overwritten by the next append. One writer at a time.
(``transfer.py`` commits many episodes at once: a -1 says that all from there on is in flight.)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.annotation import annotate_store
from ambient_datasets.arrays import StoredArray, count_rows
from ambient_datasets.frames import Frames, open_frames, read_span
from ambient_datasets.guards.archive import open_group
from ambient_datasets.layout import (
    ACTIONS,
    CAMERA,
    NO_INSTRUCTION,
    OBSERVATIONS,
    find_cameras,
    read_annotation,
    read_attributes,
    read_ends,
    read_instructions,
)
from ambient_datasets.records import JSON, Annotation, Attributes, Episode, StrPath
from ambient_datasets.tables import StoredColumns, Table, make_table
from ambient_datasets.writer import Appender, append_episode, create_store, update_extra
from ambient_policy.settings import Tables

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
    """A validated store.

    Attributes:
        path: where it lies.
        attributes: what its numbers mean.
        episode_ends: (E,) int64, cumulative, exclusive.
        annotation: None where nobody has said what each episode may teach.
        observation_table, action_table: (N,O) and (N,A), in memory or on disk.
        cameras: frames by the name of the camera; they stay on disk.
        instructions: the distinct texts of its episodes.
        columns: where observation and action lie at rest; none where they never did.
    """

    path: Path
    attributes: Attributes
    episode_ends: NDArray[np.int64]
    annotation: Annotation | None
    observation_table: Table = field(repr=False)
    action_table: Table = field(repr=False)
    cameras: Mapping[str, Frames] = field(default_factory=dict)
    instructions: tuple[str, ...] = ()
    _instruction_index: NDArray[np.int64] | None = field(default=None, repr=False)
    columns: tuple[StoredColumns, ...] = field(default=(), repr=False)

    def instruction(self, episode: int) -> str | None:
        """What was to be done in an episode, in natural language; None where nobody said."""
        index = int(self.instruction_index[episode])
        return None if index == NO_INSTRUCTION else self.instructions[index]

    @property
    def instruction_index(self) -> NDArray[np.int64]:
        """(E,) int64, which of ``instructions`` each episode has; -1 for none."""
        if self._instruction_index is None:
            return np.full(len(self), NO_INSTRUCTION)
        return self._instruction_index

    def observations(self) -> NDArray[np.float32]:
        """(N,O) float32, read-only."""
        return self.observation_table.whole()

    def actions(self) -> NDArray[np.float32]:
        """(N,A) float32, read-only."""
        return self.action_table.whole()

    @property
    def rows(self) -> int:
        """Control steps of all episodes, N."""
        return count_rows(self.episode_ends)

    def episodes(self) -> Iterator[Episode]:
        """The episodes in order, one in memory at a time, out of the store's own chunks.

        Nothing is unpacked to the cache: whoever walks over a store once need not pay for it.

        Raises:
            DataError: naming file, key and episode.
        """
        with open_group(self.path) as group:
            tables = [columns.open(group) for columns in self.columns]
            films = {name: frames.open(group) for name, frames in self.cameras.items()}
            for i, stop in enumerate(self.episode_ends.tolist()):
                first = stop - int(self.episode_lengths[i])
                observations, actions = (
                    columns.read(arrays, first, stop)
                    for columns, arrays in zip(self.columns, tables, strict=True)
                )
                images = {name: read_span(film, first, stop) for name, film in films.items()}
                yield Episode(observations, actions, images, self.instruction(i))

    @property
    def episode_lengths(self) -> NDArray[np.int64]:
        """(E,) control steps."""
        return np.diff(self.episode_ends, prepend=0)

    def __len__(self) -> int:
        """Episodes."""
        return len(self.episode_ends)


def open_store(path: StrPath, tables: Tables = Tables.memory) -> Store:
    """Open and validate a store of our layout (folder, or zipped).

    Args:
        path: where it lies.
        tables: whether its low-dimensional numbers are read and checked now and kept in memory, or
            unpacked and checked when first asked for and read from disk.

    Raises:
        DataError: naming file, key, episode and remedy.
    """
    path = Path(path)
    with open_group(path) as group:
        attributes, record = read_attributes(group, path)
        ends, unfinished = read_ends(group, path)
        columns = (
            StoredColumns(path, (OBSERVATIONS,), (attributes.observation_names,), ends),
            StoredColumns(path, (ACTIONS,), (attributes.action_names,), ends),
        )
        for stored in columns:
            stored.check(group, unfinished=unfinished)
        cameras = {
            name: open_frames(StoredArray(array, path, CAMERA + name, ends), unfinished=unfinished)
            for name, array in find_cameras(group, path).items()
        }
        annotation = read_annotation(group, path, record, len(ends))
        index, texts = read_instructions(group, path, len(ends))
    observations, actions = (make_table(stored, tables) for stored in columns)
    return Store(
        path,
        attributes,
        ends,
        annotation,
        observations,
        actions,
        cameras,
        texts,
        index,
        columns,
    )
