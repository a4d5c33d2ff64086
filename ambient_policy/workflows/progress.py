"""What a person sees of a training: its sources, how far it is, how fast it went."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from ambient_policy.training.stopwatch import summary
from ambient_policy.workflows.contributions import contributions
from ambient_policy.workflows.preparation import Parts

Row = dict[str, Any]


def describe(parts: Parts, console: Console) -> None:
    """One line per source: what it contributes."""
    for row in contributions(parts.mixture, parts.sampler, parts.settings.sources).rows:
        held_out = f" (+{row.held_out} held out)" if row.held_out else ""
        console.print(
            f"{row.name}: {row.episodes} episodes{held_out}, {row.windows} windows, "
            f"{row.hours:.2f} h, weight {row.probability:.1%}, {row.share:.1%} of draws, "
            f"{row.trust}"
        )
    for remark in remarks(parts):
        console.print(f"note: {remark}", highlight=False)


def remarks(parts: Parts) -> Iterator[str]:
    """What is allowed, and perhaps not what was meant."""
    mixture, sampler = parts.mixture, parts.sampler
    if mixture.held_out.any() and parts.settings.training.validation.every is None:
        yield (
            f"{mixture.held_out.sum()} episodes are held out and nothing looks at them: "
            "training.validation.every is null."
        )
    highest = sampler.law.sigma_hi
    out_of_reach = np.isfinite(mixture.sigma_min) & (sampler.admission.threshold >= highest)
    for source in np.unique(mixture.source_of_episode[out_of_reach]):
        count = (mixture.source_of_episode[out_of_reach] == source).sum()
        yield (
            f"{count} episodes of {mixture.names[source]} are annotated with a sigma_min that no "
            f"level of training exceeds (the highest is {highest:g}): they teach nothing above it."
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
