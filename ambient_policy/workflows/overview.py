"""What is in a store, small enough to draw: some episodes whole, of all others counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.frames import Frames, Pixels, read_span
from ambient_datasets.guards.archive import open_group
from ambient_datasets.store import Attributes, Store
from ambient_datasets.tables import Table
from ambient_policy.errors import SettingsError

BINS = 40
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Histogram:
    """How often the values of one column fall between edges.

    Attributes:
        edges: (BINS+1,) rising [the column's unit], from its lowest to its highest value.
        counts: (BINS,).
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Clip:
    """One episode to be drawn.

    Attributes:
        episode: its number.
        observations, actions: (T,O), (T,A).
        steps: of the frames: the first, the middle and the last.
        frames: (3,H,W,3) by camera.
        instruction: None where nobody said.
    """

    episode: int
    observations: Rows
    actions: Rows
    steps: tuple[int, int, int]
    frames: Mapping[str, NDArray[np.uint8]]
    instruction: str | None


@dataclass(frozen=True, eq=False)
class Overview:
    """A store, summed up.

    Attributes:
        path: of the store.
        attributes: what its numbers mean.
        lengths: (E,) [control steps].
        annotated: whether its episodes carry thresholds.
        clips: episodes to be drawn.
        observations, actions: a histogram for each column, over all rows.
        instructions: each text (or None) with its number of episodes, most frequent first.
    """

    path: str
    attributes: Attributes
    lengths: NDArray[np.int64]
    annotated: bool
    clips: Sequence[Clip]
    observations: Sequence[Histogram]
    actions: Sequence[Histogram]
    instructions: Sequence[tuple[str | None, int]]


def overview(store: Store, episodes: Sequence[int]) -> Overview:
    """Sum a store up, block by block; of these episodes (none: three, evenly spread) everything.

    Raises:
        SettingsError: for an empty store, or an episode that it does not have.
    """
    if len(store) == 0:
        raise SettingsError(f"{store.path} holds no episodes yet; there is nothing to draw.")
    strange = [i for i in episodes if not 0 <= i < len(store)]
    if strange:
        raise SettingsError(
            f"episodes = {list(episodes)}: {store.path} has episodes 0 to {len(store) - 1}."
        )
    spread = np.unique(np.linspace(0, len(store) - 1, 3).astype(int)).tolist()
    texts = Counter(store.instruction(i) for i in range(len(store)))
    return Overview(
        str(store.path),
        store.attributes,
        store.episode_lengths,
        store.annotation is not None,
        [_clip(store, i) for i in episodes or spread],
        histograms(store.observation_table),
        histograms(store.action_table),
        texts.most_common(),
    )


def histograms(table: Table) -> list[Histogram]:
    """A histogram of each column of a table (N,D), which is read twice: first for the range."""
    low = np.min([block.min(axis=0) for block in table.blocks()], axis=0).astype(np.float64)
    high = np.max([block.max(axis=0) for block in table.blocks()], axis=0).astype(np.float64)
    spread = np.where(high > low, 0.0, 0.5)  # a constant column lies in the middle of its range
    edges = np.linspace(low - spread, high + spread, BINS + 1, axis=1)
    counts = np.zeros((len(low), BINS), np.int64)
    for block in table.blocks():
        for i, column in enumerate(block.T):
            counts[i] += np.histogram(column, edges[i])[0]
    return [Histogram(*pair) for pair in zip(edges, counts, strict=True)]


def _clip(store: Store, episode: int) -> Clip:
    stop = int(store.episode_ends[episode])
    first = stop - int(store.episode_lengths[episode])
    rows = np.arange(first, stop)
    steps = (0, (len(rows) - 1) // 2, len(rows) - 1)
    return Clip(
        episode,
        store.observation_table.read(rows),
        store.action_table.read(rows),
        steps,
        {
            name: read_frames(frames, [first + step for step in steps])
            for name, frames in store.cameras.items()
        },
        store.instruction(episode),
    )


def read_frames(frames: Frames, rows: Sequence[int]) -> Pixels:
    """(n,H,W,3) of some rows, from their chunks alone: nothing is unpacked for a few pictures.

    Raises:
        DataError: if a chunk is lost or corrupt, or a value is no byte.
    """
    with open_group(frames.path) as group:
        stored = frames.open(group)
        return np.concatenate([read_span(stored, row, row + 1) for row in rows])
