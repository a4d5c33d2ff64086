"""Rows of a LeRobotDataset that prove to be an episode's steps, in order and in time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ambient_datasets.faults import fault
from ambient_datasets.formats.stamps import WAYS
from ambient_datasets.guards.parquet import numbers, whole_numbers

TIME_TOLERANCE = 1e-4  # [s], lerobot's own
ROUNDING = 0.1  # the most that float32 may round a timestamp [rows]: beyond, it tells no rows apart
RESTORE = "Restore the file from a copy, or leave that episode out and write the data set again."


def check_rows(path: Path, file: pq.ParquetFile, rows: int) -> None:
    """Refuse a data file with another number of rows than its episodes have steps."""
    if file.metadata.num_rows != rows:
        raise fault(
            path,
            "rows",
            f"{file.metadata.num_rows} of them, but the episodes listed for this file have {rows} "
            "steps",
            "Restore the file or the list of episodes from a copy.",
        )


def read_stamps(path: Path, columns: Mapping[str, Any], number: int) -> NDArray[np.float64]:
    """(T,) stamps [s] of an episode, once its rows prove to be its steps in order."""
    length = len(columns["timestamp"])
    for key, due in (
        ("episode_index", np.full(length, number)),
        ("frame_index", np.arange(length)),
    ):
        row = whole_numbers(path, key, columns[key], number)
        if (row != due).any():
            step = int(np.argmax(row != due))
            raise fault(
                path, key, f"step {step} reads {row[step]}, {due[step]} is due", RESTORE, number
            )
    return numbers(path, "timestamp", columns["timestamp"], 1, number)[:, 0].astype(np.float64)


def check_times(path: Path, seconds: NDArray[np.float64], number: int, fps: float) -> None:
    """Refuse stamps that are not where the rate puts them, counted from the episode's first."""
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(seconds - seconds[0] - np.arange(len(seconds)) / fps)
        rounding = np.spacing(np.float32(np.abs(seconds).max()))
        tolerance = TIME_TOLERANCE + min(rounding, ROUNDING / fps)
    if (off <= tolerance).all():
        return
    step = int(np.argmax(np.where(np.isnan(off), np.inf, off)))
    raise fault(
        path,
        "timestamp",
        f"step {step} is the worst: it reads {seconds[step]:.6f} s, and {fps:g} fps puts it at "
        f"{seconds[0] + step / fps:.6f} s, more than {TIME_TOLERANCE:g} s away",
        f"Where the stamps are a clock's, {WAYS}; else correct fps or the timestamps.",
        number,
    )
