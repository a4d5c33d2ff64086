"""Ordinary files in a folder that nobody vouches for: whoever reads one of them asks here first.

A name in such a folder may be a pipe, a device, a link to somewhere else, or a file that never
ends; a JSON file may be gigabytes of blanks, or nested until Python gives up.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_JSON = 2**24  # [bytes]; real ones have some 10 kB
MAX_DEPTH = 128  # of values inside values; real ones have some 20


def is_file(path: Path) -> bool:
    """Whether there is a plain file (no pipe, no device); False too for what can be no name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a path leads to a place in the folder, links and all.

    The Hub's cache keeps a data set as links from ``snapshots/<commit>`` to ``blobs`` beside it:
    those are its own.
    """
    try:
        place = path.resolve()
        return any(place.is_relative_to(home) for home in _homes(folder))
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name that cannot be one
        return False


def _homes(folder: Path) -> Iterator[Path]:
    yield folder.resolve()
    for parent in (folder.absolute(), *folder.absolute().parents):
        if parent.parent.name == "snapshots":
            yield (parent.parent.parent / "blobs").resolve()


def check_file(path: Path, folder: Path, most: int) -> None:
    """Refuse what is no plain file inside a folder, or too large.

    Raises:
        ValueError: saying what it is instead.
    """
    if not is_file(path):
        raise ValueError("no plain file" if path.exists() else "no such file")
    if not lies_in(path, folder):
        raise ValueError(f"a link out of {folder}")
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"{size} bytes, at most {most} are read")


def read_json(path: Path, folder: Path) -> Any:
    """What a JSON file of at most ``MAX_JSON`` bytes in a folder holds.

    Raises:
        OSError, ValueError: if it is no such file, or holds text that UTF-8 cannot.
    """
    check_file(path, folder, MAX_JSON)
    try:
        record = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("values too deep in each other") from error
    json.dumps(record, ensure_ascii=False).encode()  # fails for half a surrogate pair
    if _is_deep(record):
        raise ValueError(f"values more than {MAX_DEPTH} deep in each other")
    return record


def _is_deep(record: Any) -> bool:
    level = [record]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
