"""How fast everything is on this machine: ``python scripts/benchmark.py device=cpu threads=1``.

Draws, batches, training, chunks of every solver and rollouts, measured in one run; medians of
repeated measurements with the lowest and the highest.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.table import Table

from ambient_policy.errors import SettingsError
from ambient_policy.files import to_json, write_text
from ambient_policy.training.loop import check_device
from compose import compose, register, run
from inventing import invent_parts
from measuring import describe_machine, measure_all


@dataclass
class BenchmarkSettings:
    """Where, how often, and what differs from experiment=maze."""

    # cpu, cuda, cuda:1 ...
    device: str = "cpu"
    # torch's threads
    threads: int = 1
    # times that each thing is measured
    repeats: int = 9
    # of scripts/train.py, e.g. network=medium or training.compile=true
    overrides: list[str] = field(default_factory=list)
    # JSON file with all repeats; null = none
    out: str | None = None

    def __post_init__(self) -> None:
        for name in ("threads", "repeats"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)} must be at least 1.")


register("benchmark_settings", BenchmarkSettings)


def main(overrides: Sequence[str]) -> None:
    """Compose, measure, print, write."""
    settings: BenchmarkSettings = compose("benchmark", overrides)
    check_device(settings.device)
    torch.set_num_threads(settings.threads)
    machine = describe_machine(torch.device(settings.device))
    here = [f"training.device={settings.device}", f"training.threads={settings.threads}"]
    with TemporaryDirectory() as folder:
        parts = invent_parts(Path(folder), [*settings.overrides, *here])
        rows = list(measure_all(parts, Path(folder), settings.repeats))
    table, console = Table("what", "unit", "median", "lowest", "highest"), Console()
    for row in rows:
        table.add_row(*row.written)
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), highlight=False)
    if settings.out is not None:
        record = {"machine": machine, "settings": asdict(settings), "rows": list(map(asdict, rows))}
        write_text(Path(settings.out), to_json(record, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
