"""How fast everything is on this machine: ``ambient-policy benchmark device=cpu threads=1``.

``what=speed``: draws, batches, training, chunks of every solver and rollouts. ``what=mixture``: how
long a mixture of very many episodes in many stores takes to open, and its draws. ``what=memory``:
the memory of a conversion and of a training, on stores of several sizes. ``what=conversion``: a
conversion by one worker and by two. The table shows medians of repeats with the lowest and the
highest value; the data are synthetic.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ambient_policy.errors import SettingsError
from ambient_policy.files import to_json, write_text
from ambient_policy.terminal import Screen, print_table
from ambient_policy.training.loop import check_device
from ambient_policy.workflows.benchmark.measurement import Measurement, describe_machine
from ambient_policy.workflows.benchmark.size import (
    measure_conversion,
    measure_memory,
    measure_mixture,
)
from ambient_policy.workflows.benchmark.speed import measure_all
from ambient_policy.workflows.benchmark.synthetic import make_parts


class What(Enum):
    """The things that the benchmark measures."""

    speed = "speed"
    mixture = "mixture"
    memory = "memory"
    conversion = "conversion"


@dataclass
class BenchmarkSettings:
    """What to measure, where, how often, and at which size."""

    what: What = What.speed
    # cpu, cuda, cuda:1 ...
    device: str = "cpu"
    # torch's threads
    threads: int = 1
    # number of repeats of each measurement
    repeats: int = 9
    # for what=speed: settings of train on top of experiment=maze, e.g. network=medium
    overrides: list[str] = field(default_factory=list)
    # for what=mixture: number of stores, and of episodes in each
    stores: int = 1000
    episodes: int = 2400
    # for what=memory: sizes of the source [GB]; the disk holds up to twice as much. what=conversion
    # takes the last one
    gigabytes: list[float] = field(default_factory=lambda: [0.25, 1.0])
    # for what=memory: steps of the training
    steps: int = 300
    # folder of the synthetic data while the benchmark runs; null = the system's temporary folder
    folder: str | None = None
    # JSON file with all repeats; null = none
    out: str | None = None

    def __post_init__(self) -> None:
        for name in ("threads", "repeats", "stores", "episodes", "steps"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)} must be at least 1.")
        if self.what is not What.speed and self.device != "cpu":
            raise SettingsError(
                f"device = {self.device}: what={self.what.value} runs on the CPU; set device=cpu."
            )
        if self.what is not What.speed and self.overrides:
            raise SettingsError("overrides are for what=speed; leave them out.")
        if not self.gigabytes or min(self.gigabytes) <= 0:
            raise SettingsError(f"gigabytes = {self.gigabytes}: give positive sizes, at least one.")
        if self.folder is not None and not Path(self.folder).is_dir():
            raise SettingsError(f"folder = {self.folder}: no such folder; make it first.")


@contextmanager
def caches_in(folder: Path) -> Iterator[None]:
    """Keep the unpacked synthetic data out of the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


def measure(settings: BenchmarkSettings, folder: Path) -> Iterator[Measurement]:
    """Measure everything that the settings name; yield each row as it is ready."""
    repeats = settings.repeats
    if settings.what is What.mixture:
        return measure_mixture(settings.stores, settings.episodes, folder, repeats)
    if settings.what is What.memory:
        return measure_memory(settings.gigabytes, settings.steps, folder, repeats)
    if settings.what is What.conversion:
        return measure_conversion(settings.gigabytes[-1], folder, repeats)
    here = [f"training.device={settings.device}", f"training.threads={settings.threads}"]
    return measure_all(make_parts(folder, [*settings.overrides, *here]), folder, repeats)


def benchmark(settings: BenchmarkSettings) -> None:
    """Measure how fast everything is on this machine."""
    check_device(settings.device)
    torch.set_num_threads(settings.threads)
    machine = describe_machine(torch.device(settings.device))
    with TemporaryDirectory(dir=settings.folder) as folder, caches_in(Path(folder) / "cache"):
        rows = list(measure(settings, Path(folder)))
    console, header = Screen(), ["what", "unit", "median", "lowest", "highest"]
    print_table(console, header, [row.cells for row in rows])
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()))
    if settings.out is not None:
        choices = {**asdict(settings), "what": settings.what.value}
        record = {"machine": machine, "settings": choices, "rows": list(map(asdict, rows))}
        write_text(Path(settings.out), to_json(record, indent=1) + "\n")
