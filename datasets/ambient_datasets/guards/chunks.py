"""Chunk files that zarr would read wrongly without a word, or that would fill the memory.

A lost chunk reads as the array's fill value, Blosc decodes a truncated chunk to garbage, and any
compression may unfold to more than the array declares (``sizes.py``). The tables of our own
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

from ambient_datasets.arrays import StoredArray, count_rows
from ambient_datasets.faults import corrupt_chunk
from ambient_datasets.guards.archive import MAX_BYTES
from ambient_datasets.guards.sizes import strange_codecs, wrong_size

# name -> the file from its beginning and its size [bytes]; None if it is lost
Open = Callable[[str], tuple[BinaryIO, int] | None]


def check_chunks(stored: StoredArray) -> None:
    """See that every chunk of an array is there, and unfolds to what the array declares.

    Args:
        stored: the array; where it has episodes, rows after the last one are not looked at.

    Raises:
        DataError: naming the first chunk file at fault.
    """
    _check_declared(stored)
    array = stored.array
    with _open_chunks(stored.path) as open_chunk:
        for index in np.ndindex(array.cdata_shape):
            name = str(array.metadata.encode_chunk_key(index))
            row = index[0] * array.chunks[0]
            if stored.ends is not None and row >= count_rows(stored.ends):
                break
            try:
                reason = _check_chunk(stored, name, row, open_chunk)
            except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                reason = f"{error}"  # what an archive makes of a corrupt member
            if reason is not None:
                episode = stored.episode(row)
                raise corrupt_chunk(stored.path, stored.key, name, reason, episode)


def _check_declared(stored: StoredArray) -> None:
    """Refuse codecs that are not read, and chunks that would fill the memory."""
    array, strange = stored.array, strange_codecs(stored.array)
    if strange is not None:
        raise stored.fault(strange, "Write the store again, packed by Blosc or zstd.")
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > MAX_BYTES or min(array.chunks, default=0) < 1:
        raise stored.fault(
            f"one chunk of shape {array.chunks} would unpack to {size} bytes, and 1 to {MAX_BYTES} "
            "are read at once",
            "Write the store again in chunks of such a size.",
        )


def _check_chunk(stored: StoredArray, name: str, row: int, open_chunk: Open) -> str | None:
    """What is wrong with a chunk that is there; None where nothing is."""
    chunk = open_chunk(f"{stored.key}/{name}")
    if chunk is None:
        raise stored.fault(
            f"chunk file '{name}' is lost, and zarr would read {stored.array.fill_value} instead",
            "Restore that file from a copy; if those rows truly are all that number, write the "
            "store again with zarr's write_empty_chunks=True.",
            row,
        )
    with chunk[0] as file:
        return wrong_size(stored.array, file, chunk[1])


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
