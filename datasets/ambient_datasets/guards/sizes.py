"""How large a chunk file is unpacked, found out before it fills the memory.

zarr hands back whatever a chunk unpacks to: one of 100 kB may declare 4 rows and unfold to
gigabytes. The header of a compression tells the size, or the chunk is unfolded once, block by
block, and counted. Which codecs are read says ``codecs.py``.
"""

import bz2
import gzip
import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ambient_datasets.guards.archive import MAX_CHUNK, AnyArray
from ambient_datasets.guards.codecs import list_codecs
from ambient_datasets.guards.jpegxl import read_jpegxl

BLOCK = 2**20
HEADER = 18  # bytes of a chunk that tell its size: of zstd's frame the longest (RFC 8878, 3.1.1.1)
LARGEST_ITEM = 16  # of what a filter may make of a number [bytes]
SLACK = 4096  # what a compression may add to what it cannot shorten, beside a 64th [bytes]


def wrong_size(array: AnyArray, file: BinaryIO, size: int) -> str | None:
    """Why a chunk file cannot be what the array declares; None where it can.

    Args:
        array: whose codecs ``strange_codecs`` has passed.
        file: the chunk file from its beginning; its first bytes are read, or all, block by block.
        size: of the file [bytes].
    """
    names = list_codecs(array)
    items = math.prod(array.chunks)
    exact = items * array.dtype.itemsize
    most = exact if not array.filters else items * LARGEST_ITEM + SLACK
    kind = next((name for name in names if name in UNPACKED), None)
    if size > min(most + most // 64 + SLACK, MAX_CHUNK + MAX_CHUNK // 32):
        return f"{size} bytes, and its {exact} bytes unpacked never take so many"
    if kind is None:
        fits = size == exact or len(names) > 0
        return None if fits else f"{size} bytes, {exact} are needed"
    try:
        return _differs(UNPACKED[kind](file, size, most), exact, most)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        return str(error)


def _differs(size: int, exact: int, most: int) -> str | None:
    wrong = size != exact if most == exact else size > most
    words = f"more than {most}" if size > most else str(size)
    return f"it unfolds to {words} bytes, {exact} are needed" if wrong else None


def _read_blosc(file: BinaryIO, size: int, most: int) -> int:
    """Blosc's header: four bytes, then as u32 the bytes unpacked, in one block, packed."""
    header = file.read(16)
    packed = int.from_bytes(header[12:16], "little")
    if len(header) < 16 or packed != size:
        raise ValueError(f"{size} bytes, its Blosc header says {packed}")
    return int.from_bytes(header[4:8], "little")


def _read_zstd(file: BinaryIO, size: int, most: int) -> int:
    """The frame's content size (RFC 8878, 3.1.1.1)."""
    header = file.read(HEADER)
    if len(header) < 6 or header[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("no zstd frame")
    single, flag = header[4] >> 5 & 1, header[4] >> 6
    if not single and flag == 0:
        raise ValueError("its zstd frame does not tell its size")
    start = 5 + (1 - single) + (0, 1, 2, 4)[header[4] & 3]
    width = (1, 2, 4, 8)[flag]
    return int.from_bytes(header[start : start + width], "little") + (256 if width == 2 else 0)


def _read_lz4(file: BinaryIO, size: int, most: int) -> int:
    """numcodecs writes the size before the packed bytes (u32)."""
    return int.from_bytes(file.read(4), "little")


def _count_gzip(file: BinaryIO, size: int, most: int) -> int:
    with gzip.GzipFile(fileobj=file) as unpacked:
        return _count(iter(lambda: unpacked.read(BLOCK), b""), most)


def _count_bz2(file: BinaryIO, size: int, most: int) -> int:
    with bz2.open(file) as unpacked:
        return _count(iter(lambda: unpacked.read(BLOCK), b""), most)


def _count_zlib(file: BinaryIO, size: int, most: int) -> int:
    return _count(_unfold_zlib(file), most)


def _unfold_zlib(file: BinaryIO) -> Iterator[bytes]:
    tool = zlib.decompressobj()
    for packed in iter(lambda: file.read(BLOCK), b""):
        while packed and not tool.eof:
            yield tool.decompress(packed, BLOCK)
            packed = tool.unconsumed_tail
    yield tool.flush()


def _count(blocks: Iterator[Any], most: int) -> int:
    """Bytes in all blocks, counted until they are more than ``most``."""
    count = 0
    for block in blocks:
        count += len(block)
        if count > most:
            break
    return count


# how many bytes a file holds unpacked: of a file, its size and the most that is of interest
UNPACKED: dict[str, Callable[[BinaryIO, int, int], int]] = {
    "blosc": _read_blosc,
    "bz2": _count_bz2,
    "gzip": _count_gzip,
    "jpegxl": read_jpegxl,
    "lz4": _read_lz4,
    "zlib": _count_zlib,
    "zstd": _read_zstd,
}
