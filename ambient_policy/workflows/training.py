"""Train one arm: ``python scripts/train.py experiment=maze arm=ambient seed=0``.

Continues from the run's last checkpoint if there is one. Several processes train one run together:
``torchrun --nproc-per-node 2 scripts/train.py experiment=maze``.
"""

import json
from contextlib import ExitStack
from pathlib import Path

import torch
from rich.console import Console

from ambient_policy.files import lock_folder, write_text
from ambient_policy.settings import RunSettings, to_json
from ambient_policy.tracking import Tracker
from ambient_policy.training import loop
from ambient_policy.training.distributed import World, join
from ambient_policy.training.loop import begin
from ambient_policy.workflows.folders import refuse_other
from ambient_policy.workflows.preparation import build, initial_policy
from ambient_policy.workflows.progress import describe, show


def claim(folder: Path, settings: RunSettings) -> None:
    """Write the run's settings, or refuse a folder that holds a run with other ones."""
    refuse_other(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "settings.json", json.dumps(to_json(settings), indent=1))


def work(settings: RunSettings, world: World) -> None:
    """Build and train; the first process of the world alone writes and tells."""
    folder, console = Path(settings.folder), Console(quiet=not world.leads)
    parts = build(settings)
    policy = initial_policy(parts)  # before the folder is claimed: refusals leave no trace
    held_out, checkpoints = parts.held_out_batch(), folder / "checkpoints"
    with ExitStack() as stack:
        if world.leads:
            claim(folder, settings)
            stack.enter_context(lock_folder(folder))
        describe(parts, console)
        state = begin(policy, settings, checkpoints)
        done, steps = state.step, settings.training.steps
        console.print(f"training {folder} from step {done} to {steps}")
        rows = loop.train(state, parts.batch_at, settings, checkpoints, held_out, world)
        tell = stack.enter_context(Tracker(folder, settings, done)).write if world.leads else None
        for row in show(rows, done, steps, console):
            if tell is not None:
                tell(row)


def train(settings: RunSettings) -> None:
    """Train one arm, alone or with the other processes of torchrun."""
    torch.set_num_threads(settings.training.threads)
    with join(settings.training) as world:
        work(settings, world)
