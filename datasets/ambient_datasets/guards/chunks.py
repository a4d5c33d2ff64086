"""Chunk files that zarr would read wrongly without a word, or that would fill the memory.

A lost chunk reads as the array's fill value, Blosc decodes a truncated chunk to garbage, and any
compression may unfold to more than the array declares (``sizes.py``).
"""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ambient_datasets.arrays import StoredArray, count_rows
from ambient_datasets.faults import corrupt_chunk
from ambient_datasets.guards.archive import MAX_CHUNK
from ambient_datasets.guards.sizes import wrong_size
from ambient_policy.plain_files import check_file

# the file from its beginning and its size [bytes]
Chunk = tuple[BinaryIO, int]
# of a name; None if it is lost
Open = Callable[[str], Chunk | None]


def check_chunks(stored: StoredArray, *, last_may_lack: bool = False) -> None:
    """See that every chunk of an array is there, and unfolds to what the array declares.

    Args:
        stored: the array; where it has episodes, rows after the last one are not looked at.
        last_may_lack: the last chunk along the first axis may not be written yet.

    Raises:
        DataError: naming the first chunk file at fault.
    """
    array = stored.array
    last = array.cdata_shape[0] - 1 if last_may_lack else -1
    with _open_chunks(stored.path) as open_chunk:
        for index in np.ndindex(array.cdata_shape):
            name = str(array.metadata.encode_chunk_key(index))
            row = index[0] * array.chunks[0]
            if stored.ends is not None and row >= count_rows(stored.ends):
                break
            try:
                chunk = open_chunk(f"{stored.key}/{name}")
                if chunk is None and index[0] == last:
                    continue
                reason = _check_chunk(stored, name, row, chunk)
            except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                reason = f"{error}"  # what an archive makes of a corrupt member
            if reason is not None:
                episode = stored.episode(row)
                raise corrupt_chunk(stored.path, stored.key, name, reason, episode)


def _check_chunk(stored: StoredArray, name: str, row: int, chunk: Chunk | None) -> str | None:
    """What is wrong with a chunk; None where nothing is."""
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
        yield lambda name: _open_file(path / name, path)
        return
    with zipfile.ZipFile(path) as archive:
        names = frozenset(archive.namelist())
        yield lambda name: _open_member(archive, name) if name in names else None


def _open_file(path: Path, store: Path) -> Chunk | None:
    if not os.path.lexists(path):
        return None
    try:
        check_file(path, store, 2 * MAX_CHUNK)
    except ValueError as error:
        raise OSError(f"{error}") from error
    return path.open("rb"), path.stat().st_size


def _open_member(archive: zipfile.ZipFile, name: str) -> Chunk:
    return cast(BinaryIO, archive.open(name)), archive.getinfo(name).file_size
