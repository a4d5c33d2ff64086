"""Checkpoints without pickle: safetensors and JSON in one folder, complete or absent.

    step-0001000/
        weights.safetensors  average.safetensors  optimizer.safetensors  state.json

A checkpoint is written under a hidden name, flushed to disk and renamed; one that is given up is
renamed to a hidden name before it is deleted. A kill or a full disk at any moment thus leaves only
whole checkpoints in sight, and the former ones as they were. Which one is best stands in them (the
held-out loss is part of a checkpoint), so that no pointer can be at odds with what is there.
"""

import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ambient_policy.errors import CheckpointError
from ambient_policy.policy import Policy, PolicySpec
from ambient_policy.settings import Declared, RunSettings
from ambient_policy.spec import differences

FORMAT = 3  # 1: before observations were named parts; 2: before embodiments


@dataclass
class TrainingState:
    """What one step of training changes.

    Attributes:
        policy: the weights being trained.
        average: their moving average; this is what evaluation uses.
        optimizer: AdamW over ``policy``.
        step: optimiser steps done.
    """

    policy: Policy
    average: Policy
    optimizer: torch.optim.AdamW
    step: int = 0


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's moments under "<parameter number>/<name>"."""
    state = optimizer.state_dict()["state"]
    return {f"{i}/{name}": value for i, slots in state.items() for name, value in slots.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    record = optimizer.state_dict()
    for key, value in tensors.items():
        number, name = key.split("/")
        record["state"].setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(record)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(
    folder: Path, state: TrainingState, settings: dict[str, Any], held_out_loss: float | None
) -> None:
    save_file(state.policy.state_dict(), folder / "weights.safetensors")
    save_file(state.average.state_dict(), folder / "average.safetensors")
    save_file(_optimizer_tensors(state.optimizer), folder / "optimizer.safetensors")
    record = {
        "format": FORMAT,
        "step": state.step,
        "held_out_loss": held_out_loss,
        "policy": state.policy.spec.to_json(),
        "settings": settings,
    }
    (folder / "state.json").write_text(json.dumps(record, indent=1))
    for file in folder.iterdir():
        _sync(file)


def _discard(folder: Path) -> None:
    """Delete a checkpoint; it is out of sight before the first of its files goes."""
    hidden = folder.with_name(f".{folder.name}.discarded")
    shutil.rmtree(hidden, ignore_errors=True)
    folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what a kill left half-written or half-deleted."""
    for left in root.glob(".step-*"):
        shutil.rmtree(left, ignore_errors=True)


def save(
    root: Path,
    state: TrainingState,
    settings: dict[str, Any],
    held_out_loss: float | None = None,
) -> Path:
    """Write root/step-NNNNNNN, whole or not at all, and return it.

    Args:
        root: folder of the run's checkpoints.
        state: what is kept.
        settings: of the run, as JSON.
        held_out_loss: of the averaged weights at this step, if measured.

    Raises:
        CheckpointError: when the disk refuses; what was there before is untouched.
    """
    target = folder_of(root, state.step)
    temporary = root / f".{target.name}.partial"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        temporary.mkdir()
        _write(temporary, state, settings, held_out_loss)
        _sync(temporary)
        if target.exists():
            _discard(target)
        temporary.rename(target)
        _sync(root)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"checkpoint {target} could not be written: {error}. Earlier checkpoints in {root} are "
            "untouched; free disk space there and start again: the run resumes from the last one."
        ) from error
    return target


def folder_of(root: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return root / f"step-{step:07d}"


def steps_saved(root: Path) -> list[int]:
    """Steps of the complete checkpoints under root, rising."""
    return sorted(int(folder.name[5:]) for folder in root.glob("step-[0-9]*"))


def best_step(root: Path) -> int | None:
    """The step of the lowest held-out loss among the checkpoints; None if none was measured."""
    losses = {
        step: _read_state(folder_of(root, step)).get("held_out_loss") for step in steps_saved(root)
    }
    measured = {s: loss for s, loss in losses.items() if loss is not None and math.isfinite(loss)}
    return min(measured, key=lambda step: measured[step], default=None)


def prune(root: Path, keep_last: int | None) -> None:
    """Delete all checkpoints but the latest ``keep_last`` (None: all stay) and the best one."""
    saved = steps_saved(root)
    kept = {best_step(root), *saved[-keep_last:]} if keep_last is not None else set(saved)
    for step in saved:
        if step not in kept:
            _discard(folder_of(root, step))


def declared_step(root: Path, settings: RunSettings) -> int:
    """The checkpoint that evaluation takes by default, as declared before training.

    Args:
        root: folder of the run's checkpoints.
        settings: of the run.

    Raises:
        CheckpointError: when the best one is declared and the training is not finished.
    """
    training, saved = settings.training, steps_saved(root)
    if training.declared is Declared.last:
        return training.steps
    best = best_step(root) if training.steps in saved else None
    if best is None:
        raise CheckpointError(
            f"{root} has no best checkpoint yet: it is chosen among those of the whole training, "
            f"and step {training.steps} is missing or was not validated (there: {saved or 'none'})."
            " Finish the training (scripts/train.py), or name a checkpoint=."
        )
    return best


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / "state.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} is not a checkpoint: state.json cannot be read ({error}). Name a folder "
            "step-NNNNNNN written by scripts/train.py."
        ) from error
    if record.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {record.get('format')}, and this version reads "
            f"{FORMAT}. Train anew, or use the version that wrote it."
        )
    return record


def _load_weights(policy: Policy, file: Path) -> None:
    try:
        policy.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{file} cannot be read as weights of this policy: {error}. Delete "
            f"{file.parent}: the run then goes on from the checkpoint before."
        ) from error


def load_policy(folder: Path) -> Policy:
    """The averaged policy of a checkpoint, in evaluation mode."""
    try:
        policy = Policy(PolicySpec.from_json(_read_state(folder)["policy"]))
    except (KeyError, ValidationError) as error:
        raise CheckpointError(
            f"{folder}/state.json describes no policy ({error}). Use an earlier checkpoint."
        ) from error
    _load_weights(policy, folder / "average.safetensors")
    return policy.eval()


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings a checkpoint was trained with, as JSON."""
    settings: dict[str, Any] = _read_state(folder)["settings"]
    return settings


def restore(folder: Path, state: TrainingState) -> None:
    """Fill a state made from the same settings with a checkpoint's contents, in place."""
    record = _read_state(folder)
    other = differences(state.policy.spec.to_json(), record["policy"])
    if other:
        raise CheckpointError(
            f"{folder} was trained with other values of {', '.join(other)} than this run has now "
            "(did its data change?). Restore the data, or give this run another label=."
        )
    _load_weights(state.policy, folder / "weights.safetensors")
    _load_weights(state.average, folder / "average.safetensors")
    try:
        _load_optimizer(state.optimizer, load_file(folder / "optimizer.safetensors"))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{folder}/optimizer.safetensors cannot be read: {error}. Delete this checkpoint: the "
            "run resumes from the one before."
        ) from error
    state.step = record["step"]
