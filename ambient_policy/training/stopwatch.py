"""A stopwatch: how a training spends its time."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median


class Stopwatch:
    """Sum up the seconds of the host's clock by name since the last lap."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._begun = time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the duration of the block to a name."""
        begun = time.perf_counter()
        yield
        self._spent[name] += time.perf_counter() - begun

    def lap(self, samples: int) -> dict[str, float]:
        """Return samples per second and each name's share of the time, and start a new lap."""
        elapsed = time.perf_counter() - self._begun
        shares = {f"{name}_share": seconds / elapsed for name, seconds in self._spent.items()}
        self._begin()
        return {"samples_per_second": samples / elapsed, **shares}


def summary(rows: Sequence[Mapping[str, float]]) -> str:
    """Write the medians of one or more laps in one line."""
    speed, data, step = (
        median(row[key] for row in rows)
        for key in ("samples_per_second", "data_share", "step_share")
    )
    return f"{speed:,.0f} samples/s; {data:.1%} of the time in data, {step:.1%} in steps"
