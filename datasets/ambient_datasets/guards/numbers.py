"""Numbers of any type as float32, or the first that float32 cannot hold."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.faults import fault

MAX_EXACT = 2**24  # up to here float32 holds every whole number
REMEDY = "Correct the file, take other columns, or leave that episode out."


def to_float32(
    path: Path, key: str, values: NDArray[Any], episode: int | None = None
) -> NDArray[np.float32]:
    """(T,D) numbers: floats rounded, whole numbers (and yes or no) exactly.

    Args:
        path, key, episode: for messages.
        values: (T,D) of any type of number.

    Raises:
        DataError: for the first that is not finite as float32, or whole and beyond ``MAX_EXACT``.
    """
    with np.errstate(over="ignore"):
        table: NDArray[np.float32] = values.astype(np.float32)
    good = np.isfinite(table)
    if values.dtype.kind in "iu":
        good = (values >= -MAX_EXACT) & (values <= MAX_EXACT)
    if not good.all():
        step, column = (int(i) for i in np.unravel_index(int(np.argmin(good)), good.shape))
        raise fault(
            path,
            key,
            f"step {step}, column {column} is {values[step, column]}; finite numbers within "
            f"float32 are needed, whole ones up to {MAX_EXACT}",
            REMEDY,
            episode,
        )
    return table
