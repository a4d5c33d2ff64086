"""Arrays of a store, unpacked once to one plain file that is read by row.

Training reads rows in random order, and a compressed chunk costs all of its rows to yield one. So
the first reading unpacks the arrays, block by block, to one uncompressed .npy file; a row then
costs its own bytes. It is read with pread and not mapped into memory: pages of a map count as
memory of the process, which would grow with all that was ever read. Processes that start together
unpack once: one does, the others wait. The files lie in $XDG_CACHE_HOME/ambient_policy (else
~/.cache/...), named after the arrays and the state of their chunks: a store that grew is unpacked
anew. They may be deleted at any time.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import DataError
from ambient_policy.files import make_once


@dataclass(frozen=True, eq=False)
class RowCache:
    """N rows, in a file that is made when the first of them is read.

    Attributes:
        path: of the store.
        keys: of the arrays in it that the rows are made of.
        shape: (N, ...).
        dtype: of the numbers in the file.
        blocks: makes the rows from the store, in order, some at a time.
        folder: of the cache.
        detail: what the rows depend on besides; part of the file's name.
    """

    path: Path
    keys: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Callable[[], Iterator[NDArray[Any]]] = field(repr=False)
    folder: str
    detail: str = ""

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """(...) rows -> (..., ...); neighbours among them are read at once.

        Raises:
            DataError: at the first reading, what ``blocks`` raises; if there is no such row, or
                somebody has changed the file.
            CheckpointError: if the file cannot be written.
        """
        check_rows(rows, self.shape[0])
        wanted, places = np.unique(rows, return_inverse=True)
        values = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        breaks = np.flatnonzero(np.diff(wanted) != 1) + 1
        if len(wanted):
            starts, stops = [0, *breaks.tolist()], [*breaks.tolist(), len(wanted)]
            self._read_spans(values, wanted, zip(starts, stops, strict=True))
        return values[places.reshape(rows.shape)]

    def read_span(self, first: int, stop: int) -> NDArray[Any]:
        """Rows ``first`` to before ``stop``; errors as of ``read``."""
        values = np.empty((stop - first, *self.shape[1:]), self.dtype)
        self._read_spans(values, np.arange(first, stop), [(0, stop - first)] if len(values) else [])
        return values

    @cached_property
    def file(self) -> Path:
        """Where the rows lie, or will."""
        return cache_folder() / self.folder / f"{_digest(self)}.npy"

    def _read_spans(self, values: NDArray[Any], rows: NDArray[np.int64], spans: Any) -> None:
        """Fill values[a:b] from the file's rows[a] .. rows[b - 1], for each span (a, b)."""
        flat = values.reshape(-1).view(np.uint8)
        size, header = len(flat) // max(1, len(rows)), len(self._header)
        make_once(self.file, self._unpack)
        with self.file.open("rb", buffering=0) as source:
            self._check_size(os.fstat(source.fileno()).st_size)
            for start, stop in spans:
                offset = header + int(rows[start]) * size
                _fill(source.fileno(), flat[start * size : stop * size], offset)

    def _check_size(self, size: int) -> None:
        expected = len(self._header) + int(np.prod(self.shape)) * self.dtype.itemsize
        if size != expected:
            raise DataError(
                f"{self.file}: {size} bytes, but {', '.join(self.keys)} of {self.path} unpacked "
                f"were {expected}: somebody has changed this file. Delete it, and it is made anew."
            )

    @cached_property
    def _header(self) -> bytes:
        descr = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": self.shape}
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, header)
        return stream.getvalue()

    def _unpack(self, file: Path) -> None:
        """Write a stream of bytes: a full disk under a memory map is no error but a SIGBUS."""
        with file.open("wb") as target:
            target.write(self._header)
            for block in self.blocks():
                target.write(np.ascontiguousarray(block, self.dtype).data)


def check_rows(rows: NDArray[np.int64], count: int) -> None:
    """Refuse rows that are not there.

    Raises:
        DataError: naming the first of them.
    """
    outside = (rows < 0) | (rows >= count)
    if outside.any():
        raise DataError(
            f"row {rows[outside].flat[0]} was asked for, but there are {count} (0 to {count - 1})."
            " Ask for rows of this very store or mixture."
        )


def cache_folder() -> Path:
    """Where unpacked files lie."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ambient_policy"


def _fill(source: int, target: NDArray[np.uint8], offset: int) -> None:
    """Read bytes of a file, which the system may hand over in several pieces.

    Raises:
        OSError: if the file has become shorter since it was opened.
    """
    done = 0
    while done < len(target):
        count = os.preadv(source, [target[done:].data], offset + done)
        if count == 0:
            raise OSError(f"the file ends at byte {offset + done}, before what was to be read")
        done += count


def _digest(cache: RowCache) -> str:
    """32 hexadecimal digits of what the rows are and when each of their files was written."""
    what = cache.path.resolve(), cache.keys, cache.shape, cache.dtype, cache.detail
    digest = hashlib.sha256(" ".join(map(str, what)).encode())
    for file in _files(cache):
        status = file.stat()
        digest.update(f" {file} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def _files(cache: RowCache) -> Iterator[Path]:
    """The files the rows lie in, in order: those of their arrays, or the one .zip."""
    path = cache.path.resolve()
    if path.is_file():
        yield path
        return
    for key in cache.keys:
        for folder, folders, files in os.walk(path / key):
            folders.sort()
            yield from (Path(folder, name) for name in sorted(files))
