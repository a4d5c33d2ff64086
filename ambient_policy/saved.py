"""Policies on disk: the checkpoints of a run, and the one way to load a policy from anywhere.

    <run>/settings.json                       what the run is
    <run>/checkpoints/step-0001000/           a policy folder (``policy_folder``)

Which checkpoint is best stands in them (the held-out loss is a part of each), so that no pointer
can be at odds with what is there.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ambient_policy.errors import AmbientPolicyError, CheckpointError, SettingsError
from ambient_policy.files import create_path
from ambient_policy.policy import Policy
from ambient_policy.policy_folder import (
    CARD,
    CONFIG,
    MODEL,
    STATE_0_1,
    Record,
    check_shapes,
    fault,
    read_config,
    read_tensors,
    write_folder,
    written_by_0_1,
)
from ambient_policy.settings import Declared, RunSettings, from_json, to_json
from ambient_policy.spec import PolicySpec

CHECKPOINTS = "checkpoints"
HELD_OUT_LOSS = "held_out_loss"
# what a description that somebody made up ends in
UNUSABLE = (
    AmbientPolicyError,
    ArithmeticError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class SavedPolicy:
    """What a policy folder holds.

    Attributes:
        policy: the averaged weights, in evaluation mode.
        settings: of the run that trained it.
        step: optimiser steps after which these weights stood.
    """

    policy: Policy
    settings: RunSettings
    step: int

    def to_json(self) -> Record:
        """Its entries of config.json."""
        return {
            "step": self.step,
            "policy": self.policy.spec.to_json(),
            "settings": to_json(self.settings),
        }


def load_policy(path: str | Path, checkpoint: int | None = None) -> Policy:
    """The averaged policy of a run, a checkpoint or an exported folder, on the CPU.

    Args:
        path: of the folder.
        checkpoint: its step; None for the one a run declared before training, or the only one.

    Raises:
        AmbientPolicyError: naming what was looked for, or the file that cannot be used.
    """
    return open_policy(path, checkpoint).policy


def open_policy(path: str | Path, checkpoint: int | None = None) -> SavedPolicy:
    """As ``load_policy``, with the settings and the step."""
    folder = find_policy(Path(path), checkpoint)
    config = read_config(folder)
    with torch.device("meta"):  # takes no memory: a description may ask for a network of any size
        shapes = _shapes(_described(folder / CONFIG, config).policy)
    check_shapes(folder, MODEL, shapes)
    saved = _described(folder / CONFIG, config)
    if checkpoint not in (None, saved.step):
        raise SettingsError(
            f"checkpoint = {checkpoint}, but {folder} holds the policy of step {saved.step} only. "
            "Leave it out, or name the run."
        )
    load_weights(saved.policy, folder, config, MODEL)
    return saved


def find_policy(path: Path, checkpoint: int | None = None) -> Path:
    """The policy folder that is meant: itself, or the checkpoint of a run.

    Raises:
        SettingsError: if there is no such policy, naming what was looked for.
        CheckpointError: if version 0.1 wrote it, or the best checkpoint is not known yet.
    """
    if (path / CONFIG).is_file():
        return path
    if (path / STATE_0_1).is_file():
        raise written_by_0_1(path)
    if (path / CHECKPOINTS).is_dir():
        return checkpoint_of(path, _declared_of(path) if checkpoint is None else checkpoint)
    if (path / "settings.json").is_file():
        raise _no_checkpoint(path, checkpoint)
    raise SettingsError(
        f"{path} holds no policy: neither {CONFIG} (a checkpoint or an exported policy) nor "
        f"{CHECKPOINTS}/step-NNNNNNN (a run) is there. Name such a folder; runs are trained by "
        "ambient-policy train."
    )


def save_policy(folder: Path, saved: SavedPolicy, card: str) -> None:
    """Write a policy that can be given away, whole or not at all.

    Args:
        folder: new.
        saved: what goes into it.
        card: the text of its README.md.

    Raises:
        SettingsError: if something lies there.
        CheckpointError: when the disk refuses.
    """
    with create_path(folder) as partial:
        partial.mkdir()
        (partial / CARD).write_text(card, encoding="utf-8")
        write_folder(partial, saved.to_json(), {MODEL: saved.policy.state_dict()})


def load_weights(policy: Policy, folder: Path, config: Record, name: str) -> None:
    """Fill a policy with the weights of one file of its folder.

    Raises:
        CheckpointError: naming the file, if it is damaged or of another network.
    """
    check_shapes(folder, name, _shapes(policy))
    policy.load_state_dict(read_tensors(folder, config, name))


def _shapes(policy: Policy) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in policy.state_dict().items()}


def _described(path: Path, config: Record) -> SavedPolicy:
    """The policy of config.json, its weights still random."""
    step = config.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise fault(path, "step", f"{step!r:.80} is there, a whole number is needed")
    try:
        settings = from_json(config["settings"])
    except UNUSABLE as error:
        raise fault(path, "settings", f"{error}") from error
    return SavedPolicy(_policy_of(path, config.get("policy")).eval(), settings, step)


def _policy_of(path: Path, record: Any) -> Policy:
    try:
        return Policy(PolicySpec.from_json(record))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("policy", *first["loc"])))
        raise fault(path, place, f"{first['msg']} ({first['input']!r:.80} is there)") from error
    except UNUSABLE as error:
        raise fault(path, "policy", f"{error}") from error


def folder_of(root: Path, step: int) -> Path:
    """Where the checkpoint of a step lies, under the folder of checkpoints."""
    return root / f"step-{step:07d}"


def steps_saved(root: Path) -> list[int]:
    """Steps of the complete checkpoints under root, rising."""
    return sorted(int(folder.name[5:]) for folder in root.glob("step-[0-9]*"))


def checkpoint_of(run: Path, step: int | None = None) -> Path:
    """The folder of a run's checkpoint at a step (default: its last).

    Raises:
        SettingsError: if it is not there, naming those that are.
    """
    saved = steps_saved(run / CHECKPOINTS)
    if not saved or (step is not None and step not in saved):
        raise _no_checkpoint(run, step)
    return folder_of(run / CHECKPOINTS, saved[-1] if step is None else step)


def _no_checkpoint(run: Path, step: int | None) -> SettingsError:
    saved = steps_saved(run / CHECKPOINTS)
    missing = "no checkpoint" if step is None or not saved else f"no checkpoint of step {step}"
    remedy = f"Name one of {saved}" if saved else "Train it first: ambient-policy train"
    return SettingsError(f"{run} has {missing}. {remedy}.")


def _declared_of(run: Path) -> int:
    """The step of a run's declared checkpoint, by the settings that lie in its last one."""
    last = checkpoint_of(run)
    return declared_step(run / CHECKPOINTS, from_json(read_config(last)["settings"]))


def best_step(root: Path) -> int | None:
    """The step of the lowest held-out loss among the checkpoints; None if none was measured."""
    losses = {
        step: read_config(folder_of(root, step)).get(HELD_OUT_LOSS) for step in steps_saved(root)
    }
    measured = {s: loss for s, loss in losses.items() if loss is not None and math.isfinite(loss)}
    return min(measured, key=lambda step: measured[step], default=None)


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
            " Finish the training (ambient-policy train), or name a checkpoint=."
        )
    return best
