"""Rows of a parquet file as checked numpy arrays, a stretch of rows at a time.

A row group that declares more unpacked bytes than ``MAX_GROUP`` is refused before it is unpacked.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ambient_datasets.faults import fault
from ambient_datasets.guards.files import refuse_pointer
from ambient_policy.errors import DataError
from ambient_policy.plain_files import is_file

MAX_GROUP = 1024**3  # [bytes]
BUFFER = 2**20  # of a column that are read at once; without it, all of a row group [bytes]
BATCH_ROWS, BATCH = 1024, 2**24  # at the most: rows, bytes of all columns
RESTORE = "Restore the file from a copy, or write the data set again."

# pyarrow imports pandas, where that is installed, when it first makes a numpy array: once here, and
# not in the child process of every reading
pa.array([0]).to_numpy(zero_copy_only=False)


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """A parquet file; whatever goes wrong while it is open is told as a fault of the file.

    Raises:
        DataError: if it is missing, truncated or corrupt.
    """
    if not is_file(path):
        raise DataError(f"{path}: there is no such file, and the metadata leads to it. {RESTORE}")
    refuse_pointer(path)
    try:
        with pq.ParquetFile(
            path, pre_buffer=False, buffer_size=BUFFER, page_checksum_verification=True
        ) as file:
            yield file
    except (DataError, MemoryError):
        raise
    except Exception as error:  # pyarrow raises whatever it likes
        raise DataError(
            f"{path}: truncated, corrupt or no parquet file ({type(error).__name__}: {error}). "
            f"{RESTORE}"
        ) from error


def batches(
    path: Path, file: pq.ParquetFile, columns: Sequence[str], first: int, stop: int
) -> Iterator[pa.RecordBatch]:
    """The rows from ``first`` to before ``stop`` of some columns, some at a time.

    Raises:
        DataError: if a column is missing or too large unpacked.
    """
    _check_columns(path, file, columns)
    groups, row = _groups(path, file, first, stop)
    rows = _batch_rows(file, groups)
    for batch in file.iter_batches(rows, groups, list(columns), use_threads=False):
        begin, end = max(first - row, 0), min(stop - row, len(batch))
        row += len(batch)
        if begin < end:
            yield batch.slice(begin, end - begin)
        if row >= stop:
            return


def read_columns(
    path: Path, file: pq.ParquetFile, columns: Sequence[str], first: int, stop: int
) -> dict[str, pa.Array]:
    """The rows from ``first`` to before ``stop``, by the name of the column."""
    parts = list(batches(path, file, columns, first, stop))
    if sum(map(len, parts)) != stop - first:
        raise fault(
            path,
            ", ".join(columns),
            f"{sum(map(len, parts))} rows found where {stop - first} were declared",
            RESTORE,
        )
    return {name: pa.concat_arrays([part.column(name) for part in parts]) for name in columns}


def numbers(
    path: Path, key: str, column: pa.Array, width: int, episode: int | None = None
) -> NDArray[Any]:
    """A column of numbers, or of (nested) lists of them, as (rows, width).

    Raises:
        DataError: for anything else, a missing value, or rows of another width.
    """
    rows, values = len(column), column
    while True:
        values = values.storage if isinstance(values, pa.ExtensionArray) else values
        if values.null_count:
            raise fault(
                path, key, f"{values.null_count} values are missing (null)", RESTORE, episode
            )
        if not _is_list(values.type):
            break
        lengths = set(pc.unique(pc.list_value_length(values)).to_pylist())
        if len(lengths) > 1:
            raise fault(
                path, key, f"rows of different lengths: {sorted(lengths)[:8]}", RESTORE, episode
            )
        values = values.flatten()
    if not _is_number(values.type) or len(values) != rows * width:
        raise fault(
            path,
            key,
            f"{len(values)} values of type {values.type} in {rows} rows given, {width} numbers in "
            "each row needed",
            f"{RESTORE} (Its info.json and its data must agree.)",
            episode,
        )
    table: NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(rows, width)
    return table


def whole_numbers(
    path: Path, key: str, column: pa.Array, episode: int | None = None
) -> NDArray[np.int64]:
    """A column of whole numbers, (rows,) int64; errors as of ``numbers``."""
    values = numbers(path, key, column, 1, episode)[:, 0]
    if values.dtype.kind not in "iu":
        raise fault(path, key, f"type {values.dtype} given, whole numbers needed", RESTORE, episode)
    return values.astype(np.int64)


def count_rows(path: Path, file: pq.ParquetFile, columns: Sequence[str]) -> int:
    """Rows of a file whose columns may be read whole."""
    _check_columns(path, file, columns)
    rows: int = file.metadata.num_rows
    _groups(path, file, 0, rows)
    return rows


def _check_columns(path: Path, file: pq.ParquetFile, columns: Sequence[str]) -> None:
    names = file.schema_arrow.names
    missing = [name for name in columns if names.count(name) != 1]
    if missing:
        raise fault(
            path,
            ", ".join(missing),
            f"no such column, or several; there are {', '.join(names)[:500]}",
            RESTORE,
        )


def _groups(path: Path, file: pq.ParquetFile, first: int, stop: int) -> tuple[list[int], int]:
    """The row groups that hold those rows, and the first row of the first of them."""
    groups: list[int] = []
    begin = row = 0
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        if row < stop and row + group.num_rows > first:
            begin = begin if groups else row
            groups.append(index)
            _check_size(path, index, group)
        row += group.num_rows
    return groups, begin


def _batch_rows(file: pq.ParquetFile, groups: Sequence[int]) -> int:
    """So many that rows of pictures are read a few at a time."""
    sizes = [file.metadata.row_group(index) for index in groups]
    row = max((group.total_byte_size // max(group.num_rows, 1) for group in sizes), default=0)
    return min(BATCH_ROWS, max(BATCH // max(row, 1), 1))


def _check_size(path: Path, index: int, group: pq.RowGroupMetaData) -> None:
    """By the size of all columns: asking for one column of damaged metadata ends the interpreter.

    (pyarrow 26 throws through a call that is declared not to throw.)
    """
    if not 0 <= group.total_byte_size <= MAX_GROUP or group.num_rows < 0:
        raise fault(
            path,
            f"row group {index}",
            f"declares {group.total_byte_size} bytes unpacked; at most {MAX_GROUP} are read",
            "Write the file in smaller row groups.",
        )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )
