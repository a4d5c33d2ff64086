"""What a person sees of a training: its sources, how far it is, how fast it went."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ambient_policy.training.stopwatch import summary
from assemble import Parts

Row = dict[str, Any]


def describe(parts: Parts, console: Console) -> None:
    """One line per source: what it contributes."""
    for row in parts.mixture.describe():
        trust = parts.settings.sources[row.name].trust
        held_out = f" ({row.held_out} held out)" if row.held_out else ""
        console.print(
            f"{row.name}: {row.episodes} episodes{held_out}, {row.windows} windows, "
            f"{row.hours:.2f} h, weight {row.probability:.1%}, "
            f"{trust.value if trust else 'annotated'}"
        )


def show(rows: Iterable[Row], done: int, steps: int, console: Console) -> Iterator[Row]:
    """Pass the rows of a log on, under a bar; then say how fast it went.

    Args:
        rows: of the training.
        done: steps before the first row.
        steps: of the whole training.
        console: where to.
    """
    laps = []
    with Progress(console=console) as bar:
        task = bar.add_task("training", total=steps, completed=done)
        for row in rows:
            laps.append(row)
            bar.update(task, completed=row["step"], description=_losses(row))
            yield row
    if laps:
        console.print(summary(laps))


def _losses(row: Row) -> str:
    held_out = row.get("validation/loss")
    return f"loss {row['loss']:.5f}" + ("" if held_out is None else f", held out {held_out:.5f}")
