"""Runs on disk: their checkpoints, and whether a folder holds this very run."""

from pathlib import Path

from ambient_policy.errors import SettingsError
from ambient_policy.settings import (
    from_json,
)
from ambient_policy.training.checkpoint import (
    declared_step,
    folder_of,
    load_settings,
    steps_saved,
)


def checkpoint_of(run: Path, step: int | None = None) -> Path:
    """The folder of a run's checkpoint at a step (default: its last)."""
    saved = steps_saved(run / "checkpoints")
    if not saved or (step is not None and step not in saved):
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        remedy = f"Name one of {saved}" if saved else "Train it first: scripts/train.py"
        raise SettingsError(f"{run} has {wanted}. {remedy}.")
    return folder_of(run / "checkpoints", saved[-1] if step is None else step)


def declared_checkpoint(run: Path) -> Path:
    """The run's checkpoint that was declared before training (training.declared)."""
    settings = from_json(load_settings(checkpoint_of(run)))
    return checkpoint_of(run, declared_step(run / "checkpoints", settings))
