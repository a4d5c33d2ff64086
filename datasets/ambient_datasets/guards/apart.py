"""Runs one reading in a process of its own, with a bound on its memory and its time.

A C library that meets broken bytes may crash, never return or ask for all memory there is; so may
HDF5 (about one of ten thousand files with a few flipped bytes), Arrow (a few bytes of run lengths
unfold to any number of rows) and the decoders of videos. In a child process that is one more error
to tell.

This process may have any number of threads, and a fork would copy their locks; so the children
are forked by a program without threads (``forks.py``), which is started at the first reading.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.faults import fault
from ambient_datasets.guards import forks
from ambient_datasets.guards.forks import Arrays, Reading
from ambient_datasets.records import Episode
from ambient_policy.errors import DataError

SECONDS = 300.0  # an episode without pictures is read within this time, or never
MEMORY = 4 * 2**30  # what a reading may take beside what its process has [bytes]
RESTORE = "Restore the file from a copy, or record it again."
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ambient_datasets.guards.forks import serve; serve(*map(int, sys.argv[2:]))"
)
# OpenBLAS and Arrow's allocator start threads when they are imported
NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def read_apart(
    path: Path, place: str, read: Callable[[], Arrays], seconds: float = SECONDS
) -> dict[str, NDArray[Any]]:
    """What ``read`` returns, called in a child process.

    Args:
        path, place: what it reads, for messages.
        read: a function of a module and its arguments (``functools.partial``).
        seconds: after which it is taken to hang [s].

    Raises:
        DataError: as ``read`` does; if it crashes its process, takes too long or more than
            ``MEMORY``.
    """
    with _lock:
        server = _find_server()
        try:
            kind, words = server.ask(Reading(read, seconds, MEMORY, os.getcwd()))
            if kind == forks.DONE:
                return server.take()
        except (EOFError, OSError, ValueError, zipfile.BadZipFile):
            _end_server()
            kind, words = forks.CRASHED, ""
        except BaseException:  # its answer must not meet the next question
            _end_server()
            raise
    raise _refuse(path, place, kind, words, seconds)


def _refuse(path: Path, place: str, kind: bytes, words: str, seconds: float) -> DataError:
    if kind == forks.REFUSED:
        return DataError(words)
    if kind == forks.FULL:
        what = f"what was read does not fit into {tempfile.gettempdir()} ({words})"
        return fault(path, place, what, "Make room there, or name another folder by TMPDIR.")
    faults = {
        forks.SWOLLEN: f"reading it takes more than {MEMORY} bytes",
        forks.SLOW: f"reading it takes more than {seconds:g} s",
        forks.CRASHED: "reading it crashes the library that reads it",
    }
    return fault(path, place, faults.get(kind, f"cannot be read ({words})"), RESTORE)


def read_episode_apart(
    path: Path, place: str, read: Callable[[], Episode], seconds: float = SECONDS
) -> Episode:
    """The episode that ``read`` returns, called in a child process; see ``read_apart``."""
    arrays = read_apart(path, place, partial(_pack, read), seconds)
    text = arrays.pop("instruction").tobytes().decode()
    observations, actions = arrays.pop("observations"), arrays.pop("actions")
    images = {name.removeprefix("image_"): frames for name, frames in arrays.items()}
    return Episode(observations, actions, images, text or None)


def _pack(read: Callable[[], Episode]) -> Arrays:
    episode = read()
    return {
        "observations": episode.observations,
        "actions": episode.actions,
        "instruction": np.frombuffer((episode.instruction or "").encode(), np.uint8),
        **{f"image_{name}": frames for name, frames in episode.images.items()},
    }


class _Server:
    """The program that forks, and the file without a name that holds what was read.

    A pipe would need it all in memory.
    """

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        self.connection, theirs = Pipe()
        ends = (theirs.fileno(), self.file.fileno())
        paths = json.dumps([path for path in sys.path if isinstance(path, str)])
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START, paths, *map(str, ends)],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **NO_THREADS},
                pass_fds=ends,
                start_new_session=True,  # Ctrl-C is this process's to answer
            )

    def ask(self, reading: Reading) -> tuple[bytes, str]:
        """Kind and words of the answer."""
        self.connection.send(reading)
        answer = self.connection.recv_bytes(forks.MAX_WORDS)
        return answer[:1], answer[1:].decode()

    def take(self) -> dict[str, NDArray[Any]]:
        """The arrays that were read."""
        self.file.seek(0)
        with np.load(self.file, allow_pickle=False) as arrays:
            read = dict(arrays)
        self.file.truncate(0)
        return read

    def end(self) -> None:
        """Without us it ends, and a reading with it."""
        self.connection.close()
        self.file.close()
        self.process.wait()


_lock = Lock()
_server: _Server | None = None


def _find_server() -> _Server:
    global _server
    if _server is None:
        _server = _Server()
    return _server


def _end_server() -> None:
    global _server
    if _server is not None:
        _server.end()
    _server = None


def _forget_server() -> None:
    """In a fork of this process, which somebody else made: the server is the parent's."""
    global _server, _lock
    _server, _lock = None, Lock()


atexit.register(_end_server)
os.register_at_fork(after_in_child=_forget_server)
