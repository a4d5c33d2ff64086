"""The episodes of one of our stores, read one at a time: what an export walks over.

Only the metadata lies in memory, and an episode while it is looked at. Unlike a training's, these
frames are read from the store itself and not unpacked first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.chunks import check_chunks
from ambient_datasets.frames import open_frames
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
from ambient_datasets.reading import (
    StrPath,
    check_table,
    find_array,
    open_group,
    read_block,
    read_table,
)
from ambient_datasets.records import Annotation, Attributes, Episode
from ambient_policy.errors import DataError


@dataclass(frozen=True, eq=False)
class StoredEpisodes:
    """A store whose metadata is checked; its numbers are, when read.

    Attributes:
        path: of the store.
        attributes: what its numbers mean.
        episode_ends: (E,) int64, cumulative, exclusive.
        annotation: None where nobody has said what each episode may teach.
        cameras: (H,W,3) [px] of each camera by its name.
        instructions: the distinct texts.
        instruction_index: (E,) int64 into them, -1 for none.
    """

    path: Path
    attributes: Attributes
    episode_ends: NDArray[np.int64]
    annotation: Annotation | None
    cameras: Mapping[str, tuple[int, int, int]]
    instructions: tuple[str, ...]
    instruction_index: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        """Episodes."""
        return len(self.episode_ends)

    @property
    def rows(self) -> int:
        """Control steps of all episodes."""
        return int(self.episode_ends[-1])

    def __iter__(self) -> Iterator[Episode]:
        """The episodes in their order.

        Raises:
            DataError: naming file, key and episode.
        """
        with open_group(self.path) as group:
            for i in range(len(self)):
                yield self._read(group, i)

    def _read(self, group: zarr.Group, i: int) -> Episode:
        first, stop = (int(self.episode_ends[i - 1]) if i else 0), int(self.episode_ends[i])
        tables = [
            read_table(
                find_array(group, self.path, key), self.path, key, first, stop, self.episode_ends, n
            )
            for key, n in _tables(self.attributes)
        ]
        images = {name: self._frames(group, CAMERA + name, first, stop) for name in self.cameras}
        index = int(self.instruction_index[i])
        text = None if index == NO_INSTRUCTION else self.instructions[index]
        return Episode(tables[0], tables[1], images, text)

    def _frames(self, group: zarr.Group, key: str, first: int, stop: int) -> NDArray[np.uint8]:
        array = find_array(group, self.path, key)
        return read_block(array, self.path, key, first, stop, self.episode_ends)


def _tables(attributes: Attributes) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (OBSERVATIONS, attributes.observation_names), (ACTIONS, attributes.action_names)


def open_episodes(path: StrPath) -> StoredEpisodes:
    """The episodes of a store of our layout, checked but for their numbers.

    Raises:
        DataError: naming file, key, episode and remedy; also where there is no episode.
    """
    path = Path(path)
    with open_group(path) as group:
        attributes, record = read_attributes(group, path)
        ends, unfinished = read_ends(group, path)
        if len(ends) == 0:
            raise DataError(f"{path}: no episodes yet, so nothing to export. Collect some first.")
        for key, names in _tables(attributes):
            check_table(find_array(group, path, key), path, key, ends, names, unfinished=unfinished)
        cameras = {}
        for name, array in find_cameras(group, path).items():
            key = CAMERA + name
            cameras[name] = open_frames(array, path, key, ends, unfinished=unfinished).shape
            check_chunks(array, path, key, ends)
        annotation = read_annotation(group, path, record, len(ends))
        index, texts = read_instructions(group, path, len(ends))
    return StoredEpisodes(path, attributes, ends, annotation, cameras, texts, index)
