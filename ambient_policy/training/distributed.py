"""The processes that torchrun starts to train together; a single process is a world of one.

Every process draws the whole batch of a step and takes its rows, so the draws do not depend on the
number of processes. Losses and gradients add up over the processes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ambient_policy.errors import CheckpointError, SettingsError
from ambient_policy.settings import TrainingSettings


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Attributes:
        rank: number of this process, from 0; only process 0 writes.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """Return this process's rows of a batch."""
        share = batch // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def sum(self, values: Tensor) -> Tensor:
        """Sum values over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def check_equal(self, step: int, device: torch.device) -> None:
        """Refuse, in every process, to begin at different steps.

        Raises:
            CheckpointError: naming the step of each process.
        """
        own = torch.arange(self.size, device=device) == self.rank
        steps = self.sum(torch.where(own, step, 0)).tolist()
        if set(steps) != {step}:
            raise CheckpointError(
                f"the processes would begin at steps {steps}: they do not see the same "
                "checkpoints. Put the run's folder where all of them see it."
            )

    def wrap(self, module: nn.Module) -> nn.Module:
        """Average the module's gradients over all processes; take the weights of process 0."""
        if self.size == 1:
            return module
        return DistributedDataParallel(module)


ALONE = World()


def check_shares(settings: TrainingSettings, size: int) -> None:
    """Refuse a batch that does not fall into equal parts.

    Raises:
        SettingsError: naming the nearest batch that does.
    """
    parts = size * settings.accumulate
    if settings.batch % parts:
        fitting = (settings.batch // parts + 1) * parts
        raise SettingsError(
            f"training.batch = {settings.batch} does not fall into {parts} equal parts ({size} "
            f"processes x training.accumulate = {settings.accumulate}); take a multiple of {parts},"
            f" e.g. training.batch={fitting}."
        )


def _take_gpu(device: str) -> None:
    """Make "cuda" mean the GPU with this process's number on its machine."""
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if device != "cuda" or number >= torch.cuda.device_count():
        raise SettingsError(
            f"training.device = {device} for process {number} of this machine, which has "
            f"{torch.cuda.device_count()} GPUs: with several processes set training.device=cuda, "
            "and --nproc-per-node to at most the number of GPUs."
        )
    torch.cuda.set_device(number)


@contextmanager
def join(settings: TrainingSettings) -> Iterator[World]:
    """Join the processes that torchrun started; without torchrun the world is this process.

    Raises:
        SettingsError: if batch, device and number of processes do not fit.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    check_shares(settings, size)
    if size == 1:
        yield ALONE
        return
    on_gpu = settings.device.startswith("cuda")
    if on_gpu:
        _take_gpu(settings.device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    yield World(distributed.get_rank(), size)
    distributed.destroy_process_group()  # not after an error: others may wait for this process
