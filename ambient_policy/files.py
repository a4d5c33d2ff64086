"""Files that appear whole or not at all, and JSON that any reader accepts."""

import glob
import json
import math
import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
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


@contextmanager
def lock_folder(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Keep other processes of this machine out of a folder; a kill sets it free.

    Args:
        folder: the folder; the lock is its file ``.lock``, which names the process.
        patience: how long another process may go on holding the lock before it is an error [s].

    Raises:
        SettingsError: when another process holds the lock.
    """
    lock = folder / ".lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(lock, timeout=patience, poll_interval=0.05))
        except Timeout as error:
            raise SettingsError(
                f"{folder} is being worked on by another process{_holder(lock)}; wait for it, or "
                "stop it."
            ) from error
        lock.write_text(f"process {os.getpid()}: {shlex.join(sys.orig_argv)}\n")
        yield


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

    Raises:
        CheckpointError: when the disk refuses.
    """
    partial = path.with_name(f".partial-{uuid.uuid4().hex}-{path.name}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def make_once(path: Path, make: Callable[[Path], None]) -> None:
    """Make a file unless it is there; processes that want it wait for the one that makes it.

    Args:
        path: the file. An empty ``.<name>.lock`` stays beside it.
        make: writes the file to a temporary name.

    Raises:
        CheckpointError: when the disk refuses.
    """
    if path.exists():
        return
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), poll_interval=0.05):
            if not path.exists():
                _remove_partials(path)
                with replace_file(path) as partial:
                    make(partial)


def _remove_partials(path: Path) -> None:
    """Remove what killed processes left of a file that nobody is writing."""
    for partial in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        partial.unlink(missing_ok=True)


@contextmanager
def create_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name for a file or folder; rename it to ``path`` if the block succeeds.

    The name lies in a hidden folder beside ``path`` that is removed when the block ends. The next
    attempt clears what a killed process left of one.

    Raises:
        SettingsError: if something lies at ``path``, or another process is making it.
        CheckpointError: when the disk refuses.
    """
    path = path.absolute()
    workshop = path.with_name(f".{path.name}.partial")
    with disk_errors(path):
        _refuse_existing(path)
        workshop.mkdir(parents=True, exist_ok=True)
        with lock_folder(workshop):
            _refuse_existing(path)  # another process may have been faster
            _clear(workshop)
            try:
                partial = workshop / path.name
                yield partial
                _sync_all(partial)
                partial.rename(path)
            finally:
                shutil.rmtree(workshop, ignore_errors=True)


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


def _clear(workshop: Path) -> None:
    """Remove everything but the lock."""
    for path in workshop.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


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
