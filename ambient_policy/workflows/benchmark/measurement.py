"""A measurement of the benchmark: repeated values, how to time them, and the machine."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Measurement:
    """One row of the benchmark: what it measures, the unit, and a value for each repeat."""

    what: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """The median of the repeats."""
        return float(np.median(self.values))

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return min(self.values), max(self.values)

    @property
    def cells(self) -> list[str]:
        """The cells of a table's row: what, unit, median, lowest, highest."""
        numbers = (self.median, *self.spread)
        return [self.what, self.unit, *(f"{n:,.0f}" if n >= 1000 else f"{n:.3g}" for n in numbers)]


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Describe what the numbers depend on besides the code."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cuda = device.type == "cuda"
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if cuda else str(device),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time the work until the device has done it [s]."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def rates(
    work: Callable[[], object], amount: int, repeats: int, device: torch.device
) -> list[float]:
    """Return the amount per second of each repeat; a first time does not count."""
    seconds(work, device)
    return [amount / seconds(work, device) for _ in range(repeats)]
