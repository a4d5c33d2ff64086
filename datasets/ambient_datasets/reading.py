"""Opening a zarr and reading checked arrays from it: one clear error instead of a strange number.

Shared by our own layout (``store.py``) and by the foreign ones (``formats/``). Every refusal names
the file, the key, the episode and the remedy.
"""

import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import ZipStore

from ambient_policy.errors import DataError

# bytes of one chunk, or one file of an archive, unpacked; more is an attack on the memory
MAX_BYTES = 2**30
MAX_METADATA = 2**24  # of one metadata file
METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")

StrPath = str | os.PathLike[str]
AnyArray = zarr.Array[Any]


def fault(path: Path, key: str, what: str, remedy: str, episode: int | None = None) -> DataError:
    """The error of this folder, always in the same order: file, key, episode, fault, remedy."""
    where = "" if episode is None else f"episode {episode}: "
    return DataError(f"{path}: {key}: {where}{what}. {remedy}")


@contextmanager
def open_group(path: Path) -> Iterator[zarr.Group]:
    """A zarr folder or ``.zip`` (v2 or v3), read-only.

    Raises:
        DataError: if there is nothing there, or no zarr group.
    """
    if not path.exists():
        raise DataError(
            f"{path}: there is no such store. Give the path of a zarr folder or .zarr.zip file, or "
            "collect one with scripts/collect.py."
        )
    try:
        if path.is_file():
            _check_members(path)
        else:
            _check_metadata(path, "")
        source = ZipStore(path, mode="r") if path.is_file() else None
        group = zarr.open_group(source if source is not None else str(path), mode="r")
    except DataError:
        raise
    except Exception as error:  # zarr and zipfile raise whatever they like
        raise DataError(
            f"{path}: not a zarr group ({type(error).__name__}: {error}). Give a zarr folder or "
            ".zarr.zip file (zarr v2 or v3) whose top level holds data/ and meta/."
        ) from error
    try:
        yield group
    finally:
        if source is not None:
            source.close()


def _check_members(path: Path) -> None:
    """Refuse an archive with a file that is too large to unpack into memory."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            described = member.filename.rpartition("/")[2] in METADATA
            most = MAX_METADATA if described else MAX_BYTES
            if member.file_size > most:
                raise DataError(
                    f"{path}: {member.filename}: {member.file_size} bytes unpacked, and such a file"
                    f" of an archive may have {most}. Write the store again in smaller chunks."
                )


def _check_metadata(path: Path, key: str) -> None:
    """Refuse what zarr would read for ever or into all memory: pipes, devices, giant files."""
    for name in METADATA:
        file = path / key / name
        if not os.path.lexists(file):
            continue
        if not file.is_file() or file.stat().st_size > MAX_METADATA:
            raise DataError(
                f"{file}: no plain file of at most {MAX_METADATA} bytes. Restore it from a copy."
            )


def _list_arrays(group: zarr.Group) -> str:
    """The arrays of the store, for a message; a link may lead round in circles."""
    try:
        members = group.members(max_depth=2)
    except Exception as error:  # broken metadata elsewhere in the store must not hide this fault
        return f"what cannot be listed ({error})"
    names = sorted(name for name, node in members if isinstance(node, zarr.Array))
    return ", ".join(names) if names else "no arrays at all"


def find_array(group: zarr.Group, path: Path, key: str) -> AnyArray:
    """The array under a key.

    Raises:
        DataError: if it is missing (lists what is there), not an array, or its metadata is broken.
    """
    try:
        if path.is_dir():
            _check_metadata(path, key)
        node = group.get(key)
    except DataError:
        raise
    except Exception as error:  # whatever zarr makes of a broken metadata file
        raise fault(
            path,
            key,
            f"its metadata cannot be read ({type(error).__name__}: {error})",
            "Restore the store from a copy, or collect it again.",
        ) from error
    if not isinstance(node, zarr.Array):
        raise fault(
            path,
            key,
            f"missing; this store holds {_list_arrays(group)}",
            "Name one of those keys, or write the array.",
        )
    return node


def list_keys(group: zarr.Group, path: Path, folder: str) -> list[str]:
    """The keys of everything in a folder of the store.

    Raises:
        DataError: if the metadata of one of them is broken.
    """
    try:
        return [f"{folder}/{key}" for key in zarr.open_group(group.store_path / folder, mode="r")]
    except Exception as error:  # whatever zarr makes of a broken metadata file
        raise fault(
            path,
            folder,
            f"what lies in it cannot be listed ({type(error).__name__}: {error})",
            "Restore the store from a copy, or collect it again.",
        ) from error


def read_rows(
    array: AnyArray, path: Path, key: str, rows: int, ends: NDArray[np.int64] | None = None
) -> NDArray[Any]:
    """The first rows of an array; see ``read_block``."""
    return read_block(array, path, key, 0, rows, ends)


def read_block(
    array: AnyArray,
    path: Path,
    key: str,
    first: int,
    stop: int,
    ends: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """The rows of an array from ``first`` to before ``stop``.

    Raises:
        DataError: if a chunk is corrupt, naming its file and (with ``ends``) the first episode.
    """
    try:
        return np.asarray(array[first:stop])
    except Exception as error:  # codecs raise whatever they like
        chunk, reason = _find_corrupt_chunk(array, first, stop)
        raise corrupt_chunk(
            path,
            key,
            _chunk_file(array, chunk),
            f"{type(reason or error).__name__}: {reason or error}",
            None if ends is None else episode_of_row(ends, chunk * array.chunks[0]),
        ) from error


def _find_corrupt_chunk(array: AnyArray, first: int, stop: int) -> tuple[int, Exception | None]:
    """Index along axis 0 of the first chunk that cannot be decoded, and why."""
    size = array.chunks[0]
    for start in range(first - first % size, stop, size):
        try:
            array[start : min(start + size, stop)]
        except Exception as error:
            return start // size, error
    return first // size, None


def _chunk_file(array: AnyArray, chunk: int) -> str:
    """The file of a chunk, inside the array's folder (other axes are one chunk wide)."""
    return str(array.metadata.encode_chunk_key((chunk, *[0] * (array.ndim - 1))))


