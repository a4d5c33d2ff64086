"""The codecs of a zarr array that are read: filters and at most one compression, all plain.

zarr lets a file name any codec that is installed; one of them, pickle, runs code when a chunk is
unpacked. So the names are compared with a list before any chunk is read.
"""

from collections.abc import Iterator
from typing import Any

import zarr

FILTERS = {
    "bitround",
    "bytes",
    "crc32",
    "crc32c",
    "delta",
    "fixedscaleoffset",
    "fletcher32",
    "quantize",
    "shuffle",
    "transpose",
}
COMPRESSIONS = {"blosc", "bz2", "gzip", "jpegxl", "lz4", "zlib", "zstd"}


def list_codecs(array: zarr.Array[Any]) -> list[str]:
    """The names of filters and compressions, in the order of packing: "shuffle", "zstd", .."""
    return [_name(codec) for codec in (*array.filters, *array.compressors)]


def strange_codecs(array: zarr.Array[Any]) -> str | None:
    """What is wrong with the codecs of an array; None where nothing is."""
    if array.shards is not None:
        return "its chunks lie in shards, and those are not read"
    names = list(_all_names(array))
    if not {*names} <= FILTERS | COMPRESSIONS:
        known = ", ".join(sorted(FILTERS | COMPRESSIONS))
        return f"packed by {', '.join(names)}, and what is read is {known}"
    if sum(name in COMPRESSIONS for name in names) > 1:
        return f"packed by {', '.join(names)}, and one compression is read"
    return None


def _all_names(array: zarr.Array[Any]) -> Iterator[str]:
    """Also the codec of zarr v3 that turns numbers into bytes."""
    yield from list_codecs(array)
    if array.serializer is not None:
        yield _name(array.serializer)


def _name(codec: Any) -> str:
    return type(codec).__name__.removesuffix("Codec").lower()
