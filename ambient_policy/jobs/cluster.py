"""Workers of a Ray cluster, or of this machine alone where Ray knows of no cluster."""

import importlib
import logging
import os
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ambient_policy.errors import SettingsError
from ambient_policy.jobs.call import Arguments, Call, Engine, killed
from ambient_policy.jobs.settings import JobSettings

SECONDS = 10.0  # within which a cluster answers


class Cluster:
    """Hands calls to Ray; a call whose worker is killed is made again, a few times."""

    def __init__(self, library: Any, settings: JobSettings) -> None:
        self.library = library
        self.limit = settings.workers or sys.maxsize
        self.resources = {"num_cpus": settings.cpus, "num_gpus": settings.gpus}
        self.running: set[Any] = set()

    def submit(self, call: Call, items: Sequence[Arguments]) -> Sequence[Any]:
        """Begin the calls."""
        remote = self.library.remote(**self.resources)(_run)
        tasks = [remote.remote(call, item) for item in items]
        self.running.update(tasks)
        return tasks

    def ended(self, tasks: Collection[Any]) -> Collection[Any]:
        """One that ended."""
        ended: list[Any] = self.library.wait(list(tasks))[0]
        self.running.difference_update(ended)
        return ended

    def result(self, task: Any) -> Any:
        """The result of a task that ended."""
        try:
            return self.library.get(task)
        except self.library.exceptions.RayTaskError:
            raise  # an exception of the function
        except self.library.exceptions.RayError as error:
            raise killed(error) from error


def _run(call: Call, item: Arguments) -> Any:
    return call(item)


@contextmanager
def on_ray(settings: JobSettings) -> Iterator[Engine]:
    """Tasks of Ray; those that have not ended when the block is left are cancelled."""
    ray = _library()
    ours = not ray.is_initialized()
    if ours:
        _join_cluster(ray)
    engine = Cluster(ray, settings)
    try:
        yield engine
    finally:
        for task in engine.running:
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
            f"jobs.where = ray needs the package 'ray', which cannot be imported ({error}). "
            "Install it with: pip install 'ambient-policy[ray]'; or give jobs.where=here."
        ) from error


def _join_cluster(ray: Any) -> None:
    """Join the cluster of RAY_ADDRESS, or that of this machine, or start one for now."""
    address = os.environ.get("RAY_ADDRESS", "")
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdigit():  # Ray itself would go on trying for many minutes
            socket.create_connection((host, int(port)), SECONDS).close()
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"jobs.where = ray, RAY_ADDRESS='{address}': the cluster cannot be reached ({error}). "
            "Start it (ray start), correct RAY_ADDRESS, or unset it: Ray then runs on this machine "
            "alone."
        ) from error
