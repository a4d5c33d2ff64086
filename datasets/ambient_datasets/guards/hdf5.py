"""Arrays and texts out of an HDF5 file that nobody vouches for.

HDF5 lets a file name other files (external links, external storage, virtual arrays), hands out
zeros for rows that were never written, and inflates a chunk to whatever it unfolds to. Here only
what lies in this very file, whole and of the declared size, is read. HDF5 keeps no checksum of
numbers unless they were written with fletcher32: a flipped bit of a number reads as another number.
"""

import itertools
import math
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5l, h5z
from numpy.typing import NDArray

from ambient_datasets.faults import fault
from ambient_datasets.guards.apart import RESTORE
from ambient_datasets.guards.files import refuse_pointer
from ambient_datasets.guards.lzf import unfolded_size
from ambient_datasets.records import JSON
from ambient_policy.errors import DataError
from ambient_policy.plain_files import is_file

# The most that one array of one demonstration, or one chunk of it, may take in memory [bytes].
MAX_BYTES = 2**30
MAX_TEXT = 2**24
CHECKSUM = 4  # what fletcher32 adds to a chunk [bytes]
SLACK = 64  # what gzip may add to a chunk that it cannot shorten, beside a thousandth [bytes]
COMPRESSIONS = {h5z.FILTER_DEFLATE, h5z.FILTER_LZF}
FILTERS = {h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, *COMPRESSIONS}
MAX_ATTRIBUTES = 1000  # of one group that are read
REPACK = "Copy the numbers themselves into one file (h5repack, or h5py) and give that."


@contextmanager
def guarded(path: Path, key: str) -> Iterator[None]:
    """Whatever h5py makes of broken bytes becomes one error that names file and place."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # OSError, KeyError, RuntimeError, UnicodeError, ...
        raise fault(
            path, key, f"cannot be read ({type(error).__name__}: {error})", RESTORE
        ) from error


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file, read-only.

    Raises:
        DataError: if there is none, or it is no whole HDF5 file.
    """
    if not is_file(path):
        raise DataError(f"{path}: there is no such file. Give the path of an HDF5 file.")
    refuse_pointer(path)
    with guarded(path, "the file"):
        file = h5py.File(path, "r")
    with guarded(path, "the file"), file:
        yield file


def list_names(group: h5py.Group, path: Path, key: str) -> list[str]:
    """The names in a group, whether or not what they stand for can be opened."""
    with guarded(path, key):
        names = [str(name) for name in group]
    for name in names:
        if not name.isprintable():
            raise fault(path, key, f"the name {name!a} is no text that can be shown", "Rename it.")
    return names


def find(group: h5py.Group, path: Path, place: str, key: str) -> h5py.Group | h5py.Dataset:
    """What lies at a key such as "obs/object" below a group.

    Args:
        group: where to start.
        path: of the file.
        place: of the group, for messages; "" at the top.
        key: names joined by "/".

    Raises:
        DataError: if it is missing (lists what is there) or a link to another place or file.
    """
    node: Any = group
    for part in key.split("/"):
        if not _holds(node, path, place, part):
            names = list_names(node, path, place) if isinstance(node, h5py.Group) else []
            raise fault(
                path,
                join(place, part),
                f"missing; {place or 'the file'} holds {', '.join(sorted(names)) or 'nothing'}",
                "Name one of those.",
            )
        place = join(place, part)
        node = _open(node, path, place, part)
    return node


def _holds(node: Any, path: Path, place: str, name: str) -> bool:
    """Whether a group has a link of the name, wherever that leads."""
    if not isinstance(node, h5py.Group) or name in ("", ".") or not name.isprintable():
        return False
    with guarded(path, place):
        return bool(node.id.links.exists(name.encode()))


def join(place: str, name: str) -> str:
    """The key of a name below a place."""
    return f"{place}/{name}" if place else name


def _open(group: h5py.Group, path: Path, place: str, name: str) -> Any:
    with guarded(path, place):
        if group.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
            raise fault(
                path, place, "a link to another place or file, and those are not followed", REPACK
            )
        return group[name]


def find_group(group: h5py.Group, path: Path, place: str, key: str) -> h5py.Group:
    """The group at a key; errors as of ``find``."""
    node = find(group, path, place, key)
    if not isinstance(node, h5py.Group):
        raise fault(path, join(place, key), "no group", "Write the numbers into a group of it.")
    return node


def find_array(group: h5py.Group, path: Path, place: str, key: str) -> h5py.Dataset:
    """The array of numbers or texts at a key, checked by what it declares; nothing of it is read.

    Raises:
        DataError: as of ``find``, or if its content lies elsewhere or is larger than MAX_BYTES.
    """
    node, key = find(group, path, place, key), join(place, key)
    with guarded(path, key):
        if not isinstance(node, h5py.Dataset) or not node.shape:
            raise fault(path, key, "no array", "Write one row for each step.")
        _check_declared(node, path, key)
    return node


def _check_declared(array: h5py.Dataset, path: Path, key: str) -> None:
    created = array.id.get_create_plist()
    if created.get_layout() == h5d.VIRTUAL or created.get_external_count():
        raise fault(path, key, "its numbers lie in other files, and those are not read", REPACK)
    for what, shape in (("shape", array.shape), ("chunks", array.chunks)):
        if shape and math.prod(shape) * array.dtype.itemsize > MAX_BYTES:
            raise fault(
                path,
                key,
                f"{what} {shape} of {array.dtype} declared, more than {MAX_BYTES} bytes",
                "Write shorter demonstrations and smaller chunks.",
            )
    filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
    twice = len(set(filters)) < len(filters) or COMPRESSIONS.issubset(filters)
    if not FILTERS.issuperset(filters) or twice:
        raise fault(
            path,
            key,
            f"compressed by filters {filters}, and only gzip or lzf, shuffle and fletcher32 are "
            "read",
            "Write it again with h5py's compression='gzip' (or h5repack -f GZIP=1).",
        )


