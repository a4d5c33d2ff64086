"""The frames of a TFRecord file: where its records lie, and their bytes, both checksums verified.

A frame is the length of the data (u64), masked crc32c of those 8 bytes (u32), the data, masked
crc32c of the data (u32), all little-endian; the file is nothing but frames (tensorflow,
``tsl/lib/io/record_writer.h``).
"""

import struct
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ambient_datasets.faults import fault
from ambient_datasets.guards.files import refuse_pointer
from ambient_policy.errors import DataError

MAX_RECORD = 2**30  # one episode, its pictures encoded [byte]
HEADER, FOOTER = struct.Struct("<QI"), struct.Struct("<I")
REMEDY = "Fetch or copy the file again; it was damaged on its way or is no TFRecord file."


def masked_crc32c(data: bytes) -> int:
    """Checksum as TFRecord stores it: rotated and shifted, so that it may lie in what it checks."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def index_records(path: Path, expected: int) -> NDArray[np.int64]:
    """Where the frames begin and, last, where the file ends: (expected + 1,) [byte].

    Reads the headers alone.

    Raises:
        DataError: if a header's checksum or length is wrong, or the file does not hold exactly the
            number of records expected.
    """
    try:
        refuse_pointer(path)
        with path.open("rb", buffering=0) as file:
            size = path.stat().st_size
            return _index(path, file, size, expected)
    except OSError as error:
        raise _unreadable(path, error) from error


def _index(path: Path, file: BinaryIO, size: int, expected: int) -> NDArray[np.int64]:
    begins = [0]
    while begins[-1] < size:
        if len(begins) > expected:
            raise fault(
                path,
                f"record {expected}",
                f"there are more than the {expected} records that dataset_info.json tells of",
                "Take both files from the same version of the data set.",
            )
        begins.append(_next(path, file, len(begins) - 1, begins[-1], size))
    if len(begins) - 1 < expected:
        raise fault(
            path,
            f"record {len(begins) - 1}",
            f"the file ends here, but dataset_info.json tells of {expected} records",
            "Fetch the file again, or take both files from the same version of the data set.",
        )
    return np.array(begins, np.int64)


def _next(path: Path, file: BinaryIO, record: int, begin: int, size: int) -> int:
    """Where the frame after this one begins."""
    file.seek(begin)
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        raise _damaged(path, record, begin, f"only {len(header)} bytes of its header are there")
    length, checksum = HEADER.unpack(header)
    if masked_crc32c(header[:8]) != checksum:
        raise _damaged(path, record, begin, "the checksum of its length does not fit")
    if length > MAX_RECORD:
        raise _damaged(path, record, begin, f"{length} bytes, and at most {MAX_RECORD} are read")
    end: int = begin + HEADER.size + length + FOOTER.size
    if end > size:
        raise _damaged(path, record, begin, f"its {length} bytes go beyond the end of the file")
    return end


def read_record(path: Path, record: int, begin: int, end: int) -> bytes:
    """The data of one record, both checksums verified.

    Args:
        path: the file.
        record: its number in the file, for messages.
        begin, end: of its frame [byte], as ``index_records`` found them.

    Raises:
        DataError: if a checksum does not fit, or the file has changed since.
    """
    size = end - begin - HEADER.size - FOOTER.size
    try:
        with path.open("rb") as file:
            file.seek(begin)
            header, data, footer = (file.read(n) for n in (HEADER.size, size, FOOTER.size))
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(footer) < FOOTER.size:
        raise _damaged(path, record, begin, "the file has become shorter since it was opened")
    length, checksum = HEADER.unpack(header)
    if masked_crc32c(header[:8]) != checksum or length != size:
        raise _damaged(path, record, begin, "the checksum of its length does not fit")
    if FOOTER.unpack(footer)[0] != masked_crc32c(data):
        raise _damaged(path, record, begin, "the checksum of its data does not fit")
    return data


def _damaged(path: Path, record: int, begin: int, what: str) -> DataError:
    return fault(path, f"record {record} (at byte {begin})", what, REMEDY)


def _unreadable(path: Path, error: OSError) -> DataError:
    return fault(path, "file", f"cannot be read ({error})", "Give a file that may be read.")
