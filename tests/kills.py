"""Processes that die at a moment the test names: by what they do to files, never by the clock."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

# what Python tells its audit hooks of files, and how many paths each event begins with
CHANGES = {
    "open": 1,
    "os.mkdir": 1,
    "os.rename": 2,
    "os.remove": 1,
    "os.rmdir": 1,
    "shutil.rmtree": 1,
}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Moment:
    """Just before a process changes something at or under a path for the n-th time.

    A change is a file opened to be written, a folder made, a name changed or removed.
    """

    path: Path
    change: int = 1


@dataclass(frozen=True)
class Worked:
    """When a process has computed for so many seconds, wherever it is: for work without an end."""

    seconds: float


def die_at(moment: Moment | Worked) -> None:
    """Have this process killed at a moment, as by the system: nothing is tidied up."""
    if isinstance(moment, Worked):
        signal.setitimer(signal.ITIMER_PROF, moment.seconds)  # its signal kills who does not ask
    else:
        sys.addaudithook(_countdown(moment))


def _countdown(moment: Moment) -> Callable[[str, tuple[Any, ...]], None]:
    left, place = moment.change, os.path.abspath(moment.path)

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in CHANGES or (event == "open" and not args[2] & WRITES):
            return
        paths = [os.path.abspath(p) for p in args[: CHANGES[event]] if isinstance(p, str | Path)]
        if any(path == place or path.startswith(place + os.sep) for path in paths):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return watch


def processes() -> ForkServerContext:
    """Starts processes from a server that has imported the trainings once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ambient_policy.workflows.training", "torch._dynamo"])
    return context


def kill(
    call: Callable[..., object],
    *args: Any,
    at: Moment | Worked | None = None,
    words: Path | None = None,
) -> None:
    """Call a function in a process of its own that dies at a moment.

    Args:
        call: it can be imported.
        args: of the call.
        at: the moment; None if the call kills its process itself.
        words: file for what it prints.
    """
    process = processes().Process(target=_live, args=(call, args, at, words))
    process.start()
    process.join()
    assert process.exitcode in (-signal.SIGKILL, -signal.SIGPROF), (
        f"the process was to die at {at}, and ended before with status {process.exitcode}"
    )


def _live(
    call: Callable[..., object],
    args: tuple[Any, ...],
    at: Moment | Worked | None,
    words: Path | None,
) -> None:
    if words is not None:
        with words.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    if at is not None:
        die_at(at)
    call(*args)
