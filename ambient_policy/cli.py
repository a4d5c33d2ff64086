"""The command ``ambient-policy VERB key=value ...``."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ambient_policy.errors import AmbientPolicyError
from ambient_policy.workflows import function_of
from ambient_policy.workflows.settings import compose


def perform(verb: str, overrides: Sequence[str]) -> Any:
    """Compose a verb's settings and do its work; what is refused is raised."""
    return function_of(verb)(compose(verb, overrides))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status; what is refused is one red line."""
    verb, *overrides = sys.argv[1:] if arguments is None else arguments
    try:
        perform(verb, overrides)
    except AmbientPolicyError as error:
        if os.environ.get("RANK", "0") == "0":  # under torchrun the first process says it
            console = Console(stderr=True, soft_wrap=True)
            console.print(Text.assemble(("error: ", "bold red"), str(error)))
        return 1
    return 0


def script(file: str) -> None:
    """Of a file scripts/VERB.py: run the command of its name, and end.

    The folder of scripts leaves Python's path: its files are named like packages that exist.
    """
    folder = Path(file).resolve().parent
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != folder]
    sys.exit(main([Path(file).stem, *sys.argv[1:]]))
