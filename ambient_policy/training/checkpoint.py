"""Checkpoints: a policy folder that a training can go on from, complete or absent.

    step-0001000/
        config.json  model.safetensors  weights.safetensors  optimizer.safetensors

A checkpoint is written under a hidden name, flushed to disk and renamed; one that is given up is
renamed to a hidden name before it is deleted. A kill or a full disk at any moment thus leaves only
whole checkpoints in sight, and the former ones as they were.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ambient_policy import seeding
from ambient_policy.errors import CheckpointError
from ambient_policy.policy import Policy
from ambient_policy.policy_folder import (
    MODEL,
    OPTIMIZER,
    WEIGHTS,
    read_config,
    read_tensors,
    write_folder,
)
from ambient_policy.saved import (
    HELD_OUT_LOSS,
    SavedPolicy,
    best_step,
    folder_of,
    load_weights,
    steps_saved,
)
from ambient_policy.settings import RunSettings
from ambient_policy.spec import PolicySpec, differences

RANDOMNESS = "randomness"  # seeding.VERSION, absent where it was 1


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


def save(
    root: Path, state: TrainingState, settings: RunSettings, held_out_loss: float | None = None
) -> Path:
    """Write root/step-NNNNNNN, whole or not at all, and return it.

    Args:
        root: folder of the run's checkpoints.
        state: of the training.
        settings: of the run.
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
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"checkpoint {target} could not be written: {error}. Earlier checkpoints in {root} are "
            "untouched; free disk space there and start again: the run resumes from the last one."
        ) from error
    return target


def _write(
    folder: Path, state: TrainingState, settings: RunSettings, held_out_loss: float | None
) -> None:
    described = SavedPolicy(state.average, settings, state.step).to_json()
    files = {
        MODEL: state.average.state_dict(),
        WEIGHTS: state.policy.state_dict(),
        OPTIMIZER: _optimizer_tensors(state.optimizer),
    }
    record = {HELD_OUT_LOSS: held_out_loss, RANDOMNESS: seeding.VERSION, **described}
    write_folder(folder, record, files)
    for file in folder.iterdir():
        _sync(file)


def restore(folder: Path, state: TrainingState) -> None:
    """Fill a state made from the same settings with a checkpoint's contents, in place.

    Raises:
        CheckpointError: if a file is damaged, or the checkpoint is of another policy.
    """
    config = read_config(folder)
    before = PolicySpec.from_json(config["policy"]).to_json()  # settings it lacks have defaults
    other = differences(state.policy.spec.to_json(), before)
    if other:
        raise CheckpointError(
            f"{folder} was trained with other values of {', '.join(other)} than this run has now "
            "(did its data change?). Restore the data, or give this run another label=."
        )
    _check_randomness(folder, config.get(RANDOMNESS, 1))
    load_weights(state.policy, folder, config, WEIGHTS)
    load_weights(state.average, folder, config, MODEL)
    moments = read_tensors(folder, config, OPTIMIZER)
    try:
        _load_optimizer(state.optimizer, moments)
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"{folder / OPTIMIZER}: these are not the moments of this policy's weights: {error}. "
            "Delete this checkpoint: the run resumes from the one before."
        ) from error
    state.step = config["step"]


def _check_randomness(folder: Path, version: int) -> None:
    if version != seeding.VERSION:
        raise CheckpointError(
            f"{folder} was trained with random numbers of version {version}, and here they are of "
            f"version {seeding.VERSION}: other episodes would be held out and other noise be kept, "
            "so the run would equal no unbroken one. Finish it with the version of ambient-policy "
            f"that began it, or begin another one: label=..., perhaps with start_from={folder}."
        )


def prune(root: Path, keep_last: int | None) -> None:
    """Delete all checkpoints but the latest ``keep_last`` (None: all stay) and the best one.

    What a kill left half-written or half-deleted goes too.
    """
    _sweep(root)
    if keep_last is None:
        return
    steps = steps_saved(root)
    for step in set(steps) - {best_step(root), *steps[-keep_last:]}:
        _discard(folder_of(root, step))


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
