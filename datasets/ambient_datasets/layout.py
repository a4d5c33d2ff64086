"""The pieces of our layout on disk: keys, attributes, one array. ``store.py`` composes them."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from ambient_datasets.arrays import check_ends, find_stored
from ambient_datasets.faults import fault
from ambient_datasets.guards.archive import AnyArray, find_array, list_keys
from ambient_datasets.guards.chunks import check_chunks
from ambient_datasets.records import Annotation, Attributes
from ambient_policy.errors import DataError

LAYOUT = "ambient_policy_layout"
VERSION = 1
OBSERVATIONS, ACTIONS, ENDS = "data/observation.state", "data/action", "meta/episode_ends"
INSTRUCTION, INSTRUCTIONS = "meta/instruction", "instructions"
NO_INSTRUCTION, LOST_INSTRUCTION = -1, -2
SIGMAS = ("sigma_min", "sigma_max")
CHUNK_ROWS, CHUNK_FRAMES = 4096, 16
CAMERA = "data/observation."  # and the name of the camera
STAGED = "staged_annotation"


def write_array(group: zarr.Group, key: str, values: NDArray[Any], fill: float) -> None:
    """Create (or replace) an array, its chunks checksummed and ``CHUNK_ROWS`` rows long."""
    array = group.create_array(
        key,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(CHUNK_ROWS, *values.shape[1:]),
        fill_value=fill,
        compressors=ZstdCodec(level=1, checksum=True),
        overwrite=True,
    )
    if len(values):
        array[:] = values


def write_frames_array(group: zarr.Group, camera: str, shape: tuple[int, int, int]) -> None:
    """Create the empty array of a camera with frames of (H,W,3)."""
    group.create_array(
        CAMERA + camera,
        shape=(0, *shape),
        dtype=np.uint8,
        chunks=(CHUNK_FRAMES, *shape),
        fill_value=0,
        compressors=ZstdCodec(level=1, checksum=True),
    )


def find_cameras(group: zarr.Group, path: Path) -> dict[str, AnyArray]:
    """The arrays of the cameras by their names.

    Chunks of theirs are written even when black, so that a chunk that is not there was lost.
    """
    keys = sorted(key for key in list_keys(path, "data") if key.startswith(CAMERA))
    arrays = {key: find_array(group, path, key) for key in keys if key != OBSERVATIONS}
    return {
        key.removeprefix(CAMERA): array.with_config({"write_empty_chunks": True})
        for key, array in arrays.items()
    }


def read_attributes(group: zarr.Group, path: Path) -> tuple[Attributes, dict[str, Any] | None]:
    """The attributes and, where annotated, the record of the annotation."""
    record = dict(group.attrs)
    if record.get(LAYOUT) != VERSION:
        layout = f"layout {record[LAYOUT]}" if LAYOUT in record else "no such attribute"
        raise fault(
            path,
            f"attribute '{LAYOUT}'",
            f"{layout}, and this program reads layout {VERSION}",
            "Update ambient-policy, or, if this is a diffusion_policy store, describe it in the "
            "config (names, units, control rate, task).",
        )
    names = [field.name for field in fields(Attributes)]
    missing = [name for name in names if name not in record]
    if missing:
        raise fault(
            path,
            f"attributes {', '.join(missing)}",
            f"missing; this store has {', '.join(sorted(record))}",
            "Restore zarr.json from a copy, or add them.",
        )
    try:
        attributes = Attributes(**{name: record[name] for name in names})  # type: ignore[arg-type]
    except (DataError, TypeError) as error:
        raise DataError(f"{path}: attributes: {error} Correct its zarr.json.") from error
    annotation: Any = record.get("annotation")
    return attributes, annotation


def read_ends(group: zarr.Group, path: Path) -> tuple[NDArray[np.int64], bool]:
    """The committed ends (E,), and whether episodes are in flight (from the one -1 on)."""
    ends = _read_list(group, path, ENDS, last_may_lack=True)
    holes = np.flatnonzero(ends == -1)
    unfinished = ends.ndim == 1 and len(holes) == 1  # several: a chunk file is lost
    return check_ends(ends[: holes[0]] if unfinished else ends, path, ENDS), unfinished


def _read_list(
    group: zarr.Group, path: Path, key: str, *, last_may_lack: bool = False
) -> NDArray[Any]:
    """All of a one-dimensional array, its chunk files looked at; as ``check_chunks``."""
    stored = find_stored(group, path, key)
    if stored.array.ndim != 1:
        raise stored.fault(
            f"shape {stored.array.shape} given, (episodes,) needed", "Restore it from a copy."
        )
    check_chunks(stored, last_may_lack=last_may_lack)
    return stored.read(0, stored.array.shape[0])


def lengthened(array: AnyArray, rows: int) -> AnyArray:
    """The array as if it had so many rows: what is written beyond its end nobody sees yet."""
    metadata: Any = array.metadata
    longer = metadata.update_shape((rows, *array.shape[1:]))
    return zarr.Array(zarr.AsyncArray(longer, array.store_path, array.config))


def forget_ends(array: AnyArray, path: Path, episodes: int) -> None:
    """Undo what a killed writer prepared after so many episodes: it would show when others come."""
    # the length first and alone: were files removed that it still tells of, they would read -1 too
    lengthened(array, episodes + 1).resize((episodes + 1,))
    size = array.chunks[0]
    last = episodes // size
    lengthened(array, (last + 1) * size)[episodes:] = -1
    for chunk, file in _ends_files(array, path):
        if chunk > last:
            file.unlink()
    array.resize((episodes + 1,))  # what was given knows its length too


def _ends_files(array: AnyArray, path: Path) -> list[tuple[int, Path]]:
    """The chunk files of the ends that are there, by number: several are not written in order."""
    folder = (path / ENDS / array.metadata.encode_chunk_key((0,))).parent
    files = folder.iterdir() if folder.exists() else ()
    return [(int(file.name), file) for file in files if file.name.isdigit()]


def read_instructions(
    group: zarr.Group, path: Path, episodes: int
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The index (E,) of the episodes into the texts, -1 for none; and the texts."""
    texts: Any = group.attrs.get(INSTRUCTIONS, [])
    if not isinstance(texts, list) or len({t for t in texts if isinstance(t, str)}) < len(texts):
        raise fault(
            path,
            f"attribute '{INSTRUCTIONS}'",
            f"{texts!r:.200} given, a list of distinct texts needed",
            "Restore zarr.json from a copy.",
        )
    if INSTRUCTION not in list_keys(path, "meta"):
        return np.full(episodes, NO_INSTRUCTION), tuple(texts)  # written before there were any
    index = _read_list(group, path, INSTRUCTION, last_may_lack=True)[:episodes]
    if index.dtype != np.int64 or len(index) < episodes:
        raise fault(
            path,
            INSTRUCTION,
            f"{len(index)} of type {index.dtype}, but the store holds {episodes} episodes",
            "Restore the store from a copy.",
        )
    strange = (index < NO_INSTRUCTION) | (index >= len(texts))
    if strange.any():
        episode = int(np.argmax(strange))
        raise fault(
            path,
            INSTRUCTION,
            f"{index[episode]}, but the attribute '{INSTRUCTIONS}' holds {len(texts)} texts "
            f"({NO_INSTRUCTION} for none; {LOST_INSTRUCTION} means that its chunk file is lost)",
            "Restore the store from a copy.",
            episode,
        )
    return index, tuple(texts)


