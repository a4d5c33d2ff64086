"""Files that appear whole or not at all, and JSON that any reader accepts."""

import fcntl
import glob
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from ambient_policy.errors import CheckpointError, SettingsError


@contextmanager
def told_if_full(path: Path) -> Iterator[None]:
    """What the disk refuses, as an error that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written: {error}. What was there before is untouched; free disk "
            "space there, or give a place that can be written, and start again: finished work is "
            "not repeated."
        ) from error


@contextmanager
def held_alone(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Keep other processes of this machine out of a folder; a kill sets it free.

    Args:
        folder: which.
        patience: how long another process may go on holding it before it is refused [s].

    Raises:
        SettingsError: when another process holds it.
    """
    with (folder / ".lock").open("w") as handle:
        deadline = time.monotonic() + patience
        while not _lock(handle):
            if time.monotonic() >= deadline:
                raise SettingsError(
                    f"{folder} is being worked on by another process; wait for it, or stop it."
                )
            time.sleep(0.05)
        yield


def _lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` (same suffix), renamed to it when the block succeeds.

    Raises:
        CheckpointError: when the disk refuses.
    """
    partial = path.with_name(f".partial-{uuid.uuid4().hex}-{path.name}")
    with told_if_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def make_once(path: Path, make: Callable[[Path], None]) -> None:
    """Make a file unless it is there; processes that want it together wait for the one making it.

    Args:
        path: of the file. An empty ``.<name>.lock`` stays beside it.
        make: writes the file to the temporary name it is given.

    Raises:
        CheckpointError: when the disk refuses.
    """
    if path.exists():
        return
    with told_if_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # a kill sets it free
            if not path.exists():
                _remove_partials(path)
                with written_whole(path) as partial:
                    make(partial)


def _remove_partials(path: Path) -> None:
    """What killed processes left of a file that nobody is writing."""
    for partial in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        partial.unlink(missing_ok=True)


@contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """A temporary name for a file or folder, renamed to ``path`` when the block succeeds.

    It lies in a hidden folder beside ``path`` that goes when the block ends; what a kill left of
    one is cleared by the next attempt.

    Raises:
        SettingsError: if something lies at ``path``, or another process is making it.
        CheckpointError: when the disk refuses.
    """
    path = path.absolute()
    workshop = path.with_name(f".{path.name}.partial")
    with told_if_full(path):
        _refuse_existing(path)
        workshop.mkdir(parents=True, exist_ok=True)
        with held_alone(workshop):
            _refuse_existing(path)  # another process may have made it meanwhile
            _clear(workshop)
            try:
                made = workshop / path.name
                yield made
                _sync_all(made)
                made.rename(path)
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
    for left in workshop.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != ".lock":
            left.unlink()


def _sync_all(made: Path) -> None:
    """Have a file, or all files of a folder, on the disk before their name says they are whole."""
    for file in [made] if made.is_file() else made.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, atomically."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """Numpy numbers and arrays as Python's, and what is not finite as None (JSON has no NaN)."""
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
    """JSON text without NaN or infinity: both become null."""
    return json.dumps(plain(value), indent=indent, allow_nan=False)
