"""Runs one reading in a process of its own, with a bound on its memory and its time.

A C library that meets broken bytes may crash, never return or ask for all memory there is; so may
HDF5 (about one of ten thousand files with a few flipped bytes), Arrow (a few bytes of run lengths
unfold to any number of rows) and the decoders of videos. In a child process that is one more error
to tell.
"""

import faulthandler
import os
import re
import resource
import signal
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.faults import fault
from ambient_datasets.records import Episode
from ambient_policy.errors import DataError

SECONDS = 300.0  # an episode without pictures is read within this time, or never
MEMORY = 4 * 2**30  # what a reading may take beside what this process has [bytes]
RESTORE = "Restore the file from a copy, or record it again."
STATUS = Path("/proc/self/status")  # where Linux tells what a process has; others bound nothing
FAILED, DONE = b"0", b"1"

Arrays = Mapping[str, NDArray[Any]]


def read_apart(
    path: Path, place: str, read: Callable[[], Arrays], seconds: float = SECONDS
) -> dict[str, NDArray[Any]]:
    """What ``read`` returns, called in a child process.

    Args:
        path, place: what it reads, for messages.
        read: called in a copy of this process; whatever it changes stays there.
        seconds: after which it is taken to hang [s].

    Raises:
        DataError: as ``read`` does; if it crashes its process, takes too long or more than
            ``MEMORY``.
    """
    with tempfile.TemporaryFile() as file:  # without a name; a pipe would need it all in memory
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(readable)
            _serve(writable, cast(BinaryIO, file), path, place, read)
        os.close(writable)
        try:
            answer = _receive(readable, path, place, seconds)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        if answer[:1] == FAILED:
            raise DataError(answer[1:].decode())
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)


def read_episode_apart(
    path: Path, place: str, read: Callable[[], Episode], seconds: float = SECONDS
) -> Episode:
    """The episode that ``read`` returns, called in a child process; see ``read_apart``."""
    arrays = read_apart(path, place, lambda: _pack(path, place, read), seconds)
    text = arrays.pop("instruction").tobytes().decode()
    observations, actions = arrays.pop("observations"), arrays.pop("actions")
    images = {name.removeprefix("image_"): frames for name, frames in arrays.items()}
    return Episode(observations, actions, images, text or None)


def _pack(path: Path, place: str, read: Callable[[], Episode]) -> Arrays:
    episode = read()
    return {
        "observations": episode.observations,
        "actions": episode.actions,
        "instruction": np.frombuffer((episode.instruction or "").encode(), np.uint8),
        **{f"image_{name}": frames for name, frames in episode.images.items()},
    }


def _serve(
    writable: int, file: BinaryIO, path: Path, place: str, read: Callable[[], Arrays]
) -> None:
    """In the child: answer and end, whatever happens, without the parent's clean-up."""
    try:
        faulthandler.disable()
        _bound_memory()
        try:
            np.savez(file, allow_pickle=False, **read())
            file.flush()
            answer = DONE
        except DataError as error:
            answer = FAILED + str(error).encode(errors="backslashreplace")
        except MemoryError:
            refusal = fault(path, place, f"reading it takes more than {MEMORY} bytes", RESTORE)
            answer = FAILED + str(refusal).encode(errors="backslashreplace")
        except Exception as error:
            refusal = fault(
                path, place, f"cannot be read ({type(error).__name__}: {error})", RESTORE
            )
            answer = FAILED + str(refusal).encode(errors="backslashreplace")
        Connection(writable, readable=False).send_bytes(answer)
    finally:
        os._exit(0)


def _bound_memory() -> None:
    if STATUS.exists():
        used = re.search(r"VmData:\s+(\d+) kB", STATUS.read_text())
        assert used is not None
        most = int(used[1]) * 1024 + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))


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
