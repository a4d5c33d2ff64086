"""A program that forks a process for each reading, and has no other thread when it does.

``apart.py`` starts it. It imports what readings need once, and meets no stranger's byte itself.
What comes back from a reading are plain arrays in a file and one line, never pickled objects.
"""

import faulthandler
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import DataError

STATUS = Path("/proc/self/status")  # where Linux tells what a process has; others bound nothing
MAX_WORDS = 2**16  # of an answer [bytes]
# an answer's first byte; after it stands what was wrong
DONE, REFUSED, FAILED, SWOLLEN, FULL, SLOW, CRASHED = (b"%d" % kind for kind in range(7))

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Reading:
    """What is to be done in a process of its own.

    Attributes:
        read: called there; whatever it changes stays there.
        seconds: after which it is taken to hang [s].
        memory: what it may take beside what the process has [bytes].
        folder: where it is done: paths may be relative, and who asks may have moved since the
            program was started.
    """

    read: Callable[[], Arrays]
    seconds: float
    memory: int
    folder: str


def serve(parent: int, results: int) -> None:
    """Answer one reading after another until the parent ends.

    Args:
        parent: descriptor of the connection by which readings come.
        results: descriptor of the file into which arrays are written.
    """
    connection, file = Connection(parent), os.fdopen(results, "w+b")
    while True:
        try:
            reading = connection.recv()
        except EOFError:
            return
        except Exception as error:  # whatever an import raises
            connection.send_bytes(_words(FAILED, error))
            continue
        connection.send_bytes(_answer(reading, connection, file))


def _answer(reading: Reading, parent: Connection, file: BinaryIO) -> bytes:
    file.seek(0)
    file.truncate()
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        parent.close()
        _read(reading, writable, file)
    os.close(writable)
    try:
        return _receive(Connection(readable, writable=False), parent, reading.seconds)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _receive(child: Connection, parent: Connection, seconds: float) -> bytes:
    with child:
        ready = wait([child, parent], seconds)
        if parent in ready:  # it asks for nothing before its answer: it has ended
            sys.exit()
        if not ready:
            return SLOW
        try:
            return child.recv_bytes(MAX_WORDS)
        except (EOFError, OSError):
            return CRASHED


def _read(reading: Reading, writable: int, file: BinaryIO) -> None:
    """In the child: answer and end, whatever happens, without the parent's clean-up."""
    try:
        faulthandler.disable()
        signal.setitimer(signal.ITIMER_REAL, reading.seconds + 1)  # ends it if nobody else does
        os.chdir(reading.folder)
        _bound_memory(reading.memory)
        Connection(writable, readable=False).send_bytes(perform(reading.read, file))
    finally:
        os._exit(0)


def perform(read: Callable[[], Arrays], file: BinaryIO) -> bytes:
    """Call, and write what comes; the answer to it."""
    try:
        arrays = read()
        if any(array.dtype.hasobject for array in arrays.values()):
            raise TypeError("numbers are handed on, and no objects")
    except DataError as error:
        return REFUSED + str(error).encode(errors="backslashreplace")[: MAX_WORDS - 1]
    except MemoryError:
        return SWOLLEN
    except Exception as error:
        return _words(FAILED, error)
    try:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
    except OSError as error:
        return _words(FULL, error)
    return DONE


def _words(kind: bytes, error: Exception) -> bytes:
    text = f"{type(error).__name__}: {error}"
    return kind + text.encode(errors="backslashreplace")[: MAX_WORDS - 1]


def _bound_memory(most: int) -> None:
    if STATUS.exists():
        used = re.search(r"VmData:\s+(\d+) kB", STATUS.read_text())
        assert used is not None
        resource.setrlimit(
            resource.RLIMIT_DATA, (int(used[1]) * 1024 + most, resource.RLIM_INFINITY)
        )
