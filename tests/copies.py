"""Stores that many tests want: written once in a session, then copied, which is far quicker."""

import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Concatenate, ParamSpec

P = ParamSpec("P")

_FOLDER = TemporaryDirectory(prefix="ambient-policy-tests-")
_WRITTEN: dict[tuple[str, ...], Path] = {}


def copied(write: Callable[Concatenate[Path, P], Path]) -> Callable[Concatenate[Path, P], Path]:
    """A writer of folders that copies what it has written under an equal name and arguments."""

    @wraps(write)
    def copy(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> Path:
        key = (write.__module__, path.name, repr(args), repr(sorted(kwargs.items())))
        if key not in _WRITTEN:
            original = Path(_FOLDER.name, str(len(_WRITTEN)), path.name)
            _WRITTEN[key] = write(original, *args, **kwargs)
        return Path(shutil.copytree(_WRITTEN[key], path))

    return copy
