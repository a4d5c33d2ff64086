"""Convert demonstrations of others into a store of ours, one episode at a time.

A stopped conversion continues: episodes are stored in the order of the source and each is one
commit, so the number stored says which comes next. One episode lies in memory at a time.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ambient_datasets.conversion.columns import unused
from ambient_datasets.conversion.filters import count_failed, select
from ambient_datasets.conversion.parts import CONVERTED, forget_parts, parts_folder
from ambient_datasets.conversion.recipe import Recipe, follow
from ambient_datasets.conversion.removal import discard
from ambient_datasets.conversion.report import Conversion
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.conversion.shards import Origin, fill_in_parts
from ambient_datasets.demonstrations import Demonstrations
from ambient_datasets.formats import open_demonstrations
from ambient_datasets.formats.hub import parse_address
from ambient_datasets.guards.archive import open_group
from ambient_datasets.layout import find_cameras, read_attributes, read_ends, read_instructions
from ambient_datasets.records import JSON, Attributes, Episode
from ambient_datasets.store import Appender, create_store, update_extra
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.files import clear_leftovers, disk_errors, hold, refuse_inside
from ambient_policy.progress import Bar, progress

# entry of the store's attribute extra: the episodes that were not asked for
LEFT_OUT = "left_out"
LONGEST = 80  # characters of a value in a message


def convert(settings: ConvertSettings, console: Console | None = None) -> Conversion:
    """Fill a store with the episodes of a source, in their order.

    Args:
        settings: source, recipe and store.
        console: where the progress bar appears; None is the standard error.

    Raises:
        SettingsError: for an unknown format or numbers that make no sense, while another process
            fills the same store, or as ``open_jobs``.
        DataError: naming file and place; if another conversion lies at ``out``. Episodes before a
            faulty one stay stored.
    """
    settings = _at_hand(settings)
    path, out, recipe = Path(settings.path), Path(settings.out), settings.recipe
    _check_place(out, path)
    reader = open_demonstrations(path, recipe)
    source = follow(path, reader, recipe)
    fitting = select(path, reader, recipe.where, range(len(source)))
    episodes = _choose(fitting, len(source), settings.max_episodes, settings.leave_out)
    extra = _extra(settings, len(source))
    with hold(out):
        if _is_empty(out, extra):
            discard(out)
        if not out.exists():
            _begin(out, source, episodes, extra)
        missing = _missing(out, source, fitting, episodes, extra)
        clear_leftovers(out)
        stored = len(episodes) - len(missing)
        with progress(f"convert {recipe.format}", len(episodes), stored, console) as bar:
            _fill(settings, source, missing, bar)
        forget_parts(out)
        report = _report(settings, source, _unused(reader, recipe))
        return replace(
            report,
            excluded=len({*settings.leave_out} & {*fitting}),
            filtered=len(source) - len(fitting),
            failed=count_failed(reader, episodes),
        )


def _at_hand(settings: ConvertSettings) -> ConvertSettings:
    """The same conversion of a folder of this machine: a data set of the Hub is fetched."""
    address = parse_address(settings.path)
    if address is None:
        return settings
    recipe = replace(settings.recipe, source=settings.recipe.source or address.label)
    return replace(settings, path=str(address.fetch()), recipe=recipe)


def _fill(
    settings: ConvertSettings, source: Demonstrations, episodes: Sequence[int], bar: Bar
) -> None:
    """Append episodes of the source, by one process or several."""
    out = Path(settings.out)
    # beside parts no episode is appended: frames of theirs may lie beyond the store's end
    if settings.jobs.alone and not parts_folder(out).exists():
        _append(out, source, episodes, bar)
        return
    origin = Origin(Path(settings.path).absolute(), settings.recipe)
    span = min(len(source), settings.max_episodes or len(source))
    fill_in_parts(out.absolute(), origin, episodes, span, settings.jobs, bar.advance)


def _is_empty(out: Path, extra: dict[str, JSON]) -> bool:
    """Whether a store of another conversion lies there that failed before its first episode."""
    if not (out / "zarr.json").is_file() or parts_folder(out).exists():
        return False
    stored, _ = _read(out)
    other = stored.extra.get(CONVERTED)
    return other not in (None, extra[CONVERTED]) and not len(_stored(out)[0])


def _check_place(out: Path, path: Path) -> None:
    refuse_inside(out, path)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file lies here, and a store is a folder. Give another out.")


def _begin(
    out: Path, source: Demonstrations, episodes: Sequence[int], extra: dict[str, JSON]
) -> None:
    """An empty store; what no episode, or not the first one, can answer is refused before."""
    _read_first(source, episodes, out)
    attributes = source.attributes
    described = replace(attributes, extra={**attributes.extra, **extra})
    with disk_errors(out):
        create_store(out, described, dict(source.cameras))


def _read_first(source: Demonstrations, episodes: Sequence[int], out: Path) -> None:
    """Read the first episode; where it fails, another one tells whether the fault is its own.

    Raises:
        DataError: with leaving the episode out as the remedy only if others can be read.
    """
    try:
        source.episode(episodes[0])
    except DataError as error:
        others = [episodes[-1], *episodes[1:2]] if len(episodes) > 1 else []
        if any(_is_readable(source, i) for i in others):
            raise _of_episode(error, episodes[0], 0, out) from error
        raise DataError(
            f"{error} (Every episode that was tried fails, so the fault is the whole set's or the "
            "recipe's. Nothing was written.)"
        ) from error


def _is_readable(source: Demonstrations, i: int) -> bool:
    try:
        source.episode(i)
    except DataError:
        return False
    return True


def _missing(
    out: Path,
    source: Demonstrations,
    fitting: list[int],
    episodes: list[int],
    extra: dict[str, JSON],
) -> list[int]:
    """The numbers of the episodes that the store lacks; it must begin with the others."""
    _check_same(out, source, extra)
    stored = len(_stored(out)[0])
    _check_order(out, stored, episodes, _choose(fitting, len(source), None, _excluded(out)))
    missing = episodes[stored:]
    if missing:
        Appender(out)  # refuses an annotated store, and clears what a kill left
    update_extra(out, **{LEFT_OUT: extra[LEFT_OUT]})
    return missing


def _append(out: Path, source: Demonstrations, episodes: Sequence[int], bar: Bar) -> None:
    if not episodes:
        return  # a complete store may be annotated, and then takes no appender
    appender = Appender(out)
    for i in episodes:
        appender.append(_read_episode(source, i, appender.episodes, out))
        bar.advance()


def _report(
    settings: ConvertSettings, source: Demonstrations, unused: tuple[str, ...]
) -> Conversion:
    ends, texts = _stored(Path(settings.out))
    return Conversion(
        Path(settings.out),
        len(ends),
        int(ends[-1]),
        len(source),
        source.attributes,
        tuple(source.cameras),
        texts,
        unused,
    )


def _choose(
    fitting: Sequence[int], episodes: int, most: int | None, leave_out: Sequence[int]
) -> list[int]:
    """The numbers of the episodes to take, of those that fit the filters."""
    strange = [i for i in leave_out if not 0 <= i < episodes]
    if strange or (most is not None and most < 1):
        raise SettingsError(
            f"max_episodes = {most}, leave_out = {list(leave_out)}: the source has {episodes} "
            f"episodes. Give at least 1, and numbers from 0 to {episodes - 1}."
        )
    excluded = {*leave_out}
    chosen = [i for i in fitting if i not in excluded][:most]
    if not chosen:
        raise SettingsError(
            f"leave_out = {list(leave_out)}: none of {len(fitting)} episodes is left."
        )
    return chosen


def _extra(settings: ConvertSettings, episodes: int) -> dict[str, JSON]:
    """What makes a conversion this one and no other; and the episodes named to be left."""
    place: dict[str, JSON] = {"path": str(Path(settings.path).resolve()), "episodes": episodes}
    excluded: JSON = [*sorted({*settings.leave_out})]
    return {CONVERTED: {**place, **settings.recipe.record()}, LEFT_OUT: excluded}


def _unused(reader: Demonstrations, recipe: Recipe) -> tuple[str, ...]:
    """What the recipe does not take: keys, and columns of keys; "states[1:8]" takes some."""
    used = {*recipe.state, *recipe.action, *recipe.cameras.values()}
    parts: dict[str, list[str]] = {}
    for key in sorted(used):
        name, bracket, columns = key.partition("[")
        parts.setdefault(name, []).append(bracket + columns)
    keys = [
        f"{key} but for {', '.join(parts[key])}" if key in parts else key
        for key in reader.keys
        if key not in used
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


def _excluded(out: Path) -> list[int]:
    return cast(list[int], _read(out)[0].extra[LEFT_OUT])


def _check_same(out: Path, source: Demonstrations, extra: dict[str, JSON]) -> None:
    """Refuse to continue a store that another conversion, or anything else, began."""
    stored, cameras = _read(out)
    recipe = extra[CONVERTED]
    if CONVERTED not in stored.extra or LEFT_OUT not in stored.extra:
        raise DataError(
            f"{out}: this store was not converted from anything. Give another out, or delete it."
        )
    before = stored.extra[CONVERTED]
    if before != recipe:
        raise DataError(
            f"{out}: this store was converted from {_differing(before, recipe)}, but "
            f"{_differing(recipe, before)} was asked for. Ask for the same, delete the store or "
            "give another out."
        )
    if (replace(stored, extra={}), cameras) != (
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
    items = (
        f"{key} = {value!s:.{LONGEST}}" for key, value in one.items() if other.get(key) != value
    )
    return "{" + ", ".join(items) + "}"


def _check_order(out: Path, stored: int, chosen: list[int], before: list[int]) -> None:
    """Refuse where the episodes stored are not the first of those chosen now."""
    if chosen[:stored] != before[:stored]:
        raise DataError(
            f"{out}: holds {stored} episodes already, {before[:stored][-5:]} the last of them, and "
            f"those asked for now are {len(chosen)}, others among them. Ask for at least as many "
            "and leave out only later ones, delete the store or give another out."
        )


def _read_episode(source: Demonstrations, i: int, stored: int, out: Path) -> Episode:
    try:
        return source.episode(i)
    except DataError as error:
        raise _of_episode(error, i, stored, out) from error


def _of_episode(error: DataError, i: int, stored: int, out: Path) -> DataError:
    """The fault of one episode, with the way on without it."""
    before = f"the {stored} before it are stored in {out}" if stored else "nothing was written"
    return DataError(
        f"{error} (Episode {i} of the source, counted from 0; {before}. To go on without it add "
        f"{i} to leave_out.)"
    )
