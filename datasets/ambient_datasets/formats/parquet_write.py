"""Rows into parquet files ``chunk-000/file-000.parquet``, .. of at most a given size."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

CHUNK_FILES = 1000  # files in a folder
MEGABYTE = 1024**2
GROUP_ROWS, GROUP_BYTES = 1000, 64 * MEGABYTE  # of a row group, the unit that readers unpack


class RolledParquet:
    """A row of files, a new one begun before the size limit is passed.

    Rows that are added together come to lie in the same file, be it larger than the limit. Sizes
    are of the rows in memory: the files are compressed, so they are smaller.

    Args:
        folder: of the chunks.
        schema: of every table added.
        megabytes: limit of a file.
    """

    def __init__(self, folder: Path, schema: pa.Schema, megabytes: float) -> None:
        self._folder, self._schema, self._limit = folder, schema, megabytes * MEGABYTE
        self._number, self._bytes = 0, 0
        self._waiting: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._close()
        elif self._writer is not None:
            self._writer.close()

    @property
    def place(self) -> tuple[int, int]:
        """Chunk and number of the file that the last rows came to lie in."""
        return divmod(self._number, CHUNK_FILES)

    def make_room(self, size: int) -> None:
        """Begin a new file if so many bytes do not fit into this one."""
        if self._bytes and self._bytes + size > self._limit:
            self._close()
            self._number, self._bytes = self._number + 1, 0

    def add(self, table: pa.Table) -> None:
        """Add rows, written when there are enough for a row group."""
        self._waiting.append(table)
        self._bytes += table.nbytes
        rows, size = (sum(getattr(t, of) for t in self._waiting) for of in ("num_rows", "nbytes"))
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting = []
        if self._writer is None:
            chunk, file = self.place
            path = self._folder / f"chunk-{chunk:03d}" / f"file-{file:03d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                path, self._schema, compression="snappy", write_page_checksum=True
            )
        fitting = int(GROUP_BYTES * table.num_rows // max(table.nbytes, 1))
        self._writer.write_table(table, row_group_size=max(1, min(GROUP_ROWS, fitting)))

    def _close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
