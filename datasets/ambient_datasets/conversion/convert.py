"""Convert demonstrations of others into a store of ours, one episode at a time.

A stopped conversion continues: episodes are stored in the order of the source and each is one
commit, so the number stored says which comes next. One episode lies in memory at a time.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ambient_datasets.conversion.columns import unused
from ambient_datasets.conversion.parts import CONVERTED, forget_parts, parts_folder
from ambient_datasets.conversion.recipe import Recipe, follow
from ambient_datasets.conversion.shards import Advance, Origin, fill_in_parts
from ambient_datasets.demonstrations import Demonstrations
from ambient_datasets.formats import open_demonstrations
from ambient_datasets.layout import find_cameras, read_attributes, read_ends, read_instructions
from ambient_datasets.reading import open_group
from ambient_datasets.store import JSON, Appender, Attributes, Episode, create_store, update_extra
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.files import disk_errors, lock_folder, refuse_inside
from ambient_policy.jobs import JobSettings

# entry of the store's attribute extra: the episodes that were not asked for
LEFT_OUT = "left_out"
LONGEST = 80  # characters of a value in a message


@dataclass(frozen=True)
class Conversion:
    """What a conversion stored.

    Attributes:
        out: the store.
        kept: episodes in it.
        rows: control steps in it.
        found: episodes of the source.
        named: of those not kept, the ones that ``leave_out`` names.
        attributes: of the store.
        cameras: of the store, by name.
        instructions: distinct texts.
        left: what was not taken: keys of the source in the format's own names, and columns.
    """

    out: Path
    kept: int
    rows: int
    found: int
    named: int
    attributes: Attributes
    cameras: tuple[str, ...]
    instructions: int
    left: tuple[str, ...]

    def __str__(self) -> str:
        rate = self.attributes.control_rate
        beyond = self.found - self.kept - self.named
        return (
            f"{self.out}: kept {self.kept} of {self.found} episodes, {self.rows} rows, "
            f"{self.rows / rate / 3600:.3g} h at {rate:g} Hz; left {self.named} by leave_out and "
            f"{beyond} beyond max_episodes\n"
            f"observation: {_columns(self.attributes, 'observation')}\n"
            f"action: {_columns(self.attributes, 'action')}\n"
            f"cameras: {', '.join(self.cameras) or 'none'}; "
            f"instructions: {self.instructions or 'none'}\n"
            f"left in the source: {', '.join(self.left) or 'nothing that is there at every step'}"
        )


def _columns(attributes: Attributes, kind: str) -> str:
    names, units = (getattr(attributes, f"{kind}_{part}") for part in ("names", "units"))
    return ", ".join(f"{name} [{unit}]" for name, unit in zip(names, units, strict=True))


def convert(
    path: str | Path,
    kind: str,
    out: str | Path,
    recipe: Recipe,
    *,
    max_episodes: int | None = None,
    leave_out: Sequence[int] = (),
    jobs: JobSettings | None = None,
    progress: bool = True,
) -> Conversion:
    """Fill the store at ``out`` with the episodes of a source, in their order.

    Args:
        path: the source, as its format has it.
        kind: its format, one of ``formats.FORMATS``.
        out: a new store, or one begun with the same source and recipe.
        recipe: what to take, what it means, and what to do with it.
        max_episodes: to hold in the end; None takes all.
        leave_out: numbers of episodes of the source not to take.
        jobs: how many convert at once, and where; None is this process. The store is the same.
        progress: show a bar.

    Raises:
        SettingsError: for an unknown format or numbers that make no sense, while another process
            fills the same store, or as ``open_jobs``.
        DataError: naming file and place; if another conversion lies at ``out``. Episodes before a
            faulty one stay stored.
    """
    out, jobs = Path(out), jobs or JobSettings(workers=1)
    _check_place(out, Path(path))
    reader = open_demonstrations(kind, path, recipe)
    source = follow(Path(path), reader, recipe)
    chosen = _choose(len(source), max_episodes, leave_out)
    extra = _extra(path, kind, recipe, len(source), leave_out)
    if not out.exists():
        _begin(out, source, chosen[0], extra)
    with lock_folder(out):
        left = _go_on(out, source, chosen, extra)
        with _bar(f"convert {kind}", len(chosen) - len(left), len(chosen), progress) as told:
            # beside parts no episode is appended: frames of theirs may lie beyond the store's end
            if jobs.alone and not parts_folder(out).exists():
                _append(out, source, left, told)
            else:
                origin = Origin(Path(path).absolute(), kind, recipe)
                span = len(source) if max_episodes is None else min(len(source), max_episodes)
                fill_in_parts(out.absolute(), origin, left, span, jobs, told)
        forget_parts(out)
        return _report(out, source, len({*leave_out}), _left(reader, recipe))


def _check_place(out: Path, path: Path) -> None:
    refuse_inside(out, path)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file lies here, and a store is a folder. Give another out.")


def _begin(out: Path, source: Demonstrations, first: int, extra: dict[str, JSON]) -> None:
    """An empty store; a request that the first episode cannot answer is refused before."""
    _read_episode(source, first, 0, out)
    attributes = source.attributes
    described = replace(attributes, extra={**attributes.extra, **extra})
    with disk_errors(out):
        create_store(out, described, dict(source.cameras))


def _go_on(
    out: Path, source: Demonstrations, chosen: list[int], extra: dict[str, JSON]
) -> list[int]:
    """The numbers of the episodes that the store lacks, which begins as is asked for now."""
    _check_same(out, source, extra)
    held, _ = _stored(out)
    _check_order(out, len(held), chosen, _choose(len(source), None, _left_out(out)))
    left = chosen[len(held) :]
    if left:
        Appender(out)  # refuses an annotated store, and clears what a kill left
    update_extra(out, **{LEFT_OUT: extra[LEFT_OUT]})
    return left


def _append(out: Path, source: Demonstrations, episodes: Sequence[int], told: Advance) -> None:
    if not episodes:
        return  # a complete store may be annotated, and then takes no appender
    appender = Appender(out)
    for i in episodes:
        appender.append(_read_episode(source, i, appender.episodes, out))
        told(1)


def _report(out: Path, source: Demonstrations, named: int, left: tuple[str, ...]) -> Conversion:
    ends, texts = _stored(out)
    return Conversion(
        out,
        len(ends),
        int(ends[-1]),
        len(source),
        named,
        source.attributes,
        tuple(source.cameras),
        texts,
        left,
    )


def _choose(episodes: int, most: int | None, leave_out: Sequence[int]) -> list[int]:
    """The numbers of the episodes to take."""
    strange = [i for i in leave_out if not 0 <= i < episodes]
    if strange or (most is not None and most < 1):
        raise SettingsError(
            f"max_episodes = {most}, leave_out = {list(leave_out)}: the source has {episodes} "
            f"episodes. Give at least 1, and numbers from 0 to {episodes - 1}."
        )
    left = {*leave_out}
    chosen = [i for i in range(episodes) if i not in left][:most]
    if not chosen:
        raise SettingsError(f"leave_out = {list(leave_out)}: none of {episodes} episodes is left.")
    return chosen


def _extra(
    path: str | Path, kind: str, recipe: Recipe, episodes: int, leave_out: Sequence[int]
) -> dict[str, JSON]:
    """What makes a conversion this one and no other; and the episodes named to be left."""
    asked = {"path": str(Path(path).resolve()), "format": kind, "episodes": episodes}
    origin = json.loads(json.dumps({**asked, **recipe.record()}))
    return {CONVERTED: origin, LEFT_OUT: cast(JSON, sorted({*leave_out}))}


def _left(reader: Demonstrations, recipe: Recipe) -> tuple[str, ...]:
    """What the recipe does not take: keys, and columns of keys; "states[1:8]" takes some."""
    asked = {*recipe.state, *recipe.action, *recipe.cameras.values()}
    parts: dict[str, list[str]] = {}
    for key in sorted(asked):
        name, bracket, columns = key.partition("[")
        parts.setdefault(name, []).append(bracket + columns)
    keys = [
        f"{key} but for {', '.join(parts[key])}" if key in parts else key
        for key in reader.keys
        if key not in asked
    ]
    return (*keys, *unused(reader.attributes, recipe.observation_columns, recipe.action_columns))


def _read(out: Path) -> tuple[Attributes, dict[str, tuple[int, ...]]]:
    """The attributes of the store, and the frames (H,W,3) of its cameras."""
    with open_group(out) as group:
        attributes, _ = read_attributes(group, out)
        cameras = {n: array.shape[1:] for n, array in find_cameras(group, out).items()}
    return attributes, cameras


def _stored(out: Path) -> tuple[NDArray[np.int64], int]:
    """The ends (E,) of the episodes in a store, and how many instructions it has."""
    with open_group(out) as group:
        ends, _ = read_ends(group, out)
        _, texts = read_instructions(group, out, len(ends))
    return ends, len(texts)


def _left_out(out: Path) -> list[int]:
    return cast(list[int], _read(out)[0].extra[LEFT_OUT])


def _check_same(out: Path, source: Demonstrations, extra: dict[str, JSON]) -> None:
    """Refuse to continue a store that another conversion, or anything else, began."""
    found, cameras = _read(out)
    asked = extra[CONVERTED]
    if CONVERTED not in found.extra or LEFT_OUT not in found.extra:
        raise DataError(
            f"{out}: this store was not converted from anything. Give another out, or delete it."
        )
    held = found.extra[CONVERTED]
    if held != asked:
        raise DataError(
            f"{out}: this store was converted from {_differing(held, asked)}, but "
            f"{_differing(asked, held)} was asked for. Ask for the same, delete the store or give "
            "another out."
        )
    if (replace(found, extra={}), cameras) != (
        replace(source.attributes, extra={}),
        dict(source.cameras),
    ):
        raise DataError(
            f"{out}: {extra[CONVERTED]} has changed since this store was begun: its names, units, "
            "control rate or cameras differ. Delete the store, or give another out."
        )


def _differing(these: JSON, those: JSON) -> str:
    """What of these differs from those, every value cut to a length that can be read."""
    one, other = cast(dict[str, JSON], these), cast(dict[str, JSON], those)
    told = [
        f"{key} = {value!s:.{LONGEST}}" for key, value in one.items() if other.get(key) != value
    ]
    return "{" + ", ".join(told) + "}"


def _check_order(out: Path, held: int, chosen: list[int], before: list[int]) -> None:
    """Refuse where the episodes stored are not the first of those chosen now."""
    if chosen[:held] != before[:held]:
        raise DataError(
            f"{out}: holds {held} episodes already, {before[:held][-5:]} the last of them, and "
            f"those asked for now are {len(chosen)}, others among them. Ask for at least as many "
            "and leave out only later ones, delete the store or give another out."
        )


def _read_episode(source: Demonstrations, i: int, held: int, out: Path) -> Episode:
    try:
        return source.episode(i)
    except DataError as error:
        raise DataError(
            f"{error} (Episode {i} of the source, counted from 0; the {held} before "
            f"it are stored in {out}. To go on without it add {i} to leave_out.)"
        ) from error


@contextmanager
def _bar(words: str, done: int, total: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """A bar of episodes; what it gives is called with how many more are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True, quiet=not progress)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not progress) as bar:
        task = bar.add_task(words, total=total, completed=done)
        yield partial(bar.advance, task)
