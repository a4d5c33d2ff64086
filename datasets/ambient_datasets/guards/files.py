"""JSON files of a data set that nobody vouches for, and files that are not there yet."""

from pathlib import Path
from typing import Any

from ambient_policy.errors import DataError
from ambient_policy.plain_files import is_file
from ambient_policy.plain_files import read_json as read_plain_json

POINTER = b"version https://git-lfs.github.com/spec/"  # begins a file that Git LFS left out
REMEDY = "Restore the file from the data set's own copy."


def refuse_pointer(path: Path) -> None:
    """Refuse what Git LFS leaves of a large file that was not downloaded: a few lines of text.

    Args:
        path: of a plain file.

    Raises:
        DataError: naming the command that brings the file.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(len(POINTER))
    except OSError:
        return  # whoever reads it says what is wrong
    if begin == POINTER:
        raise DataError(
            f"{path}: a Git LFS pointer and not the file itself. Run 'git lfs pull' in the data "
            "set's folder, or download the file."
        )


def read_json(path: Path) -> Any:
    """What a JSON file holds; its links are looked at by whoever knows the data set's folder.

    Raises:
        DataError: if it is no plain file of a bearable size, or no JSON.
    """
    if is_file(path):
        refuse_pointer(path)
    try:
        return read_plain_json(path, path.resolve().parent)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as JSON ({type(error).__name__}: {error}). {REMEDY}"
        ) from error
