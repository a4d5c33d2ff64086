"""Chunk files that zarr would read wrongly without a word, or that would fill the memory.

A lost chunk reads as the array's fill value, Blosc decodes a truncated chunk to garbage, and any
compression may unfold to more than the array declares (``packing.py``). The tables of our own
layout need none of these checks: their fill value is NaN, their chunks carry a checksum.
"""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.packing import strange_codecs, wrong_size
from ambient_datasets.reading import (
    MAX_BYTES,
    AnyArray,
    corrupt_chunk,
    count_rows,
    episode_of_row,
    fault,
)

# name -> the file from its beginning and its size [bytes]; None if it is lost
Open = Callable[[str], tuple[BinaryIO, int] | None]


def check_chunks(
    array: AnyArray, path: Path, key: str, ends: NDArray[np.int64] | None = None
) -> None:
    """See that every chunk of an array is there, and unfolds to what the array declares.

    Args:
        array, path, key: the array, its store and its key in it.
        ends: (E,) to name the episode; rows after the last one are not looked at.

    Raises:
        DataError: naming the first chunk file at fault.
    """
    strange = strange_codecs(array)
    if strange is not None:
        raise fault(path, key, strange, "Write the store again, packed by Blosc or zstd.")
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > MAX_BYTES or min(array.chunks, default=0) < 1:
        raise fault(
            path,
            key,
            f"one chunk of shape {array.chunks} would unpack to {size} bytes, and 1 to {MAX_BYTES} "
            "are read at once",
            "Write the store again in chunks of such a size.",
        )
    with _open_chunks(path) as open_chunk:
        for index in np.ndindex(array.cdata_shape):
            name = str(array.metadata.encode_chunk_key(index))
            row = index[0] * array.chunks[0]
            if ends is not None and row >= count_rows(ends):
                break
            episode = None if ends is None else episode_of_row(ends, row)
            try:
                reason = _check_chunk(array, path, key, name, open_chunk, episode)
            except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                reason = f"{error}"  # what an archive makes of a corrupt member
            if reason is not None:
                raise corrupt_chunk(path, key, name, reason, episode)


def _check_chunk(
    array: AnyArray, path: Path, key: str, name: str, open_chunk: Open, episode: int | None
) -> str | None:
    """What is wrong with a chunk that is there; None where nothing is."""
    found = open_chunk(f"{key}/{name}")
    if found is None:
        raise fault(
            path,
            key,
            f"chunk file '{name}' is lost, and zarr would read {array.fill_value} instead",
            "Restore that file from a copy; if those rows truly are all that number, write the "
            "store again with zarr's write_empty_chunks=True.",
            episode,
        )
    with found[0] as file:
        return wrong_size(array, file, found[1])


@contextmanager
def _open_chunks(path: Path) -> Iterator[Open]:
    """Opens any file in a zarr folder or .zip."""
    if path.is_dir():
        yield lambda name: _open_file(path / name)
        return
    with zipfile.ZipFile(path) as archive:
        names = frozenset(archive.namelist())
        yield lambda name: _open_member(archive, name) if name in names else None


def _open_file(path: Path) -> tuple[BinaryIO, int] | None:
    if not path.is_file():
        return None
    return path.open("rb"), path.stat().st_size


def _open_member(archive: zipfile.ZipFile, name: str) -> tuple[BinaryIO, int]:
    return cast(BinaryIO, archive.open(name)), archive.getinfo(name).file_size
