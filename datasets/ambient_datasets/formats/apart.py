"""Runs one reading in a process of its own.

A C library that meets broken bytes may crash or never return; so may HDF5 (about one of ten
thousand files with a few flipped bytes). In a child process that is one more error to tell.
"""

import faulthandler
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from ambient_datasets.reading import fault
from ambient_policy.errors import DataError

SECONDS = 300.0  # a demonstration is read within this time, or never
RESTORE = "Restore the file from a copy, or record it again."
FAILED, DONE = b"0", b"1"


def read_apart(
    path: Path, place: str, read: Callable[[], bytes], seconds: float = SECONDS
) -> bytes:
    """What ``read`` returns, called in a child process.

    Args:
        path, place: what it reads, for messages.
        read: called in a copy of this process; whatever it changes stays there.
        seconds: after which it is taken to hang [s].

    Raises:
        DataError: as ``read`` does; if it crashes its process or takes too long.
    """
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        _serve(writable, path, place, read)
    os.close(writable)
    try:
        answer = _receive(readable, path, place, seconds)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if answer[:1] == FAILED:
        raise DataError(answer[1:].decode())
    return answer[1:]


def _serve(writable: int, path: Path, place: str, read: Callable[[], bytes]) -> None:
    """In the child: answer and end, whatever happens, without the parent's clean-up."""
    try:
        faulthandler.disable()
        try:
            answer = DONE + read()
        except DataError as error:
            answer = FAILED + str(error).encode(errors="backslashreplace")
        except Exception as error:
            told = fault(path, place, f"cannot be read ({type(error).__name__}: {error})", RESTORE)
            answer = FAILED + str(told).encode(errors="backslashreplace")
        Connection(writable, readable=False).send_bytes(answer)
    finally:
        os._exit(0)


def _receive(readable: int, path: Path, place: str, seconds: float) -> bytes:
    with Connection(readable, writable=False) as connection:
        if not connection.poll(seconds):
            raise fault(path, place, f"reading it takes more than {seconds:g} s", RESTORE)
        try:
            return connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise fault(
                path, place, "reading it crashes the library that reads it", RESTORE
            ) from error
