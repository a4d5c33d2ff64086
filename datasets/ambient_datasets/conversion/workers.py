"""One call for each of many items: by processes of this machine, or by a Ray cluster (extra [ray]).

Workers end when the process they work for does, however it ends; a refusal of one ends all.
"""

import importlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from ambient_policy.errors import AmbientPolicyError, SettingsError

SECONDS = 10.0  # within which a cluster answers

Arguments = tuple[Any, ...]
Result = TypeVar("Result")


class Jobs(Enum):
    """Where the workers are: processes of this machine, or of the Ray cluster it is part of."""

    local = "local"
    ray = "ray"


class Each(Protocol):
    """Calls a function for each tuple of arguments; gives (its number, result) as they come."""

    def __call__(
        self, call: Callable[..., Result], items: Sequence[Arguments]
    ) -> Iterator[tuple[int, Result]]: ...


def open_workers(workers: int, jobs: Jobs) -> AbstractContextManager[Each]:
    """So many workers, until the block is left; a single local one is this process.

    They are started anew and not forked, for a fork would copy the locks of other threads; so they
    import the script that opens them (its own work belongs below ``if __name__ == "__main__"``).

    Raises:
        SettingsError: for less than one worker; when Ray is not installed or cannot be reached;
            when the system kills a worker (on Ray: the same call again and again).
        AmbientPolicyError: whatever a call refuses.
    """
    check_workers(workers)
    if jobs is Jobs.ray:
        return _ray(workers)
    return _local(workers) if workers > 1 else _here()


def check_workers(workers: int) -> None:
    """Refuse less than one."""
    if workers < 1:
        raise SettingsError(f"workers = {workers}: give at least 1.")


def _tell(call: Callable[..., Result], item: Arguments) -> Result | AmbientPolicyError:
    """In the worker: refusals come back as values, so that they arrive as they are."""
    try:
        return call(*item)
    except AmbientPolicyError as error:
        return error


def _heard(answer: Result | AmbientPolicyError) -> Result:
    if isinstance(answer, AmbientPolicyError):
        raise answer
    return answer


def _killed(workers: int, error: BaseException) -> SettingsError:
    return SettingsError(
        f"workers = {workers}: one of them was killed, perhaps for want of memory ({error}). What "
        "is finished is kept: start the same command again, with fewer workers if memory is short."
    )


@contextmanager
def _here() -> Iterator[Each]:
    def each(
        call: Callable[..., Result], items: Sequence[Arguments]
    ) -> Iterator[tuple[int, Result]]:
        for i, item in enumerate(items):
            yield i, call(*item)

    yield each


@contextmanager
def _local(workers: int) -> Iterator[Each]:
    spawn = multiprocessing.get_context("spawn")
    leash, held = spawn.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, spawn, _follow, (leash,))

    def each(
        call: Callable[..., Result], items: Sequence[Arguments]
    ) -> Iterator[tuple[int, Result]]:
        try:
            numbers = {pool.submit(_tell, call, item): i for i, item in enumerate(items)}
            for future in as_completed(numbers):
                yield numbers[future], _heard(future.result())
        except BrokenProcessPool as error:
            raise _killed(workers, error) from error

    try:
        yield each
        pool.shutdown()
    finally:
        held.close()  # whoever still works ends now
        pool.shutdown(cancel_futures=True)
        leash.close()


def _follow(leash: Connection) -> None:
    """In a local worker: end with the parent (which alone answers Ctrl-C), even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_end, args=(leash,), daemon=True).start()


def _wait_for_end(leash: Connection) -> None:
    leash.poll(None)  # nothing is ever sent: readable means that the other end is gone
    os._exit(1)


@contextmanager
def _ray(workers: int) -> Iterator[Each]:
    ray = _library()
    ours = not ray.is_initialized()
    if ours:
        _join_cluster(ray)
    running: dict[Any, int] = {}

    def each(
        call: Callable[..., Result], items: Sequence[Arguments]
    ) -> Iterator[tuple[int, Result]]:
        remote, left = ray.remote(num_cpus=1)(_tell), iter(enumerate(items))
        try:
            while True:
                for i, item in left:
                    running[remote.remote(call, item)] = i
                    if len(running) == workers:
                        break
                if not running:
                    return
                (ready,), _ = ray.wait(list(running))
                yield running.pop(ready), _heard(ray.get(ready))
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            raise _killed(workers, error) from error

    try:
        yield each
    finally:
        for task in running:
            ray.cancel(task, force=True)
        if ours:
            ray.shutdown()


def _library() -> Any:
    # before it is imported; whoever wants to send statistics of use sets it to 1
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise SettingsError(
            f"jobs=ray needs the package 'ray', which cannot be imported ({error}). Install it "
            "with: pip install 'ambient-policy[ray]'; or give jobs=local."
        ) from error


def _join_cluster(ray: Any) -> None:
    """The cluster of RAY_ADDRESS, or the one this machine is part of, or one made for now."""
    address = os.environ.get("RAY_ADDRESS", "")
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdigit():  # Ray itself would go on trying for many minutes
            socket.create_connection((host, int(port)), SECONDS).close()
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"jobs=ray, RAY_ADDRESS='{address}': the cluster cannot be reached ({error}). Start it "
            "(ray start), correct RAY_ADDRESS, or unset it: Ray then runs on this machine alone."
        ) from error
