"""How fast everything is on this machine: ``python scripts/benchmark.py device=cpu threads=1``.

``what=speed``: draws, batches, training, chunks of every solver and rollouts. ``what=mixture``:
opening and drawing from very many episodes in many stores. ``what=memory``: the most that a
conversion and a training hold in memory, on stores of several sizes. ``what=conversion``: by one
worker and by two. Medians of repeated measurements with the lowest and the highest; the data are
made up.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.table import Table

from ambient_policy.errors import SettingsError
from ambient_policy.files import to_json, write_text
from ambient_policy.training.loop import check_device
from ambient_policy.workflows.benchmark.invention import invent_parts
from ambient_policy.workflows.benchmark.size import (
    measure_conversion,
    measure_memory,
    measure_mixture,
)
from ambient_policy.workflows.benchmark.speed import Measured, describe_machine, measure_all


class What(Enum):
    """What is measured."""

    speed = "speed"
    mixture = "mixture"
    memory = "memory"
    conversion = "conversion"


@dataclass
class BenchmarkSettings:
    """What, where, how often, and of which size."""

    what: What = What.speed
    # cpu, cuda, cuda:1 ...
    device: str = "cpu"
    # torch's threads
    threads: int = 1
    # times that each thing is measured
    repeats: int = 9
    # of scripts/train.py on top of experiment=maze, e.g. network=medium; for what=speed
    overrides: list[str] = field(default_factory=list)
    # of the mixture: stores, and episodes in each
    stores: int = 1000
    episodes: int = 2400
    # for memory: sizes of the source [GB]; at its largest, twice as much lies on the disk. The last
    # one is for conversion
    gigabytes: list[float] = field(default_factory=lambda: [0.25, 1.0])
    # for memory: steps of the training
    steps: int = 300
    # where the made-up data lie while they are needed; null = the system's temporary folder
    folder: str | None = None
    # JSON file with all repeats; null = none
    out: str | None = None

    def __post_init__(self) -> None:
        for name in ("threads", "repeats", "stores", "episodes", "steps"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)} must be at least 1.")
        if self.what is not What.speed and self.device != "cpu":
            raise SettingsError(f"device = {self.device}: what={self.what.value} is of the CPU.")
        if self.what is not What.speed and self.overrides:
            raise SettingsError("overrides are for what=speed; leave them out.")
        if not self.gigabytes or min(self.gigabytes) <= 0:
            raise SettingsError(f"gigabytes = {self.gigabytes}: give positive sizes, at least one.")
        if self.folder is not None and not Path(self.folder).is_dir():
            raise SettingsError(f"folder = {self.folder}: there is no such folder; make it first.")


@contextmanager
def caches_in(folder: Path) -> Iterator[None]:
    """Keep what is unpacked from made-up data out of the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


def measure(settings: BenchmarkSettings, folder: Path) -> Iterator[Measured]:
    """Every row, as it is measured."""
    repeats = settings.repeats
    if settings.what is What.mixture:
        return measure_mixture(settings.stores, settings.episodes, folder, repeats)
    if settings.what is What.memory:
        return measure_memory(settings.gigabytes, settings.steps, folder, repeats)
    if settings.what is What.conversion:
        return measure_conversion(settings.gigabytes[-1], folder, repeats)
    here = [f"training.device={settings.device}", f"training.threads={settings.threads}"]
    return measure_all(invent_parts(folder, [*settings.overrides, *here]), folder, repeats)


def benchmark(settings: BenchmarkSettings) -> None:
    """Measure, print, write."""
    check_device(settings.device)
    torch.set_num_threads(settings.threads)
    machine = describe_machine(torch.device(settings.device))
    with TemporaryDirectory(dir=settings.folder) as folder, caches_in(Path(folder) / "cache"):
        rows = list(measure(settings, Path(folder)))
    table, console = Table("what", "unit", "median", "lowest", "highest"), Console()
    for row in rows:
        table.add_row(*row.written)
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), highlight=False)
    if settings.out is not None:
        asked = {**asdict(settings), "what": settings.what.value}
        record = {"machine": machine, "settings": asked, "rows": list(map(asdict, rows))}
        write_text(Path(settings.out), to_json(record, indent=1) + "\n")