def read_array(array: h5py.Dataset, path: Path, key: str) -> NDArray[Any]:
    """All of an array that ``find_array`` found.

    Raises:
        DataError: if a part was never written, is cut off or is not of the declared size.
    """
    with guarded(path, key):
        if array.size:
            _check_stored(array, path, key)
        return np.asarray(array[()])


def _check_stored(array: h5py.Dataset, path: Path, key: str) -> None:
    layout = array.id.get_create_plist().get_layout()
    if layout == h5d.CHUNKED:
        _check_chunks(array, path, key)
    elif layout == h5d.CONTIGUOUS:
        needed, offset = array.size * array.dtype.itemsize, array.id.get_offset()
        if offset is None or array.id.get_storage_size() < needed:
            raise fault(path, key, "its numbers were never written", RESTORE)
        if offset + needed > path.stat().st_size:
            raise fault(path, key, "the file ends before its numbers do", RESTORE)


def _check_chunks(array: h5py.Dataset, path: Path, key: str) -> None:
    """Every chunk is there and unfolds to its size: HDF5 would hand out zeros or any number."""
    needed = math.prod(
        -(-rows // chunk) for rows, chunk in zip(array.shape, array.chunks, strict=True)
    )
    chunks: list[Any] = []

    def note(chunk: Any) -> bool | None:
        chunks.append(chunk)
        return True if len(chunks) > needed else None  # anything but None ends it

    array.id.chunk_iter(note)
    if len({chunk.chunk_offset for chunk in chunks}) != needed or len(chunks) != needed:
        raise fault(path, key, f"{len(chunks)} chunks written, {needed} needed", RESTORE)
    end = path.stat().st_size
    for chunk in chunks:
        if chunk.byte_offset + chunk.size > end:
            raise fault(path, key, f"the file ends before chunk {chunk.chunk_offset} does", RESTORE)
        _check_size(array, path, key, chunk)


def _check_size(array: h5py.Dataset, path: Path, key: str, chunk: Any) -> None:
    created = array.id.get_create_plist()
    filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
    used = [kind for i, kind in enumerate(filters) if not chunk.filter_mask >> i & 1]
    packing = next((i for i, kind in enumerate(used) if kind in COMPRESSIONS), len(used))
    whole = math.prod(array.chunks) * array.dtype.itemsize
    whole += CHECKSUM * (h5z.FILTER_FLETCHER32 in used[:packing])
    size = chunk.size
    if packing < len(used) and size <= whole + whole // 1000 + SLACK:
        _, packed = array.id.read_direct_chunk(chunk.chunk_offset)
        packed = packed[: len(packed) - CHECKSUM * (h5z.FILTER_FLETCHER32 in used[packing:])]
        size = _unfolded(used[packing], packed, whole)
    if size != whole:
        raise fault(
            path, key, f"chunk {chunk.chunk_offset} does not unfold to its {whole} bytes", RESTORE
        )


def _unfolded(kind: int, packed: bytes, whole: int) -> int:
    """The size [bytes] that a chunk unfolds to; whole + 1 or more where it is too large."""
    if kind == h5z.FILTER_LZF:
        return unfolded_size(packed, whole)
    return len(zlib.decompressobj().decompress(packed, whole + 1))


def read_text(group: h5py.Group, path: Path, place: str, name: str) -> str | None:
    """An attribute that is one text; None where there is none of that name."""
    value = _read_attribute(group, path, place, name)
    with guarded(path, f"{place}: attribute '{name}'"):
        text = value.decode() if isinstance(value, bytes) else value
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{type(text).__name__} given, text needed")
        if text is not None:
            text.encode()
    return text


def read_count(group: h5py.Group, path: Path, place: str, name: str) -> int | None:
    """An attribute that is one whole number; None where there is none of that name."""
    value = _read_attribute(group, path, place, name)
    with guarded(path, f"{place}: attribute '{name}'"):
        if value is not None and value != int(value):
            raise TypeError(f"{value} given, a whole number needed")
        return None if value is None else int(value)


def read_scalars(
    group: h5py.Group, path: Path, place: str, texts: Container[str]
) -> dict[str, JSON]:
    """The attributes of a group that are one number, one truth value, or one of the texts named."""
    values: dict[str, JSON] = {}
    with guarded(path, f"{place}: attributes"):
        for name in itertools.islice(map(str, group.attrs), MAX_ATTRIBUTES):
            stored = group.attrs.get_id(name)
            if stored.shape == () and (stored.dtype.kind in "biuf" or name in texts):
                value = _read_attribute(group, path, place, name)
                values[name] = value.decode() if isinstance(value, bytes) else plain(value)
    return values


def plain(value: Any) -> JSON:
    """A number of numpy's as Python's; what is none stays."""
    number: JSON = value.item() if isinstance(value, np.generic) else value
    return number


def _read_attribute(group: h5py.Group, path: Path, place: str, name: str) -> Any:
    with guarded(path, f"{place}: attribute '{name}'"):
        if name not in group.attrs:
            return None
        stored = group.attrs.get_id(name)
        if stored.shape != () or stored.dtype.itemsize > MAX_TEXT or stored.dtype.kind == "V":
            raise TypeError(f"shape {stored.shape} of {stored.dtype}, one value needed")
        return group.attrs[name]
