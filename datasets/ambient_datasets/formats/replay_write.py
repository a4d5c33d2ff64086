"""Writes the replay buffers of real-stanford/diffusion_policy: zarr v2, a folder or .zarr.zip.

    data/<key>  (N, ..) float32, uint8    meta/episode_ends  (E,) int64, cumulative, exclusive
    meta/sigma_min, meta/sigma_max  (E,) float64   only where the store is annotated
    meta/instruction  (E,) int64   into the attribute instructions, -1 for none; where there are any
    attributes: ambient_policy (what the numbers mean), annotation, instructions

The original reads every array of data/ and meta/ and looks at no attribute. Chunks and compressor
are its own ("disk": Blosc, zstd, level 5, bit shuffle; about 2 MB of time a chunk).
"""

import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ambient_datasets.formats.replay_beside import ATTRIBUTE
from ambient_datasets.formats.sidecar import declare, describe
from ambient_datasets.guards.archive import AnyArray
from ambient_datasets.keys import Keys
from ambient_datasets.layout import ENDS, INSTRUCTION, INSTRUCTIONS, SIGMAS
from ambient_datasets.records import Episode
from ambient_datasets.store import Store

STATE, CAMERA = "state", ""
CHUNK_BYTES = 2_000_000


class _Column:
    """An array that is filled from the front, one whole chunk at a time."""

    def __init__(self, group: zarr.Group, key: str, shape: tuple[int, ...], dtype: type) -> None:
        row = math.prod(shape[1:]) * np.dtype(dtype).itemsize
        self._chunk = min(max(1, math.ceil(CHUNK_BYTES / row)), shape[0])
        self._array = _create(group, key, shape, np.dtype(dtype), self._chunk)
        self._waiting: list[NDArray[Any]] = []
        self._held, self._written = 0, 0

    def add(self, rows: NDArray[Any]) -> None:
        """Append (T, ..)."""
        self._waiting.append(rows)
        self._held += len(rows)
        last = self._written + self._held == self._array.shape[0]
        if self._held < self._chunk and not last:
            return
        block = np.concatenate(self._waiting)
        count = len(block) if last else len(block) - len(block) % self._chunk
        self._array[self._written : self._written + count] = block[:count]
        self._written, self._held = self._written + count, len(block) - count
        self._waiting = [block[count:].copy()]


@dataclass(frozen=True)
class ReplayTarget:
    """A replay buffer as something to export to; see ``Target``."""

    def keys(
        self,
        store: Store,
        groups: Mapping[str, Sequence[str]],
        cameras: Mapping[str, str],
    ) -> Keys:
        """The keys of ``data/`` of a store's columns and cameras.

        Raises:
            SettingsError: for keys that do not fit.
        """
        return Keys.of(store, state=STATE, camera=CAMERA, groups=groups, cameras=cameras)

    def write(self, path: Path, store: Store, episodes: Iterable[Episode], keys: Keys) -> None:
        """Write a whole replay buffer.

        Args:
            path: new; where it ends in .zip, an archive.
            store: what is written.
            episodes: all of its episodes, in order.
            keys: of ``data/`` that its columns and cameras become.

        Raises:
            DataError: naming the episode of the store that cannot be read.
        """
        folder = path.with_name(f"{path.name}.unpacked") if path.suffix == ".zip" else path
        group = zarr.create_group(str(folder), zarr_format=2)
        for name in ("data", "meta"):
            group.create_group(name)
        _write_meta(group, store, keys)
        columns = _columns(group, store, keys)
        for episode in episodes:
            rows: dict[str, NDArray[Any]] = {keys.action: episode.actions}
            rows |= keys.split(episode.observations, store.attributes.observation_names)
            rows |= {key: episode.images[name] for name, key in keys.cameras.items()}
            for key, values in rows.items():
                columns[key].add(values)
        if folder != path:
            _pack(folder, path)


def _columns(group: zarr.Group, store: Store, keys: Keys) -> dict[str, _Column]:
    widths = {key: len(names) for key, names in keys.observations.items()}
    widths[keys.action] = len(store.attributes.action_names)
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        key: ((store.rows, width), np.float32) for key, width in widths.items()
    }
    for name, key in keys.cameras.items():
        shapes[key] = (store.rows, *store.cameras[name].shape), np.uint8
    return {key: _Column(group, f"data/{key}", *shape) for key, shape in shapes.items()}


def _write_meta(group: zarr.Group, store: Store, keys: Keys) -> None:
    values: dict[str, NDArray[Any]] = {ENDS: store.episode_ends}
    attributes: dict[str, Any] = {ATTRIBUTE: describe(store, keys)}
    if store.instructions:
        values[INSTRUCTION] = store.instruction_index
        attributes[INSTRUCTIONS] = list(store.instructions)
    if store.annotation is not None:
        values |= {f"meta/{name}": getattr(store.annotation, name) for name in SIGMAS}
        attributes["annotation"] = declare(store.annotation, "meta")
    for key, array in values.items():
        _create(group, key, array.shape, array.dtype, len(array))[:] = array
    group.update_attributes(attributes)


def _create(
    group: zarr.Group, key: str, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: int
) -> AnyArray:
    """An array whose chunks are all written, also those of zeros: a missing one is a lost one."""
    return group.create_array(
        key,
        shape=shape,
        dtype=dtype,
        chunks=(chunk, *shape[1:]),
        fill_value=math.nan if dtype == np.float64 else 0,  # a lost threshold is no threshold
        order="C",
        compressors=Blosc("zstd", clevel=5, shuffle=Blosc.BITSHUFFLE),
        config={"write_empty_chunks": True},
    )


def _pack(folder: Path, path: Path) -> None:
    """The files of a folder as an archive; they are compressed already."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
