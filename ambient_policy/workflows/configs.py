"""``configs/``: which groups and choices there are, ours and the user's own."""

import os
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from ambient_policy.errors import SettingsError, unknown
from ambient_policy.plain_files import is_file

PACKAGE = Path(__file__).resolve().parent.parent
# in the wheel inside of the package, in a checkout beside it
CONFIGS = next(p for p in (PACKAGE / "configs", PACKAGE.parent / "configs") if p.is_dir())
# environment variable: a folder of the user's own configs, in front of ours; processes that are
# started from here inherit it
OWN = "AMBIENT_POLICY_CONFIGS"


def add_own(folder: str) -> None:
    """Put a folder of configs in front of ours, for this process and those it starts.

    Raises:
        SettingsError: for what is no folder.
    """
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise SettingsError(
            f"--config-dir {folder}: no such folder. Give the one that holds your configs, with "
            "subfolders such as experiment/; ambient-policy new NAME writes a first one."
        )
    os.environ[OWN] = str(path)


def folders() -> list[Path]:
    """Where configs are looked for, the user's own folder first."""
    own = os.environ.get(OWN)
    return [*([Path(own)] if own else []), CONFIGS]


def groups() -> list[str]:
    """The folders of choices."""
    names = {path.name for folder in folders() for path in folder.iterdir() if path.is_dir()}
    return sorted(name for name in names if not name.startswith((".", "_")) and choices(name))


def choices(group: str) -> dict[str, Path]:
    """Each choice of a group with its file; one in a subfolder is called folder/name."""
    named = {
        path.relative_to(folder / group).with_suffix("").as_posix(): path
        for folder in reversed(folders())
        for path in (folder / group).rglob("*.yaml")
        if is_file(path)
    }
    return dict(sorted(named.items()))


def heading(path: Path) -> str:
    """The first sentence of the comment that a config begins with; empty without one."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    text = " ".join(line.lstrip("# ") for line in lines if not line.startswith("# @package"))
    return re.split(r"(?<! al)[.;]( |$)", text)[0]


def chosen(verb: str) -> dict[str, str | None]:
    """The groups that a verb's config chooses from, each with what it chooses by default."""
    entries: list[Any] = yaml.safe_load(_config_of(verb).read_text())["defaults"]
    picked = [item for entry in entries if isinstance(entry, dict) for item in entry.items()]
    return {key.removeprefix("override ").strip("/ "): value for key, value in picked}


def examples(verb: str) -> list[str]:
    """The commands in the comments of a verb's config."""
    lines = [line.lstrip("# ") for line in _config_of(verb).read_text().splitlines()]
    return [line for line in lines if line.startswith(("ambient-policy ", "torchrun "))]


def _config_of(verb: str) -> Path:
    return next(p for folder in folders() if (p := folder / f"{verb}.yaml").is_file())


def configs(words: Sequence[str]) -> None:
    """List the groups of configs, or with a name of one its choices."""
    if words and words[0] not in groups():
        raise unknown("group of configs", words[0], groups())
    for group in words or groups():
        print(f"{group}=")
        for name, path in choices(group).items():
            indent, first = " " * 24, f"  {name:<20}  "
            if len(first) > len(indent):  # a line of its own
                print(first.rstrip())
                first = indent
            lines = wrap(heading(path), 80, initial_indent=first, subsequent_indent=indent)
            print("\n".join(lines or [first.rstrip()]))
