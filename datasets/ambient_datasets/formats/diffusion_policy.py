"""Reads the replay buffers of real-stanford/diffusion_policy: zarr v2, a folder or .zarr.zip.

Layout: every ``data/<key>`` concatenates all episodes on axis 0, ``meta/episode_ends`` int64 is
cumulative and exclusive. The file says nothing of names, units and control rate: the caller does.
Instructions and annotation lie beside one that our own writer made (``replay_beside.py``).
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.arrays import check_ends, find_stored
from ambient_datasets.faults import fault
from ambient_datasets.formats.replay_beside import read_beside
from ambient_datasets.formats.stamps import REPLAY_STAMPS, check_rate, read_stamps
from ambient_datasets.frames import open_frames
from ambient_datasets.guards.archive import find_array, open_group
from ambient_datasets.guards.chunks import check_chunks
from ambient_datasets.layout import LAYOUT
from ambient_datasets.store import Attributes, Store
from ambient_datasets.tables import StoredColumns, make_table
from ambient_policy.errors import DataError
from ambient_policy.settings import SourceSettings, Tables

ENDS = "meta/episode_ends"
MAX_ENDS = 2**27  # of 16 million episodes [bytes]


def open_diffusion_policy(settings: SourceSettings, tables: Tables = Tables.memory) -> Store:
    """Open and validate a replay buffer, as ``open_store`` does a store of ours.

    Args:
        settings: path, attributes, observation_keys, observation_columns, action_key and cameras.
            Attributes name the columns taken. Further axes of a key, e.g. of keypoint (N,9,2), are
            flattened. Frames (N,H,W,3) are uint8, or floats that hold whole numbers from 0 to 255.
        tables: as of ``open_store``; on disk, chunk files too are looked at when first unpacked.

    Raises:
        DataError: naming file, key, episode and remedy.
    """
    path = Path(settings.path)
    attributes = _attributes(settings)
    with open_group(path) as group:
        ends = read_ends(group, path)
        seconds = read_stamps(group, path, ends)
        if seconds is not None:
            check_rate(path, REPLAY_STAMPS, seconds, ends, attributes.control_rate)
        observed = _observations(group, settings, ends, attributes.observation_names)
        key, labels = (f"data/{settings.action_key}",), (attributes.action_names,)
        acted = StoredColumns(path, key, labels, ends)
        for stored in (observed, acted):
            stored.check(group, flatten=True)
        frames = {
            name: open_frames(find_stored(group, path, f"data/{key}", ends))
            for name, key in settings.cameras.items()
        }
        beside = read_beside(group, path, len(ends))
    return Store(
        path,
        attributes,
        ends,
        beside.annotation,
        make_table(observed, tables),
        make_table(acted, tables),
        frames,
        beside.texts,
        beside.index,
        (observed, acted),
    )


def _attributes(settings: SourceSettings) -> Attributes:
    """What the settings say of the numbers."""
    known = ", ".join(item.name for item in fields(Attributes))
    if settings.attributes is None:
        raise DataError(
            f"{settings.path}: attribute '{LAYOUT}': missing, so this is no store of ours. If it "
            f"is a diffusion_policy store, describe it by the source's attributes: {known}."
        )
    try:
        return Attributes(**settings.attributes)
    except (TypeError, DataError) as error:
        raise DataError(f"{settings.path}: attributes: {error}; give {known}.") from error


def _observations(
    group: zarr.Group, settings: SourceSettings, ends: NDArray[np.int64], names: Sequence[str]
) -> StoredColumns:
    """The columns that make up the observation."""
    path, keys = Path(settings.path), settings.observation_keys
    widths = _widths(group, path, keys)
    columns = _columns(path, keys, widths, settings.observation_columns, len(names))
    labels = tuple(_labels(widths, columns, names))
    places = tuple(f"data/{key}" for key in keys)
    return StoredColumns(path, places, labels, ends, tuple(columns))


def read_ends(group: zarr.Group, path: Path) -> NDArray[np.int64]:
    """(E,) cumulative, exclusive ends of the episodes.

    Raises:
        DataError: naming file, key and episode.
    """
    stored = find_stored(group, path, ENDS)
    if stored.array.nbytes > MAX_ENDS:
        what = f"shape {stored.array.shape}: at most {MAX_ENDS} bytes are read"
        raise stored.fault(what, "Restore it.")
    check_chunks(stored)
    return check_ends(stored.read(0, stored.array.shape[0]), path, ENDS)


def _widths(group: zarr.Group, path: Path, keys: Sequence[str]) -> list[int]:
    """Columns of each key."""
    if not keys:
        raise DataError(f"{path}: no observation key given. Name at least one, e.g. 'state'.")
    return [math.prod(find_array(group, path, f"data/{key}").shape[1:]) for key in keys]


def _columns(
    path: Path, keys: Sequence[str], widths: list[int], requested: Sequence[int] | None, names: int
) -> list[int]:
    """The columns taken, checked against what the file has and how many names there are."""
    columns = list(range(sum(widths))) if requested is None else list(requested)
    place = ", ".join(f"data/{key}" for key in keys)
    strange = [column for column in columns if not 0 <= column < sum(widths)]
    if strange or len(set(columns)) < len(columns):
        raise fault(
            path,
            place,
            f"observation_columns = {columns}, but the columns are 0 to {sum(widths) - 1}",
            "Name columns that there are, each once.",
        )
    if len(columns) != names:
        counts = " + ".join(map(str, widths))
        chosen = (
            f"{counts} columns"
            if requested is None
            else f"{len(columns)} of {counts} columns taken"
        )
        raise fault(
            path,
            place,
            f"{chosen}, but {names} observation names",
            "Name every column taken, key by key.",
        )
    return columns


def _labels(widths: list[int], columns: list[int], names: Sequence[str]) -> list[tuple[str, ...]]:
    """What each column of each key is called: its name, or its number where it is not taken."""
    titles = dict(zip(columns, names, strict=True))
    labels = [titles.get(column, str(column)) for column in range(sum(widths))]
    stops = np.cumsum(widths)
    return [tuple(labels[stop - width : stop]) for stop, width in zip(stops, widths, strict=True)]
