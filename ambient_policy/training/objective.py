"""The loss as a module, which torch.compile and DDP can wrap, and its gradient in parts."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from ambient_policy.batch import Batch
from ambient_policy.policy import Policy
from ambient_policy.settings import Precision, RunSettings
from ambient_policy.training.distributed import World
from ambient_policy.training.optimize import compile_mode


class Objective(nn.Module):
    """The share that some rows have in the loss of the whole batch; all shares add up to it."""

    def __init__(self, policy: Policy, settings: RunSettings) -> None:
        super().__init__()
        self.policy, self.settings = policy, settings.loss
        self.autocast = settings.training.precision is Precision.bfloat16

    def forward(self, batch: Batch, eps: Tensor, count: Tensor) -> Tensor:
        """Divide the sum of the errors of these rows by the count of the whole batch; ()."""
        loss = self.settings
        with torch.autocast(eps.device.type, torch.bfloat16, enabled=self.autocast):
            return self.policy.loss(batch, eps, loss.mask_padding, loss.min_snr, count)


def build_objective(policy: Policy, settings: RunSettings, world: World) -> nn.Module:
    """Make the objective; compile it if the settings say so; share gradients between processes."""
    objective: nn.Module = Objective(policy, settings)
    if settings.training.compile:
        device = next(policy.parameters()).device
        objective.compile(mode=compile_mode(device))
    return world.wrap(objective)


def count_steps(batch: Batch, settings: RunSettings, world: World) -> Tensor:
    """Count the chunk steps of the whole batch that count; () int64, equal in every process."""
    if settings.loss.mask_padding:
        return world.sum((~batch.is_pad).sum())
    return batch.is_pad.new_full((), batch.is_pad.numel() * world.size, dtype=torch.int64)


def add_gradient(
    objective: nn.Module, batch: Batch, eps: Tensor, settings: RunSettings, world: World
) -> Tensor:
    """Add the gradient of the whole batch's loss to the weights' gradients.

    Args:
        objective: the module from ``build_objective``.
        batch: this process's share of the draws.
        eps: (B,Tp,A) their fresh noise.
        settings: the run's settings.
        world: the processes; they sum their gradients once, with the last part.

    Returns:
        This process's share of the loss, ().
    """
    if settings.training.compile:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
    count, parts = count_steps(batch, settings, world), settings.training.accumulate
    size, losses = len(batch) // parts, []
    for i in range(parts):
        rows = slice(i * size, (i + 1) * size)
        alone = world.size > 1 and i < parts - 1
        with objective.no_sync() if alone else nullcontext():  # type: ignore[operator]
            loss = objective(batch.rows(rows), eps[rows], count)
            (loss * world.size).backward()  # DDP takes the mean over processes
        losses.append(loss.detach().clone())  # a CUDA graph will write to the same memory again
    return torch.stack(losses).sum()
