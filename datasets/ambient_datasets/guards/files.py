"""Files of a folder that nobody vouches for: plain ones that lie in it, and the JSON in them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ambient_policy.errors import DataError

MAX_JSON = 2**24  # [bytes]; real ones have some 10 kB
MAX_DEPTH = 128  # of values inside values; real ones have some 20
REMEDY = "Restore the file from the data set's own copy."


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


def read_json(path: Path) -> Any:
    """What a JSON file of at most ``MAX_JSON`` bytes holds.

    Raises:
        DataError: if it is no such file, or holds text that UTF-8 cannot.
    """
    try:
        if not is_file(path):
            raise ValueError("no plain file")
        if path.stat().st_size > MAX_JSON:
            raise ValueError(f"{path.stat().st_size} bytes, at most {MAX_JSON} are read")
        record = json.loads(path.read_bytes())
        json.dumps(record, ensure_ascii=False).encode()  # fails for half a surrogate pair
        if _is_deep(record):
            raise ValueError(f"values more than {MAX_DEPTH} deep in each other")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: cannot be read as JSON ({type(error).__name__}: {error}). {REMEDY}"
        ) from error
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
