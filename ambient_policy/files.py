"""Files that appear whole or not at all, and JSON that any reader accepts."""

import json
import math
import os
import re
import shlex
import shutil
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from ambient_policy.errors import CheckpointError, SettingsError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into an error that names the file and the remedy.

    Raises:
        CheckpointError: when the disk refuses.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written: {error}. What was there before is untouched; free disk "
            "space there, or give a place that can be written, and start again: finished work is "
            "not repeated."
        ) from error


_HELD: set[tuple[int, Path]] = set()  # threads of this process, and what they hold


@contextmanager
def hold(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Keep other processes of this machine away from a file or folder, whether it is there or not.

    Whoever holds a path may hold it again.

    Args:
        path: what this process is about to write; the lock is the file ``.<name>.lock`` beside it,
            which names the process and goes with it. A kill sets the path free.
        patience: how long another process may go on holding it before it is an error [s].

    Raises:
        SettingsError: when another process holds it.
        CheckpointError: when the disk refuses.
    """
    path = path.absolute()
    lock = path.with_name(f".{path.name}.lock")
    holder = threading.get_ident(), lock
    if holder in _HELD:
        yield
        return
    guard = FileLock(lock, timeout=-1 if math.isinf(patience) else patience, poll_interval=0.05)
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _acquire(guard, path, lock)
        _HELD.add(holder)
        yield
    finally:
        _HELD.discard(holder)
        _let_go(guard, lock)


def _let_go(guard: FileLock, lock: Path) -> None:
    """Free a lock, if it is held: also where a Ctrl-C or the disk disturbs its removal."""
    try:
        if guard.is_locked:
            lock.unlink(missing_ok=True)  # before it is free: who waits for it sees that it is gone
    finally:
        guard.release()


def _acquire(guard: FileLock, path: Path, lock: Path) -> None:
    try:
        guard.acquire()
    except Timeout as error:
        raise SettingsError(
            f"{path} is being worked on by another process{_holder(lock)}; wait for it, or stop it."
        ) from error
    with suppress(OSError):  # a full disk: nobody can read who it is, but held it is
        lock.write_text(f"process {os.getpid()}: {shlex.join(sys.orig_argv)}\n")


def _holder(lock: Path) -> str:
    """The process that a lock file names, in parentheses; empty if the file names none."""
    try:
        holder = lock.read_text().strip()
    except OSError:
        return ""
    return f" ({holder})" if holder else ""


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` (same suffix); rename it if the block succeeds.

    The next writer of the same file removes what killed ones left.

    Raises:
        CheckpointError: when the disk refuses.
    """
    place = f"{socket.gethostname()}-{os.getpid()}"
    partial = path.with_name(f".partial-{place}-{uuid.uuid4().hex}-{path.name}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_partials(path)
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _remove_partials(path: Path) -> None:
    """Remove what processes of this machine that are gone left of a file."""
    name = re.compile(
        rf"\.partial-{re.escape(socket.gethostname())}-(\d+)-\w{{32}}-{re.escape(path.name)}"
    )
    for file in path.parent.iterdir():
        match = name.fullmatch(file.name)
        if match is not None and not _lives(int(match[1])):
            file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def make_once(path: Path, make: Callable[[Path], None]) -> None:
    """Make a file unless it is there; processes that want it wait for the one that makes it.

    Args:
        path: the file.
        make: writes the file to a temporary name.

    Raises:
        CheckpointError: when the disk refuses.
    """
    if path.exists():
        return
    with hold(path, math.inf):
        if not path.exists():
            with replace_file(path) as partial:
                make(partial)


@contextmanager
def create_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name for a file or folder; rename it to ``path`` if the block succeeds.

    The name lies in the hidden folder ``.<name>.partial`` beside ``path``, which is removed when
    the block ends. The next attempt clears what a killed process left of one.

    Raises:
        SettingsError: if something lies at ``path``, or another process holds it.
        CheckpointError: when the disk refuses.
    """
    path = path.absolute()
    workshop = path.with_name(f".{path.name}.partial")
    with hold(path), disk_errors(path):
        shutil.rmtree(workshop, ignore_errors=True)
        _refuse_existing(path)
        workshop.mkdir()
        try:
            partial = workshop / path.name
            yield partial
            _sync_all(partial)
            partial.rename(path)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)


def clear_leftovers(store: Path) -> None:
    """Remove what killed processes left of a store that this process holds.

    That is the folder of ``create_path``, and files that zarr did not come to rename.
    """
    shutil.rmtree(store.absolute().with_name(f".{store.name}.partial"), ignore_errors=True)
    for file in store.rglob("*.partial"):
        file.unlink(missing_ok=True)


def refuse_inside(out: Path, source: Path) -> None:
    """Refuse to write into what is read.

    Raises:
        SettingsError: if ``out`` is ``source`` or lies in it.
    """
    place = source.resolve()
    if place in (out.resolve(), *out.resolve().parents):
        raise SettingsError(
            f"out = {out} lies in {source}, which is only read. Give a place outside of it."
        )


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise SettingsError(
            f"{path}: something lies here already, and nothing is written over it. Delete it, or "
            "give another name."
        )


def _sync_all(path: Path) -> None:
    """Have a file, or all files of a folder, on the disk before their name says they are whole."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, atomically."""
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """Turn numpy's numbers and arrays into Python's, and what is not finite into None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(value: Any, indent: int | None = None) -> str:
    """Return JSON text without NaN or infinity: both become null."""
    return json.dumps(plain(value), indent=indent, allow_nan=False)
