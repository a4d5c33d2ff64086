"""Train one arm: ``python scripts/train.py experiment=maze arm=ambient seed=0``.

Continues from the run's last checkpoint if there is one.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from ambient_policy.files import held_alone, write_text
from ambient_policy.settings import RunSettings, to_json
from ambient_policy.tracking import Tracker
from ambient_policy.training.loop import begin, train
from assemble import Parts, build, initial_policy, refuse_other
from compose import compose, run


def claim(folder: Path, settings: RunSettings) -> None:
    """Write the run's settings, or refuse a folder that holds a run with other ones."""
    refuse_other(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "settings.json", json.dumps(to_json(settings), indent=1))


def describe(parts: Parts, console: Console) -> None:
    """One line per source: what it contributes."""
    for row in parts.mixture.describe():
        trust = parts.settings.sources[row.name].trust
        console.print(
            f"{row.name}: {row.episodes} episodes, {row.windows} windows, {row.hours:.2f} h, "
            f"weight {row.probability:.1%}, {trust.value if trust else 'annotated'}"
        )


def main(overrides: Sequence[str]) -> None:
    """Compose, build, train."""
    settings: RunSettings = compose("train", overrides)
    torch.set_num_threads(settings.training.threads)
    folder, console = Path(settings.folder), Console()
    parts = build(settings)
    policy = initial_policy(parts)  # before the folder is claimed: refusals leave no trace
    claim(folder, settings)
    describe(parts, console)
    state = begin(policy, settings, folder / "checkpoints")
    console.print(f"training {folder} from step {state.step} to {settings.training.steps}")
    with (
        held_alone(folder),
        Tracker(folder, settings, state.step) as tracker,
        Progress(console=console) as bar,
    ):
        task = bar.add_task("training", total=settings.training.steps, completed=state.step)
        for row in train(state, parts.batch_at, settings, folder / "checkpoints"):
            tracker.write(row)
            bar.update(task, completed=row["step"], description=f"loss {row['loss']:.5f}")


if __name__ == "__main__":
    run(main)
