"""A mixture as a list of stores, in the form that cotraining code of the field reads."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Protocol, TypeVar

from ambient_policy.errors import listed
from ambient_policy.settings.checks import require


class Entry(Protocol):
    """One store of the list."""

    path: str
    name: str | None


Source = TypeVar("Source", bound=Entry)


def add_mixture(sources: Mapping[str, Source], mixture: Sequence[Source]) -> dict[str, Source]:
    """The sources, and after them those of the list, in its order.

    Raises:
        SettingsError: for an entry without a path, or a name that is given twice.
    """
    named = name_entries(mixture)
    twice = sorted(name for name in named if name in sources)
    require(
        not twice,
        f"mixture: {listed(twice)} {'is' if len(twice) == 1 else 'are'} among the sources "
        f"already ({listed(sources)}). Give the entry another name, or take it out of one.",
    )
    return {**sources, **named}


def name_entries(mixture: Sequence[Source]) -> dict[str, Source]:
    """Each entry under its name: its own, else the last part of its path.

    The last part goes without its suffix, ``demos`` of ``data/lift/demos.zarr``. A name depends on
    nothing but its entry: kept noise and held-out episodes hang on it, and no other source may
    change them.

    Raises:
        SettingsError: for an entry without a path, or a name that several entries would have.
    """
    named: dict[str, Source] = {}
    for i, entry in enumerate(mixture):
        require(bool(entry.path), f"mixture[{i}].path is empty; name the folder of its store.")
        name = entry.name or _end(entry.path)
        other = named.get(name, entry).path
        require(
            name not in named,
            f"mixture: {name} would name {other} and {entry.path}. Give each a name of its own, "
            f"e.g. {{path: {entry.path}, name: ..}}.",
        )
        named[name] = entry
    return named


def _end(path: str) -> str:
    """The last part of a path, without the suffixes of stores."""
    return PurePath(path).name.removesuffix(".zip").removesuffix(".zarr")
