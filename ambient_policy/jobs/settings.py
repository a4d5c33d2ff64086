"""Where many things run."""

import os
from dataclasses import dataclass
from enum import Enum

from ambient_policy.errors import SettingsError
from ambient_policy.settings.checks import Word, word, words_to_enums


class Where(Enum):
    """Which machines work."""

    here = "here"  # processes of this one
    slurm = "slurm"  # an array of jobs of a Slurm cluster; extra [slurm]
    ray = "ray"  # a Ray cluster; extra [ray]


@dataclass
class JobSettings:
    """How many things run at a time, where, and what each of them gets."""

    # here, slurm or ray
    where: Word[Where] = word(Where.here)
    # at a time; null = here one for each core, on Slurm and Ray as many as the cluster lets run
    workers: int | None = None
    # cores and GPUs of each, on Slurm and Ray
    cpus: int = 1
    gpus: int = 0
    # on Slurm: the partition and the memory of each [GB], null = as the cluster has it
    partition: str | None = None
    memory: float | None = None
    # on Slurm: the time of each [minutes]; trainings that need more are queued again
    minutes: int = 240
    # on Slurm: a folder for its own files, which all nodes share
    folder: str = "runs/slurm"

    def __post_init__(self) -> None:
        words_to_enums(self)
        if self.workers is not None and self.workers < 1:
            raise SettingsError(f"jobs.workers = {self.workers}: give at least 1, or null.")
        for name, least in (("cpus", 1), ("gpus", 0), ("minutes", 1)):
            if getattr(self, name) < least:
                raise SettingsError(f"jobs.{name} = {getattr(self, name)}: give at least {least}.")
        if self.memory is not None and self.memory <= 0:
            raise SettingsError(f"jobs.memory = {self.memory} GB must be positive, or null.")

    @property
    def cores(self) -> int:
        """Workers on this machine."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def alone(self) -> bool:
        """Whether one process of this machine does everything."""
        return self.where is Where.here and self.cores == 1
