"""Where the demonstrations of HDF5 files lie: groups of one file, or a file for each.

``Request.episodes`` is a pattern. Of one file it names groups: "data/*" as robomimic has them,
"demo_*", "traj_*" (ManiSkill) or "episode_*" (Minari) at the top. Of a folder it names files, each
of which is one demonstration: "*.hdf5" (ACT, ALOHA).
"""

import itertools
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import h5py

from ambient_datasets.demonstrations import Request
from ambient_datasets.faults import fault
from ambient_datasets.guards.apart import RESTORE
from ambient_datasets.guards.hdf5 import (
    find_array,
    find_group,
    guarded,
    join,
    list_names,
    open_hdf5,
    read_array,
)
from ambient_policy.errors import DataError, listed
from ambient_policy.plain_files import is_file, lies_in

DATA, MASK = "data", "mask"
GROUPS, FILES = "data/*", "*.hdf5"
MANY = 10  # names of a file or folder that a message lists


@dataclass(frozen=True)
class Place:
    """Where a demonstration lies.

    Attributes:
        file: its name in the folder; "" where the source is one file.
        group: its key in the file; "" where it is the whole of it.
    """

    file: str
    group: str

    @property
    def name(self) -> str:
        """Of the demonstration."""
        return self.file or self.group.rpartition("/")[2]


@dataclass(frozen=True, eq=False)
class Demo:
    """An opened demonstration.

    Attributes:
        path: of its file.
        place: its key in the file, for messages; "" where it is the whole of it.
        group: what it holds.
        parent: what may say more of it: the group it lies in, or the whole file.
        parent_place: the parent's key, for messages.
    """

    path: Path
    place: str
    group: h5py.Group
    parent: h5py.Group
    parent_place: str


def list_places(path: Path, request: Request) -> list[Place]:
    """The demonstrations asked for, in natural order (demo_2 before demo_10), at least one.

    Raises:
        DataError: if there are none, or the split is none of theirs.
    """
    if not path.is_dir():
        return _list_groups(path, request.episodes or GROUPS, request.split)
    if request.split is not None:
        raise fault(
            path,
            "split",
            f"'{request.split}' given, and a folder of files has no filter keys",
            "Leave it out; where=.. chooses episodes by what is known of them.",
        )
    return [Place(name, "") for name in _list_files(path, request.episodes or FILES)]


def open_demos(path: Path, places: Sequence[Place]) -> Generator[Demo]:
    """The demonstrations one after another; a file stays open while the next is in it too.

    Raises:
        DataError: if one is no group, or its file cannot be read.
    """
    for name, those in itertools.groupby(places, lambda place: place.file):
        file = path / name if name else path
        with open_hdf5(file) as opened:
            for place in those:
                where = place.group.rpartition("/")[0]
                parent = find_group(opened, file, "", where) if where else opened
                inner = place.group.rpartition("/")[2]
                group = find_group(parent, file, where, inner) if inner else parent
                yield Demo(file, place.group, group, parent, where)


@contextmanager
def open_demo(path: Path, place: Place) -> Iterator[Demo]:
    """One demonstration; errors as of ``open_demos``."""
    with closing(open_demos(path, [place])) as demos:
        yield next(demos)


def _list_files(folder: Path, pattern: str) -> list[str]:
    names = [file.name for file in folder.iterdir() if fnmatchcase(file.name, pattern)]
    if not names:
        others = sorted(file.name for file in folder.iterdir())
        raise fault(
            folder,
            f"episodes = '{pattern}'",
            f"there is no such file; the folder holds {listed(others, MANY) or 'nothing'}",
            "Give a pattern of the files that are one demonstration each, such as "
            "recipe.episodes='episode_*.hdf5', or the path of one file of many demonstrations.",
        )
    for name in names:
        if (
            not is_file(folder / name)
            or not lies_in(folder / name, folder)
            or not name.isprintable()
        ):
            raise DataError(f"{folder / name}: no plain file of this folder. Remove it.")
    return sorted(names, key=_natural)


def _list_groups(path: Path, pattern: str, split: str | None) -> list[Place]:
    where, _, name = pattern.rpartition("/")
    with open_hdf5(path) as file:
        present = list_names(file, path, "")
        if pattern == GROUPS and DATA not in present:
            raise fault(path, DATA, *_elsewhere(present))
        parent = find_group(file, path, "", where) if where else file
        names = [each for each in list_names(parent, path, where) if fnmatchcase(each, name)]
        if not names:
            there = listed(sorted(list_names(parent, path, where)), MANY) or "nothing"
            what = f"no demonstration is called '{pattern}'; there is {there}"
            raise fault(
                path, where or "the file", what, "Give a pattern of their names as recipe.episodes."
            )
        chosen = names if split is None else _filter(file, path, split)
    strange = sorted(set(chosen) - set(names))
    if strange or not chosen or len(set(chosen)) < len(chosen):
        what = f"{', '.join(strange)} not in {pattern}" if strange else "none, or one of them twice"
        what = f"lists demonstrations: {what}"
        raise fault(path, f"{MASK}/{split}", what, "Name each that there is once.")
    return [Place("", join(where, each)) for each in sorted(chosen, key=_natural)]


def _elsewhere(present: Sequence[str]) -> tuple[str, str]:
    """What to say of a file without ``data/``, and how to name the demonstrations in it."""
    numbered = sorted(name for name in present if re.fullmatch(r"[A-Za-z]+_?[0-9]+", name))
    begin = re.split("[0-9]", numbered[0])[0] if numbered else "demo_"
    remedy = (
        f"Where each of those is a demonstration, name them: recipe.episodes='{begin}*'."
        if numbered
        else "If this file is one demonstration of many, as ACT and ALOHA write them, give its "
        "folder as path; if its demonstrations lie in other groups, name those: "
        "recipe.episodes='demo_*'."
    )
    return f"missing; the file holds {listed(sorted(present), MANY) or 'nothing'}", remedy


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """demo_2 before demo_10; numbers are compared by length, then by digits."""
    parts = (part.lstrip("0") if part.isdigit() else part for part in re.split("([0-9]+)", name))
    return [(len(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)], name


def _filter(file: h5py.File, path: Path, split: str) -> list[str]:
    """The names that a filter key lists."""
    key = f"{MASK}/{split}"
    array = find_array(file, path, "", key)
    with guarded(path, key):
        if array.ndim != 1 or (
            array.dtype.kind != "S" and not h5py.check_string_dtype(array.dtype)
        ):
            raise fault(path, key, f"{array.shape} of {array.dtype}, not a list of names", RESTORE)
        return [bytes(name).decode() for name in read_array(array, path, key)]
