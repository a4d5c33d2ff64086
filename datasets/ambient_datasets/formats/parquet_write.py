"""Rows into parquet files of at most a given size."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ambient_datasets.formats.sequence import MEGABYTE, FileSequence

GROUP_ROWS, GROUP_BYTES = 1000, 64 * MEGABYTE  # of a row group, the unit that readers unpack


class ParquetSequence(FileSequence):
    """Parquet files, a new one begun before the size limit is passed.

    Rows that are added together come to lie in the same file, be it larger than the limit. Sizes
    are of the rows in memory: the files are compressed, so they are smaller.

    Args:
        folder: of the chunks.
        schema: of every table added.
        megabytes: limit of a file.
    """

    def __init__(self, folder: Path, schema: pa.Schema, megabytes: float) -> None:
        super().__init__(folder, ".parquet", megabytes)
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None

    def add(self, table: pa.Table) -> None:
        """Add rows, written when there are enough for a row group."""
        self._waiting.append(table)
        self.size += table.nbytes
        rows, size = (sum(getattr(t, of) for t in self._waiting) for of in ("num_rows", "nbytes"))
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting = []
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self.path(), self._schema, compression="snappy", write_page_checksum=True
            )
        fitting = int(GROUP_BYTES * table.num_rows // max(table.nbytes, 1))
        self._writer.write_table(table, row_group_size=max(1, min(GROUP_ROWS, fitting)))

    def close(self) -> None:
        """Write what waits, and finish the file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
