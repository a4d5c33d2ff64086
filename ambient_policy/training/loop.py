"""The training loop: the one long story of the project."""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from ambient_policy.batch import Batch
from ambient_policy.errors import DivergenceError, SettingsError
from ambient_policy.policy import Policy
from ambient_policy.seeding import torch_generator
from ambient_policy.settings import RunSettings, to_json
from ambient_policy.training.checkpoint import TrainingState, restore, save, steps_saved
from ambient_policy.training.optimize import (
    adamw,
    average_decay,
    learning_rate,
    update_average,
)

BatchAt = Callable[[int], Batch]


def check_device(name: str) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        SettingsError: naming it and those that are there.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise SettingsError(
            f"training.device = {name} is not to be had here; choose among {', '.join(devices)}."
        ) from error


def begin(policy: Policy, settings: RunSettings, checkpoints: Path) -> TrainingState:
    """A fresh state around the policy, or the last checkpoint if there is one."""
    policy.to(settings.training.device).train()
    state = TrainingState(policy, deepcopy(policy).eval(), adamw(policy, settings.training))
    saved = steps_saved(checkpoints)
    if saved:
        restore(checkpoints / f"step-{saved[-1]:07d}", state)
    return state


def train(
    state: TrainingState,
    batch_at: BatchAt,
    settings: RunSettings,
    checkpoints: Path,
) -> Iterator[dict[str, Any]]:
    """Train from state.step to the last step, yielding one log row every ``log_every`` steps.

    Args:
        state: changed in place.
        batch_at: the batch of a step, a pure function of it.
        settings: of the run.
        checkpoints: folder for checkpoints.

    Raises:
        DivergenceError: when loss or gradient is not finite; the last checkpoint stays good.
        CheckpointError: when a checkpoint cannot be written.
    """
    choices = settings.training
    device = torch.device(choices.device)
    last = choices.steps
    record = to_json(settings)
    losses: list[torch.Tensor] = []
    started, started_at = time.perf_counter(), state.step

    while state.step < last:
        # One batch, and fresh noise for it: both functions of (seed, step).
        batch = batch_at(state.step).to(device)
        generator = torch_generator(settings.seed, "noise", state.step, device=device)
        eps = torch.randn(batch.actions.shape, generator=generator, device=device)

        # One gradient. Nothing is updated unless it is finite.
        rate = learning_rate(state.step, choices)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.zero_grad(set_to_none=True)
        loss = state.policy.loss(batch, eps, settings.loss.mask_padding, settings.loss.min_snr)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(state.policy.parameters(), choices.gradient_clip)
        if not bool(torch.isfinite(loss + norm)):
            raise DivergenceError(
                f"loss is {loss.item()}, its gradient's norm {norm.item()} at step {state.step} "
                f"(batch of {len(batch.sigma)} draws of seed {settings.seed}, step {state.step}; "
                f"sigma {batch.sigma.min().item():.4g} to {batch.sigma.max().item():.4g}). The "
                f"last good checkpoint is kept in {checkpoints}. Lower training.learning_rate, or "
                "look for outliers in the data of that batch."
            )

        # One step of the weights and of their average.
        state.optimizer.step()
        update_average(state.average, state.policy, average_decay(state.step, choices))
        state.step += 1
        losses.append(loss.detach())

        # What is told and what is kept.
        if state.step % choices.log_every == 0 or state.step == last:
            elapsed = time.perf_counter() - started
            yield {
                "step": state.step,
                "loss": torch.stack(losses).mean().item(),
                "gradient_norm": norm.item(),
                "learning_rate": rate,
                "samples_per_second": (state.step - started_at) * choices.batch / elapsed,
            }
            losses.clear()
        if state.step % choices.checkpoint_every == 0 or state.step == last:
            save(checkpoints, state, record)
