"""Many things at once: in processes of this machine, on Slurm, or on a Ray cluster.

::

    with open_jobs(JobSettings(workers=4)) as jobs:
        for number, result in jobs.each(function, [(1, 2), (3, 4)]):  # function(1, 2), ...
            ...

Functions and their arguments are pickled, so a function stands at the top level of a module.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from ambient_policy.errors import AmbientPolicyError
from ambient_policy.jobs.call import Arguments, Call, Engine
from ambient_policy.jobs.cluster import on_ray
from ambient_policy.jobs.processes import in_processes, in_this_process
from ambient_policy.jobs.settings import JobSettings, Where
from ambient_policy.jobs.slurm import on_slurm

__all__ = ["JobSettings", "Jobs", "Where", "open_jobs"]

Result = TypeVar("Result")


class Jobs:
    """Workers that are ready to call functions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def each(
        self, function: Callable[..., Result], items: Iterable[Arguments]
    ) -> Iterator[tuple[int, Result]]:
        """Call a function for every tuple of arguments.

        Yields:
            the number of an item and its result, as the results come.

        Raises:
            AmbientPolicyError: the first that a call raises; calls that have not begun are dropped.
            SettingsError: when a worker is killed.
        """
        return self._run(function, items, sys.maxsize)

    def in_order(
        self, function: Callable[..., Result], items: Iterable[Arguments], ahead: int
    ) -> Iterator[Result]:
        """Call a function for every tuple of arguments of an iterator, which may be endless.

        Args:
            function: what to call.
            items: its arguments.
            ahead: how many items beyond the oldest unfinished one may be begun.

        Yields:
            the results in the order of the items.

        Raises:
            AmbientPolicyError: as ``each``.
        """
        results: dict[int, Result] = {}
        oldest = 0
        for number, result in self._run(function, items, ahead):
            results[number] = result
            while oldest in results:
                yield results.pop(oldest)
                oldest += 1

    def _run(
        self, function: Callable[..., Result], items: Iterable[Arguments], ahead: int
    ) -> Iterator[tuple[int, Result]]:
        engine, call, queue = self._engine, Call(function), iter(items)
        running: dict[object, int] = {}
        begun = 0
        while True:
            oldest = min(running.values(), default=begun)
            room = min(engine.limit - len(running), oldest + ahead - begun)
            fresh = list(islice(queue, room))
            if fresh:
                numbers = range(begun, begun + len(fresh))
                running |= zip(engine.submit(call, fresh), numbers, strict=True)
                begun += len(fresh)
            if not running:
                return
            for task in engine.ended(running):
                result = engine.result(task)
                if isinstance(result, AmbientPolicyError):
                    raise result
                yield running.pop(task), result


@contextmanager
def open_jobs(settings: JobSettings, apart: bool = False) -> Iterator[Jobs]:
    """Have workers until the block is left.

    Workers of this machine are started anew and not forked, for a fork would copy the locks of
    other threads; so they import the script that opens them (its own work belongs below
    ``if __name__ == "__main__"``). They end when the process that opened them does, however it
    ends. Jobs of Slurm and Ray are cancelled when the block is left before they end.

    Args:
        settings: how many, and where.
        apart: a single worker here is a process too, instead of this one.

    Raises:
        SettingsError: when Slurm or Ray is not installed or cannot be reached.
    """
    if settings.where is Where.slurm:
        workers = on_slurm(settings)
    elif settings.where is Where.ray:
        workers = on_ray(settings)
    elif settings.alone and not apart:
        workers = in_this_process()
    else:
        workers = in_processes(settings.cores)
    with workers as engine:
        yield Jobs(engine)
