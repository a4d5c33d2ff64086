"""JSON files of a data set that nobody vouches for."""

from pathlib import Path
from typing import Any

from ambient_policy.errors import DataError
from ambient_policy.plain_files import read_json as read_plain_json

REMEDY = "Restore the file from the data set's own copy."


def read_json(path: Path) -> Any:
    """What a JSON file holds; its links are looked at by whoever knows the data set's folder.

    Raises:
        DataError: if it is no plain file of a bearable size, or no JSON.
    """
    try:
        return read_plain_json(path, path.resolve().parent)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as JSON ({type(error).__name__}: {error}). {REMEDY}"
        ) from error
