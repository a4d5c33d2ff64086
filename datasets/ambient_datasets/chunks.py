"""Chunk files that zarr would read wrongly without a word: lost ones and truncated Blosc ones.

A lost chunk reads as the array's fill value, and Blosc decodes a truncated chunk to garbage. The
tables of our own layout need neither check: their fill value is NaN, their chunks carry a checksum.
"""

import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.reading import (
    MAX_BYTES,
    AnyArray,
    corrupt_chunk,
    count_rows,
    episode_of_row,
    fault,
)

Peek = Callable[[str], tuple[bytes, int] | None]  # name -> first 16 bytes and size, None if lost


def check_chunks(
    array: AnyArray, path: Path, key: str, ends: NDArray[np.int64] | None = None
) -> None:
    """See that every chunk of an array is there, and as long as its Blosc header says.

    Args:
        array, path, key: the array, its store and its key in it.
        ends: (E,) to name the episode; rows after the last one are not looked at.

    Raises:
        DataError: naming the first chunk file at fault.
    """
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > MAX_BYTES or min(array.chunks, default=0) < 1:
        raise fault(
            path,
            key,
            f"one chunk of shape {array.chunks} would unpack to {size} bytes, and 1 to {MAX_BYTES} "
            "are read at once",
            "Write the store again in chunks of such a size.",
        )
    with _open_peek(path) as peek:
        for index in np.ndindex(array.cdata_shape):
            name = str(array.metadata.encode_chunk_key(index))
            row = index[0] * array.chunks[0]
            if ends is not None and row >= count_rows(ends):
                break
            episode = None if ends is None else episode_of_row(ends, row)
            try:
                found = peek(f"{key}/{name}")
            except Exception as error:  # whatever an archive makes of a corrupt member
                raise corrupt_chunk(path, key, name, f"{error}", episode) from error
            _check_chunk(array, path, key, name, found, episode)


def _check_chunk(
    array: AnyArray,
    path: Path,
    key: str,
    name: str,
    found: tuple[bytes, int] | None,
    episode: int | None,
) -> None:
    if found is None:
        raise fault(
            path,
            key,
            f"chunk file '{name}' is lost, and zarr would read {array.fill_value} instead",
            "Restore that file from a copy; if those rows truly are all that number, write the "
            "store again with zarr's write_empty_chunks=True.",
            episode,
        )
    header, size = found
    told = int.from_bytes(header[12:16], "little")  # Blosc's header: compressed size in bytes
    if _is_blosc(array) and (len(header) < 16 or told != size):
        reason = f"{size} bytes, its Blosc header says {told}"
        raise corrupt_chunk(path, key, name, reason, episode)


def _is_blosc(array: AnyArray) -> bool:
    """Whether the last codec of the chunks is Blosc, of zarr v2 or v3."""
    return any("blosc" in type(codec).__name__.lower() for codec in array.compressors[-1:])


@contextmanager
def _open_peek(path: Path) -> Iterator[Peek]:
    """A look at the beginning of any file in a zarr folder or .zip."""
    if path.is_dir():
        yield lambda name: _peek_file(path / name)
        return
    with zipfile.ZipFile(path) as archive:
        names = frozenset(archive.namelist())
        yield lambda name: _peek_member(archive, name) if name in names else None


def _peek_file(path: Path) -> tuple[bytes, int] | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(16), path.stat().st_size


def _peek_member(archive: zipfile.ZipFile, name: str) -> tuple[bytes, int]:
    with archive.open(name) as file:
        return file.read(16), archive.getinfo(name).file_size