def corrupt_chunk(path: Path, key: str, name: str, reason: str, episode: int | None) -> DataError:
    """The error for a chunk file whose content cannot be right."""
    return fault(
        path,
        key,
        f"chunk file '{name}' is truncated or corrupt ({reason})",
        "Restore that file from a copy, or collect the store again.",
        episode,
    )


def episode_of_row(ends: NDArray[np.int64], row: int) -> int:
    """The episode a row belongs to (ends are exclusive)."""
    return int(np.searchsorted(ends, row, side="right"))


def count_rows(ends: NDArray[np.int64]) -> int:
    """The committed rows, N."""
    return int(ends[-1]) if len(ends) else 0


def check_ends(ends: NDArray[Any], path: Path, key: str) -> NDArray[np.int64]:
    """(E,) cumulative, exclusive ends as int64.

    Raises:
        DataError: unless one-dimensional integers that increase strictly from above 0.
    """
    if ends.ndim != 1 or ends.dtype.kind not in "iu":
        raise fault(
            path,
            key,
            f"shape {ends.shape} and type {ends.dtype} given, (episodes,) integers needed",
            "Write the cumulative, exclusive end row of every episode.",
        )
    ends = ends.astype(np.int64)
    lengths = np.diff(ends, prepend=0)
    if (lengths <= 0).any():
        episode = int(np.argmax(lengths <= 0))
        before = int(ends[episode - 1]) if episode else 0
        raise fault(
            path,
            key,
            f"ends at row {ends[episode]} but begins at row {before}; ends must increase",
            "Restore the file from a copy, or write the cumulative, exclusive end row of every "
            "episode, each at least one step long.",
            episode,
        )
    return ends


def check_table(
    array: AnyArray,
    path: Path,
    key: str,
    ends: NDArray[np.int64],
    names: Sequence[str] | None = None,
    *,
    unfinished: bool = False,
    flatten: bool = False,
) -> None:
    """Refuse a ``data/<key>`` that is no table of floats with a row for each step; reads none.

    Args:
        array: the zarr array.
        path, key: for messages.
        ends: (E,) checked ends.
        names: of its D columns; None where the caller counts them.
        unfinished: an episode is in flight, so further rows than the ends tell of are expected.
        flatten: let further axes, e.g. of keypoints (N,9,2), become columns.

    Raises:
        DataError: naming file, key, episode and remedy.
    """
    if not (array.ndim == 2 or (flatten and array.ndim > 2)) or array.dtype.kind != "f":
        raise fault(
            path,
            key,
            f"shape {array.shape} and type {array.dtype} given, (rows, dimensions) floats needed",
            "Write it two-dimensional and as float32.",
        )
    width = math.prod(array.shape[1:])
    if names is not None and width != len(names):
        raise fault(
            path,
            key,
            f"{width} columns, but {len(names)} names ({', '.join(names)})",
            "Name every column, in order.",
        )
    check_length(array, path, key, ends, unfinished=unfinished)


def read_table(
    array: AnyArray,
    path: Path,
    key: str,
    first: int,
    stop: int,
    ends: NDArray[np.int64],
    names: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Rows ``first`` to before ``stop`` of an array that ``check_table`` has seen.

    Returns:
        (stop - first, D) float32, finite.

    Raises:
        DataError: naming file, key, episode and remedy.
    """
    raw = read_block(array, path, key, first, stop, ends)
    with np.errstate(over="ignore"):
        table: NDArray[np.float32] = raw.reshape(stop - first, -1).astype(np.float32)
    _check_finite(array, path, key, table, first, ends, names)
    return table


def check_length(
    array: AnyArray, path: Path, key: str, ends: NDArray[np.int64], *, unfinished: bool = False
) -> int:
    """The number of committed rows.

    Args:
        array, path, key: the array, its store and its key in it.
        ends: (E,) checked ends.
        unfinished: an episode is in flight, so further rows than the ends tell of are expected.

    Raises:
        DataError: if the array has another number of rows.
    """
    given, rows = array.shape[0], count_rows(ends)
    if given == rows or (unfinished and given > rows):
        return rows
    raise fault(
        path,
        key,
        f"{given} rows, but meta/episode_ends ends at row {rows}; lengths must be equal",
        "Restore the store from a copy or write it again with equal lengths (a store that another "
        "process is appending to at this moment opens once that episode is complete).",
        min(episode_of_row(ends, given), len(ends) - 1) if len(ends) else None,
    )


def _check_finite(
    array: AnyArray,
    path: Path,
    key: str,
    table: NDArray[np.float32],
    first: int,
    ends: NDArray[np.int64],
    names: Sequence[str] | None,
) -> None:
    """Of rows first, first + 1, .. of the array."""
    bad = ~np.isfinite(table)
    if not bad.any():
        return
    place = int(np.argmax(bad.any(axis=1)))
    row, column = first + place, int(np.argmax(bad[place]))
    episode = episode_of_row(ends, row)
    step = row - (int(ends[episode - 1]) if episode else 0)
    name = names[column] if names is not None else column
    file = _chunk_file(array, row // array.chunks[0])
    raise fault(
        path,
        key,
        f"step {step}, dimension '{name}' is {table[place, column]}, and every number must be "
        f"finite (a whole chunk of NaN means that its file '{file}' is lost)",
        "Restore the file from a copy, or leave that episode out and write the store again.",
        episode,
    )
