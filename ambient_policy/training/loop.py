"""The training loop: the one long story of the project."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ambient_policy.batch import Batch
from ambient_policy.errors import DivergenceError, SettingsError
from ambient_policy.policy import Policy
from ambient_policy.saved import folder_of, steps_saved
from ambient_policy.seeding import torch_generator
from ambient_policy.settings import RunSettings
from ambient_policy.training.checkpoint import (
    TrainingState,
    prune,
    restore,
    save,
)
from ambient_policy.training.distributed import ALONE, World, check_shares
from ambient_policy.training.objective import add_gradient, build_objective
from ambient_policy.training.optimize import Update, adamw, learning_rate
from ambient_policy.training.stopwatch import Stopwatch
from ambient_policy.training.validation import validate


class BatchAt(Protocol):
    """The function that makes the batch of a step, or some of its rows, from these alone."""

    def __call__(self, step: int, rows: slice = ...) -> Batch: ...


def check_device(name: str, setting: str = "training.device") -> None:
    """Refuse a device that this machine does not have.

    Args:
        name: the device, as torch calls it.
        setting: the setting that names it, for the message.

    Raises:
        SettingsError: naming the device and those of this machine.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise SettingsError(
            f"{setting} = {name} does not exist on this machine; choose among {', '.join(devices)}."
        ) from error


def begin(policy: Policy, settings: RunSettings, checkpoints: Path) -> TrainingState:
    """Make a fresh state around the policy, or read the last checkpoint if there is one."""
    policy.to(settings.training.device).train()
    state = TrainingState(policy, deepcopy(policy).eval(), adamw(policy, settings.training))
    saved = steps_saved(checkpoints)
    if saved:
        restore(folder_of(checkpoints, saved[-1]), state)
    return state


def check_finite(
    losses: Tensor,
    norms: Tensor,
    first: int,
    batch_at: BatchAt,
    settings: RunSettings,
    checkpoints: Path,
) -> None:
    """Refuse to go on after a step whose loss or gradient is not finite.

    Args:
        losses, norms: (n,) loss and gradient norm at the steps first, first + 1, ...
        first: number of the first of these steps.
        batch_at: makes the batch of a step again.
        settings: the run's settings.
        checkpoints: folder of the checkpoints, which are all of earlier steps.

    Raises:
        DivergenceError: naming the first bad step and the noise levels of its batch.
    """
    bad = (~torch.isfinite(losses + norms)).nonzero().flatten().tolist()
    if not bad:
        return
    step = first + bad[0]
    sigma = batch_at(step).sigma
    saved = steps_saved(checkpoints)
    last = f"The last good checkpoint lies in {checkpoints}" if saved else "There is no checkpoint"
    raise DivergenceError(
        f"loss is {losses[bad[0]].item()}, its gradient's norm {norms[bad[0]].item()} at step "
        f"{step} (batch of {len(sigma)} draws of seed {settings.seed}, step {step}; sigma "
        f"{sigma.min().item():.4g} to {sigma.max().item():.4g}). {last}. Lower "
        "training.learning_rate, or look for outliers in the data of that batch."
    )


def train(
    state: TrainingState,
    batch_at: BatchAt,
    settings: RunSettings,
    checkpoints: Path,
    held_out: Batch | None = None,
    world: World = ALONE,
) -> Iterator[dict[str, Any]]:
    """Train from state.step to the last step; yield one log row every ``log_every`` steps.

    Args:
        state: the state, which changes in place; the same in every process.
        batch_at: makes the batch of a step.
        settings: the run's settings.
        checkpoints: folder for checkpoints.
        held_out: the batch to validate on, from ``held_out_draw``; training.validation.every
            needs it.
        world: the processes that train together. All yield rows; only the first one validates and
            writes.

    Raises:
        SettingsError: if the settings validate and ``held_out`` is None, or if a batch does not
            fall into equal parts.
        DivergenceError: if a loss or gradient is not finite; the last checkpoint stays good.
        CheckpointError: if a checkpoint cannot be written, or processes begin at different steps.
    """
    choices = settings.training
    check_shares(choices, world.size)
    if held_out is None and choices.validation.every is not None:
        raise SettingsError(
            "training.validation.every is set, but train() got no held_out batch; pass that of "
            "held_out_draw."
        )
    device = torch.device(choices.device)
    world.check_equal(state.step, device)
    objective = build_objective(state.policy, settings, world)
    update = Update(state.policy, state.average, state.optimizer, choices)
    if world.leads:
        prune(checkpoints, choices.keep_last)  # which a kill may have come before
    losses: list[Tensor] = []
    norms: list[Tensor] = []
    rows, watch = world.rows(choices.batch), Stopwatch()

    def due(every: int | None) -> bool:
        return every is not None and (state.step % every == 0 or state.step == choices.steps)

    while state.step < choices.steps:
        # Draw the batch and fresh noise for it. Both are functions of (seed, step): every process
        # draws them whole and takes its rows.
        with watch("data"):
            batch = batch_at(state.step, rows)
            generator = torch_generator(settings.seed, "noise", state.step, device=device)
            shape = (choices.batch, *batch.actions.shape[1:])
            eps = torch.randn(shape, generator=generator, device=device)[rows]

        # Compute one gradient; step the weights and their average once. The host does not wait
        # for the device: losses and norms stay there.
        with watch("step"):
            state.optimizer.zero_grad(set_to_none=True)
            losses.append(add_gradient(objective, batch, eps, settings, world))
            norms.append(update(state.step).clone())
            state.step += 1
        if not due(choices.log_every):
            continue

        # Make the log row. Now the host waits for the device, and a step that was not finite ends
        # the training.
        with watch("step"):
            loss, norm = world.sum(torch.stack(losses)), torch.stack(norms)
            check_finite(loss, norm, state.step - len(loss), batch_at, settings, checkpoints)
        row = {
            "step": state.step,
            "loss": loss.mean().item(),
            "gradient_norm": norm[-1].item(),
            "learning_rate": learning_rate(state.step - 1, choices),
            **watch.lap(len(loss) * choices.batch),
        }
        losses.clear()
        norms.clear()

        # Validate, hand out the row, save a checkpoint.
        if world.leads and held_out is not None and due(choices.validation.every):
            row |= validate(state.average, held_out, settings.loss, choices.validation)
        yield row
        if world.leads and due(choices.checkpoint_every):
            save(checkpoints, state, settings, row.get("validation/loss"))
            prune(checkpoints, choices.keep_last)
