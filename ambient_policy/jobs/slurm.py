"""Workers of a Slurm cluster, through submitit: the items are one array of jobs."""

import importlib
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ambient_policy.errors import SettingsError
from ambient_policy.jobs.call import Arguments, Call, Engine, killed
from ambient_policy.jobs.settings import JobSettings

POLL = 0.5  # between two looks at the jobs [s]
TIMEOUTS = 5  # how often a job that meets its time limit is queued again


class Slurm:
    """Queues calls, and finds their results in a folder that all nodes share."""

    limit = sys.maxsize

    def __init__(self, library: Any, settings: JobSettings) -> None:
        self.library = library
        self.running: set[Any] = set()
        self.executor = library.SlurmExecutor(settings.folder, max_num_timeout=TIMEOUTS)
        self.executor.update_parameters(**parameters(settings))

    def submit(self, call: Call, items: Sequence[Arguments]) -> Sequence[Any]:
        """Queue the calls as one array."""
        try:
            tasks: list[Any] = self.executor.map_array(call, items)
        except (OSError, self.library.core.utils.FailedSubmissionError) as error:
            raise SettingsError(
                f"jobs.where = slurm: sbatch refused the jobs ({error}). See jobs.partition, "
                "jobs.minutes, jobs.cpus, jobs.gpus and jobs.memory."
            ) from error
        self.running.update(tasks)
        return tasks

    def ended(self, tasks: Collection[Any]) -> Collection[Any]:
        """Those that ended, at least one."""
        while not (ended := [task for task in tasks if task.done()]):
            time.sleep(POLL)
        self.running.difference_update(ended)
        return ended

    def result(self, task: Any) -> Any:
        """The result of a task that ended."""
        try:
            return task.result()
        except self.library.core.utils.FailedJobError:
            raise  # an exception of the function, with its traceback
        except self.library.core.utils.UncompletedJobError as error:
            raise killed(error) from error


def parameters(settings: JobSettings) -> dict[str, Any]:
    """The settings in sbatch's words."""
    values = {
        "job_name": "ambient-policy",
        "time": settings.minutes,
        "cpus_per_task": settings.cpus,
        "gpus_per_node": settings.gpus or None,
        "mem": None if settings.memory is None else f"{settings.memory * 1024:.0f}M",
        "partition": settings.partition,
        "array_parallelism": settings.workers,
    }
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def on_slurm(settings: JobSettings) -> Iterator[Engine]:
    """Jobs; those that have not ended when the block is left are cancelled."""
    try:
        engine = Slurm(importlib.import_module("submitit"), settings)
    except ImportError as error:
        raise SettingsError(
            f"jobs.where = slurm needs the package 'submitit', which cannot be imported ({error}). "
            "Install it with: pip install 'ambient-policy[slurm]'; or give jobs.where=here."
        ) from error
    except RuntimeError as error:  # no srun
        raise SettingsError(
            f"jobs.where = slurm: {error} Start the command on a node that can submit jobs, or "
            "give jobs.where=here."
        ) from error
    try:
        yield engine
    finally:
        for task in engine.running:
            task.cancel(check=False)
