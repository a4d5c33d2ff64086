"""Processes that die at a moment the test names: by what they do to files, never by the clock."""

import errno
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from threading import Event
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


def die_at(moment: Moment | Worked, parent: bool = False) -> None:
    """Have this process killed at a moment, as by the system: nothing is tidied up.

    Args:
        moment: when.
        parent: kill the process that started this one instead, and do no more.
    """
    if isinstance(moment, Worked):
        signal.setitimer(signal.ITIMER_PROF, moment.seconds)  # its signal kills who does not ask
    else:
        sys.addaudithook(_countdown(moment, parent))


def _countdown(moment: Moment, parent: bool) -> Callable[[str, tuple[Any, ...]], None]:
    left, place = moment.change, os.path.abspath(moment.path)

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if _is_change(event, args, place):
            left -= 1
            if left == 0:
                os.kill(os.getppid() if parent else os.getpid(), signal.SIGKILL)
                Event().wait()

    return watch


def _is_change(event: str, args: tuple[Any, ...], place: str) -> bool:
    if event not in CHANGES or (event == "open" and not args[2] & WRITES):
        return False
    paths = [os.path.abspath(p) for p in args[: CHANGES[event]] if isinstance(p, str | Path)]
    return any(path == place or path.startswith(place + os.sep) for path in paths)


def processes() -> ForkServerContext:
    """Starts processes from a server that has imported the trainings once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ambient_policy.workflows.training", "torch._dynamo"])
    return context


def refuse_from(moment: Moment) -> None:
    """Have the disk full from a moment on: whatever would be written under the path fails."""
    left, place = moment.change, os.path.abspath(moment.path)

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if not _is_change(event, args, place) or event not in ("open", "os.mkdir", "os.rename"):
            return
        left -= 1
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))

    sys.addaudithook(watch)


def count_changes(path: Path) -> list[str]:
    """The changes of files under a path from now on, as they come."""
    events: list[str] = []
    place = os.path.abspath(path)

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if _is_change(event, args, place):
            events.append(event)

    sys.addaudithook(watch)
    return events


def kill(call: Callable[..., object], *args: Any, at: Moment | Worked | None = None) -> None:
    """Call a function in a process that is killed, and wait until that and its workers are gone.

    Args:
        call: it can be imported.
        args: of the call.
        at: when the process dies; None if the call sees to it.
    """
    status, words = live(_die_or_call, at, call, args)
    assert status in (-signal.SIGKILL, -signal.SIGPROF), (
        f"the process was to die at {at}, and ended before with status {status}: {words}"
    )


def _die_or_call(
    at: Moment | Worked | None, call: Callable[..., object], args: tuple[Any, ...]
) -> None:
    if at is not None:
        die_at(at)
    call(*args)


def live(call: Callable[..., object], *args: Any) -> tuple[int | None, str]:
    """Call a function in a process; its status and words when that and its workers are gone."""
    reader, writer = processes().Pipe(duplex=False)
    process = processes().Process(target=_live, args=(writer, call, args))
    process.start()
    writer.close()
    words = b"".join(iter(lambda: os.read(reader.fileno(), 2**16), b""))  # to the last who holds it
    process.join()
    return process.exitcode, words.decode()


def _live(writer: Connection, call: Callable[..., object], args: tuple[Any, ...]) -> None:
    for output in (1, 2):
        os.dup2(writer.fileno(), output)
    writer.close()
    call(*args)
