"""Reads the replay buffers of real-stanford/diffusion_policy: zarr v2, a folder or .zarr.zip.

Layout: every ``data/<key>`` concatenates all episodes on axis 0, ``meta/episode_ends`` int64 is
cumulative and exclusive. The file says nothing of names, units and control rate: the caller does.
It carries no annotation either.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.chunks import check_chunks
from ambient_datasets.reading import (
    StrPath,
    check_ends,
    fault,
    find_array,
    open_group,
    read_rows,
    read_table,
)
from ambient_datasets.store import Attributes, Store
from ambient_policy.errors import DataError

ENDS = "meta/episode_ends"


def open_diffusion_policy(
    path: StrPath,
    attributes: Attributes,
    observation_keys: Sequence[str] = ("state",),
    action_key: str = "action",
) -> Store:
    """Open and validate, as ``open_store`` does.

    Args:
        path: the folder or .zip file.
        attributes: what the numbers mean; observation names run over the keys, in their order.
        observation_keys: of ``data/``, side by side in the observation; further axes, e.g. of
            keypoint (N,9,2), are flattened.
        action_key: of ``data/``.

    Raises:
        DataError: naming file, key, episode and remedy.
    """
    path = Path(path)
    with open_group(path) as group:
        ends = _read_ends(group, path)
        names = _split_names(group, path, attributes.observation_names, observation_keys)
        parts = [
            _read_key(group, path, key, ends, names_of_key)
            for key, names_of_key in zip(observation_keys, names, strict=True)
        ]
        actions = _read_key(group, path, action_key, ends, attributes.action_names)
    observations = np.concatenate(parts, axis=1)
    observations.setflags(write=False)
    return Store(path, attributes, ends, None, observations, actions)


def _read_ends(group: zarr.Group, path: Path) -> NDArray[np.int64]:
    array = find_array(group, path, ENDS)
    check_chunks(array, path, ENDS)
    return check_ends(read_rows(array, path, ENDS, array.shape[0]), path, ENDS)


def _split_names(
    group: zarr.Group, path: Path, names: tuple[str, ...], keys: Sequence[str]
) -> list[tuple[str, ...]]:
    """The observation names of each key, by the widths that the file has."""
    if not keys:
        raise DataError(f"{path}: no observation key given. Name at least one, e.g. 'state'.")
    widths = [math.prod(find_array(group, path, f"data/{key}").shape[1:]) for key in keys]
    if sum(widths) != len(names):
        raise fault(
            path,
            ", ".join(f"data/{key}" for key in keys),
            f"{' + '.join(map(str, widths))} columns, but {len(names)} observation names "
            f"({', '.join(names)})",
            "Name every column, key by key.",
        )
    stops = np.cumsum(widths)
    return [names[stop - width : stop] for stop, width in zip(stops, widths, strict=True)]


def _read_key(
    group: zarr.Group, path: Path, name: str, ends: NDArray[np.int64], names: tuple[str, ...]
) -> NDArray[np.float32]:
    key = f"data/{name}"
    array = find_array(group, path, key)
    check_chunks(array, path, key, ends)
    return read_table(array, path, key, ends, names, flatten=True)
