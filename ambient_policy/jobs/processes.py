"""Workers of this machine: this process, or processes that end with it."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from ambient_policy.jobs.call import Arguments, Call, Engine, killed


class ThisProcess:
    """Does everything itself, one after another."""

    limit = 1

    def submit(self, call: Call, items: Sequence[Arguments]) -> Sequence[Any]:
        """Call now."""
        futures: list[Future[Any]] = [Future() for _ in items]
        for future, item in zip(futures, items, strict=True):
            future.set_result(call.function(*item))
        return futures

    def ended(self, tasks: Collection[Any]) -> Collection[Any]:
        """All of them."""
        return list(tasks)

    def result(self, task: Any) -> Any:
        """The result of a task."""
        return task.result()


class Processes:
    """A pool of processes."""

    limit = sys.maxsize

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool

    def submit(self, call: Call, items: Sequence[Arguments]) -> Sequence[Any]:
        """Queue the calls."""
        try:
            with _deaf_to_interrupts():
                return [self.pool.submit(call, item) for item in items]
        except BrokenProcessPool as error:
            raise killed(error) from error

    def ended(self, tasks: Collection[Any]) -> Collection[Any]:
        """Those that ended, at least one."""
        return wait(tasks, return_when=FIRST_COMPLETED).done

    def result(self, task: Any) -> Any:
        """The result of a task that ended."""
        try:
            return task.result()
        except BrokenProcessPool as error:
            raise killed(error) from error


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start in the block do not hear Ctrl-C, not even while they import."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def in_this_process() -> Iterator[Engine]:
    """No other process."""
    yield ThisProcess()


@contextmanager
def in_processes(workers: int) -> Iterator[Engine]:
    """So many processes; those that still work when the block is left in an error are ended."""
    spawn = multiprocessing.get_context("spawn")
    leash, hand = spawn.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, spawn, _follow, (leash,))
    try:
        yield Processes(pool)
    finally:
        # whoever ends while he writes a result would be waited for: as long as this process holds
        # the pipe's other end open, nobody reads that it is over
        pool._result_queue._writer.close()  # type: ignore[attr-defined]
        hand.close()  # whoever still works ends now
        pool.shutdown(cancel_futures=True)
        leash.close()


def _follow(leash: Connection) -> None:
    """In a worker: end with the parent (which alone answers Ctrl-C), even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_end, args=(leash,), daemon=True).start()


def _wait_for_end(leash: Connection) -> None:
    leash.poll(None)  # nothing is ever sent: readable means that the other end is gone
    os._exit(1)
