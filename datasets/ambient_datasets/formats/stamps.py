"""The stamps [s] that a source gives its rows, against the rate that it is said to have.

``Request.stamps`` decides: "check" refuses rows that are not where the rate puts them, "ignore"
takes the rows as they come, "resample" takes for each time at the rate the row stamped nearest.
"""

import math
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.arrays import find_stored
from ambient_datasets.faults import fault
from ambient_datasets.guards.chunks import check_chunks

Seconds = NDArray[np.float64]

REPLAY_STAMPS = "data/timestamp"  # of a diffusion_policy store
DRIFT = 0.05  # the most that the median step may differ from the rate's
STRETCH = 4  # times as many rows as were recorded, at the most, are made of them
WAYS = (
    "converting with recipe.stamps=ignore takes rows as they come, with recipe.stamps=resample "
    "for each time at the rate the row stamped nearest"
)

AS_THEY_COME = "converting with recipe.stamps=ignore takes rows as they come"


def nearest_rows(
    path: Path, key: str, seconds: Seconds, rate: float, episode: int
) -> NDArray[np.int64]:
    """(M,) the row stamped nearest to each time first, first + 1 / rate, .. to the last stamp.

    Args:
        path, key, episode: for messages.
        seconds: (T,) stamps [s].
        rate: rows per second that come out [Hz].

    Raises:
        DataError: if the stamps do not rise, or are far fewer than the rate's.
    """
    since = seconds - seconds[0]
    if not np.isfinite(since).all() or (np.diff(since) <= 0).any():
        step = int(np.argmin(np.append(np.diff(since), 1.0) > 0))
        what = f"does not rise after step {step}, so no row can be chosen by it"
        raise fault(path, key, what, "Give recipe.stamps=ignore, or leave it out.", episode)
    if since[-1] * rate > STRETCH * len(since):
        what = f"{len(since)} rows in {since[-1]:g} s, far fewer than {rate:g} a second"
        raise fault(path, key, what, "Correct the rate, or leave that episode out.", episode)
    times = np.arange(int(since[-1] * rate + 1e-6) + 1) / rate
    after = np.clip(np.searchsorted(since, times), 1, max(len(since) - 1, 1))
    if len(since) == 1:
        return np.zeros(1, np.int64)
    earlier = times - since[after - 1] <= since[after] - times
    return np.where(earlier, after - 1, after).astype(np.int64)


def check_rate(
    path: Path, key: str, seconds: Seconds, ends: NDArray[np.int64], rate: float
) -> None:
    """Refuse a rate that the stamps of a whole source contradict.

    Args:
        path, key: for messages.
        seconds: (N,) stamps [s] of all rows.
        ends: (E,) exclusive ends of the episodes.
        rate: that was said [Hz].

    Raises:
        DataError: naming the rate of the stamps.
    """
    steps = np.diff(seconds)
    inside = np.ones(len(steps), bool)
    inside[ends[:-1] - 1] = False
    if inside.any():
        compare_rate(path, key, float(np.median(steps[inside])), rate)


def compare_rate(path: Path, key: str, step: float, rate: float, ways: str = WAYS) -> None:
    """Refuse a rate [Hz] that the median step [s] of the stamps contradicts; as ``check_rate``."""
    if abs(step * rate - 1) <= DRIFT:
        return
    seen = f"{1 / step:.4g} rows a second" if step > 0 else f"steps of {step:g} s"
    what = f"has {seen}, but the rate said is {rate:g} Hz"
    raise fault(path, key, what, f"Give the rate of the stamps as control_rate; {ways}.")


def read_stamps(group: zarr.Group, path: Path, ends: NDArray[np.int64]) -> Seconds | None:
    """(N,) stamps [s] as diffusion_policy's real robots write them; None where there are none."""
    if REPLAY_STAMPS not in group:
        return None
    stored = find_stored(group, path, REPLAY_STAMPS, ends)
    shape = stored.array.shape
    if stored.array.dtype.kind not in "fiu" or math.prod(shape) != shape[0]:
        return None  # of that name, but no stamps
    stored.check_length()
    check_chunks(stored)
    return stored.read(0, shape[0]).reshape(-1).astype(np.float64)