def read_annotation(
    group: zarr.Group, path: Path, record: dict[str, Any] | None, episodes: int
) -> Annotation | None:
    """The annotation of so many episodes, or None; the attribute decides, not the arrays."""
    keys = list_keys(path, "meta")
    arrays = [name for name in SIGMAS if f"meta/{name}" in keys]
    if record is None and not arrays:
        return None
    complete = isinstance(record, dict) and {"fingerprint", "folder"} <= record.keys()
    if record is None or not complete or record.get("sigma") != "ve":
        raise fault(
            path,
            "attribute 'annotation'",
            f"{record} given beside {' and '.join(arrays) or 'no arrays'}, but sigma = 've', "
            "fingerprint and folder are needed to know what the numbers mean",
            "Annotate the store again.",
        )
    sigmas = []
    for name in SIGMAS:
        key = f"{record['folder']}/{name}"
        values = _read_list(group, path, key)
        if len(values) != episodes:
            raise fault(
                path,
                key,
                f"shape {values.shape}, but the store holds {episodes} episodes",
                "Annotate the store again.",
            )
        sigmas.append(values)
    try:
        return Annotation(sigmas[0], sigmas[1], record["fingerprint"])
    except DataError as error:
        raise DataError(f"{path}: {record['folder']}/{error}") from error
