"""A zarr folder or ``.zip`` that nobody vouches for: its files, its metadata, its arrays."""

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import ZipStore

from ambient_datasets.faults import fault
from ambient_datasets.guards.codecs import strange_codecs
from ambient_datasets.guards.files import refuse_pointer
from ambient_datasets.guards.jpegxl import MISSING, JpegXL, register
from ambient_datasets.guards.strangers import recognize
from ambient_policy.errors import DataError
from ambient_policy.plain_files import check_file

MAX_BYTES = 2**30  # of one file of an archive, unpacked; more is an attack on the memory
MAX_CHUNK = 2**28  # of one chunk of an array, unpacked
MAX_METADATA = 2**24  # of one metadata file
MAX_FOLDERS = 10_000  # in one folder: groups and arrays, of old layouts also chunks
METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")

RESTORE = "Restore the store from a copy, or collect it again."

AnyArray = zarr.Array[Any]


@contextmanager
def open_group(path: Path) -> Iterator[zarr.Group]:
    """A zarr folder or ``.zip`` (v2 or v3), read-only.

    Raises:
        DataError: if there is nothing there, or no zarr group.
    """
    if not path.exists():
        raise DataError(
            f"{path}: there is no such store. Give the path of a zarr folder or .zarr.zip file, or "
            "make one with ambient-policy collect or ambient-policy convert."
        )
    try:
        if path.is_file():
            refuse_pointer(path)
            _check_members(path)
        else:
            _check_folders(path)
        source = ZipStore(path, mode="r") if path.is_file() else None
        group = zarr.open_group(source if source is not None else str(path), mode="r")
    except DataError:
        raise
    except Exception as error:  # zarr and zipfile raise whatever they like
        raise DataError(
            recognize(path)
            or f"{path}: not a zarr group ({type(error).__name__}: {error}). Give a zarr folder or "
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


def _check_folders(path: Path) -> None:
    """Look at the metadata of a zarr folder, of the groups in it and of their arrays."""
    groups = [path, *_folders(path)]
    arrays = [array for group in groups[1:] for array in _folders(group)]
    for folder in (*groups, *arrays):
        _check_metadata(folder, path)


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder but those of chunks."""
    with os.scandir(folder) as entries:
        inner = [Path(entry.path) for entry in entries if entry.is_dir()]
    if len(inner) > MAX_FOLDERS:
        raise DataError(f"{folder}: {len(inner)} folders, and at most {MAX_FOLDERS} are read.")
    return [place for place in inner if any((place / name).exists() for name in METADATA)]


def _check_metadata(folder: Path, store: Path) -> None:
    """Refuse what zarr would read for ever or into all memory: pipes, devices, giant files."""
    for name in METADATA:
        file = folder / name
        if os.path.lexists(file):
            try:
                check_file(file, store, MAX_METADATA)
            except ValueError as error:
                raise DataError(f"{file}: {error}. Restore it from a copy.") from error


def _list_nodes(path: Path) -> list[str]:
    """The keys of the groups and arrays of a store, two deep; nothing of them is read."""
    if path.is_dir():
        places = [*path.glob("*"), *path.glob("*/*")]
        nodes = [p for p in places if any((p / name).exists() for name in METADATA)]
        return sorted(node.relative_to(path).as_posix() for node in nodes)
    with zipfile.ZipFile(path) as archive:
        files = [name.rpartition("/") for name in archive.namelist()]
    return sorted({folder for folder, _, name in files if folder and name in METADATA})


def _list_arrays(path: Path) -> str:
    """The arrays of the store, for a message."""
    nodes = _list_nodes(path)
    names = [key for key in nodes if not any(other.startswith(f"{key}/") for other in nodes)]
    return ", ".join(names) if names else "no arrays at all"


def find_array(group: zarr.Group, path: Path, key: str) -> AnyArray:
    """The array under a key.

    Raises:
        DataError: if it is missing (lists what is there), not an array, packed by codecs that are
            not read or in chunks that fill the memory, or its metadata is broken.
    """
    try:
        if path.is_dir():
            _check_metadata(path / key, path)
        node = _get(group, key)
    except DataError:
        raise
    except Exception as error:  # whatever zarr makes of a broken metadata file
        raise fault(
            path,
            key,
            f"its metadata cannot be read ({type(error).__name__}: {error})",
            MISSING if JpegXL.codec_id in str(error) else RESTORE,
        ) from error
    if not isinstance(node, zarr.Array):
        raise fault(
            path,
            key,
            f"missing; this store holds {_list_arrays(path)}",
            "Name one of those keys, or write the array.",
        )
    _check_declared(node, path, key)
    return node


def _get(group: zarr.Group, key: str) -> Any:
    """What lies under a key; the library of its pictures is loaded only if it names it."""
    try:
        return group.get(key)
    except Exception as error:
        if JpegXL.codec_id not in str(error) or not register():
            raise
        return group.get(key)


def _check_declared(array: AnyArray, path: Path, key: str) -> None:
    """Refuse codecs that are not read, and chunks that would fill the memory."""
    strange = strange_codecs(array)
    if strange is not None:
        raise fault(
            path, key, strange, "Write the store again without shards, packed by Blosc or zstd."
        )
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > MAX_CHUNK or (0 in array.chunks and 0 not in array.shape):
        raise fault(
            path,
            key,
            f"one chunk of shape {array.chunks} would unpack to {size} bytes, and 1 to {MAX_CHUNK} "
            "are read at once",
            "Write the store again in chunks of such a size.",
        )


def list_keys(path: Path, folder: str) -> list[str]:
    """The keys of everything in a folder of an opened store."""
    return [key for key in _list_nodes(path) if key.rpartition("/")[0] == folder]
