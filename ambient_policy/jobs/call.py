"""One call in a worker, and what every kind of worker offers."""

import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any, Protocol

from ambient_policy.errors import AmbientPolicyError, SettingsError

Arguments = tuple[Any, ...]


class Call:
    """A function as a worker calls it: in the folder where the command stands.

    What the function refuses comes back as a value, so that it arrives as it is.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.home = Path.cwd()

    def __call__(self, item: Arguments) -> Any:
        try:
            self._check_home()
            with chdir(self.home):
                return self.function(*item)
        except AmbientPolicyError as error:
            return error

    def checkpoint(self, item: Arguments) -> Any:
        """What submitit queues in place of a job that meets its time limit: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, item)

    def _check_home(self) -> None:
        if not self.home.is_dir():
            raise SettingsError(
                f"the machine {socket.gethostname()} has no folder {self.home}: all machines must "
                "share the folder in which the command starts. Start it in one that they share."
            )


class Engine(Protocol):
    """What starts calls and collects their results.

    Attributes:
        limit: how many calls are handed over at a time.
    """

    limit: int

    def submit(self, call: Call, items: Sequence[Arguments]) -> Sequence[Any]:
        """Begin a call for each item; returns a task for each."""

    def ended(self, tasks: Collection[Any]) -> Collection[Any]:
        """Wait until at least one of the tasks ends; returns those that did."""

    def result(self, task: Any) -> Any:
        """The result of a task that ended."""


def killed(error: BaseException) -> SettingsError:
    """The error for a worker that the system ended."""
    return SettingsError(
        f"a worker was killed, perhaps for want of memory ({error}). What is finished stays: start "
        "the same command again, with fewer jobs.workers if memory is short."
    )
