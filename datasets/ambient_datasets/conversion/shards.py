"""Conversion by several workers: shards of the source into parts, the parts joined in order.

A shard is a range of the source's episodes, the same whatever the number of workers. Each becomes a
part (``parts.py``), one episode after another, so that a killed conversion continues within every
part. The joined store is the one that a single process writes.
"""

import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ambient_datasets.arrays import count_rows
from ambient_datasets.conversion.parts import PATIENCE, Part, drop_others, lay, parts_folder
from ambient_datasets.conversion.recipe import Recipe, follow
from ambient_datasets.conversion.transfer import join
from ambient_datasets.demonstrations import Demonstrations
from ambient_datasets.formats import open_demonstrations
from ambient_datasets.guards.archive import open_group
from ambient_datasets.layout import CHUNK_FRAMES, read_ends
from ambient_datasets.store import Appender, Episode
from ambient_policy.errors import DataError
from ambient_policy.files import hold, write_text
from ambient_policy.jobs import Jobs, JobSettings, open_jobs

SHARDS = 64  # at most, however many episodes there are

Advance = Callable[[int], None]  # so many more episodes are done


@dataclass(frozen=True)
class Origin:
    """What is converted.

    Attributes:
        path: the source, as its format has it; absolute.
        recipe: what to take and what to do with it.
    """

    path: Path
    recipe: Recipe

    def open(self) -> Demonstrations:
        """Open the source; its episodes come out as the recipe makes them."""
        reader = open_demonstrations(self.path, self.recipe)
        return follow(self.path, reader, self.recipe)

    def without_frames(self) -> "Origin":
        """The same episodes, as long but quickly read."""
        return replace(self, recipe=replace(self.recipe, cameras={}, camera_size=None))


def fill_in_parts(
    out: Path,
    origin: Origin,
    episodes: Sequence[int],
    span: int,
    settings: JobSettings,
    advance: Advance = lambda count: None,
) -> None:
    """Append episodes of a source to a store, by several workers.

    Args:
        out: the store, held alone; absolute.
        origin: what they are of.
        episodes: their numbers, rising.
        span: of how many episodes of the source they are some; it decides upon the shards.
        settings: how many workers, and where.
        advance: called with the number of episodes that are done since it was last called.

    Raises:
        SettingsError: as ``open_jobs``.
        DataError: naming file, place and episode. What was converted stays, in out and in the
            parts, and the same call goes on from there.
    """
    source, folder = origin.open(), parts_folder(out)
    folder.mkdir(exist_ok=True)
    with open_jobs(settings) as jobs:
        planned = _plan(folder, episodes, span)
        lengths = _measure(folder, origin, planned, jobs) if source.cameras else {}
        parts = [lay(out, part, source.cameras) for part in _with_fillers(out, planned, lengths)]
        drop_others(folder, parts)
        _convert(out, origin, parts, jobs, advance)


def _plan(folder: Path, episodes: Sequence[int], span: int) -> list[Part]:
    size = -(-span // SHARDS)
    return [
        Part(folder / f"{shard * size:09d}", tuple(numbers))
        for shard, numbers in itertools.groupby(episodes, lambda i: i // size)
    ]


def _measure(folder: Path, origin: Origin, parts: Sequence[Part], jobs: Jobs) -> Mapping[int, int]:
    """The rows of each episode: where a part begins in the store hangs on those before it."""
    file, name = folder / "lengths.json", repr(origin)
    if file.exists():
        record = json.loads(file.read_text(encoding="utf-8"))
        known = {int(i): int(n) for i, n in record["lengths"].items()}
        if record["of"] == name and all(i in known for part in parts for i in part.episodes):
            return known
    tasks = [(origin.without_frames(), part.episodes) for part in parts]
    lengths: dict[int, int] = {}
    for k, rows in jobs.each(measure, tasks):
        lengths |= zip(parts[k].episodes, rows, strict=True)
    write_text(file, json.dumps({"of": name, "lengths": lengths}))
    return lengths


def _with_fillers(out: Path, parts: Sequence[Part], lengths: Mapping[int, int]) -> Iterator[Part]:
    with open_group(out) as group:
        row = count_rows(read_ends(group, out)[0])
    for part in parts:
        yield replace(part, filler=row % CHUNK_FRAMES if lengths else 0)
        row += sum(lengths.get(i, 0) for i in part.episodes)


def _convert(
    out: Path, origin: Origin, parts: Sequence[Part], jobs: Jobs, advance: Advance
) -> None:
    """Fill all parts, in whatever order; join them in theirs, each as soon as it can be."""
    stored = [part.stored() for part in parts]
    full = {part.folder for part, n in zip(parts, stored, strict=True) if n == len(part.episodes)}
    advance(sum(stored))
    waiting = deque(parts)
    _join_ready(out, waiting, full)
    left = [(part, n) for part, n in zip(parts, stored, strict=True) if part.folder not in full]
    for k, _ in jobs.each(fill, [(origin, part) for part, _ in left]):
        part, n = left[k]
        advance(len(part.episodes) - n)
        full.add(part.folder)
        _join_ready(out, waiting, full)


def _join_ready(out: Path, waiting: deque[Part], full: set[Path]) -> None:
    while waiting and waiting[0].folder in full:
        part = waiting.popleft()
        join(out, part.folder, part.filler)


def measure(origin: Origin, episodes: Sequence[int]) -> list[int]:
    """In a worker: the rows of episodes."""
    source = _open(origin)
    return [len(_read(source, i)) for i in episodes]


def fill(origin: Origin, part: Part) -> None:
    """In a worker: convert what a part's store does not have yet."""
    source = _open(origin)
    with hold(part.folder, PATIENCE):
        appender = Appender(part.folder)
        if part.filler and not appender.episodes:
            appender.append(_empty(source, part.filler))
        for i in part.episodes[part.stored() :]:
            appender.append(_read(source, i))


def _empty(source: Demonstrations, rows: int) -> Episode:
    names = source.attributes.observation_names, source.attributes.action_names
    tables = [np.zeros((rows, len(columns)), np.float32) for columns in names]
    cameras = source.cameras.items()
    frames = {name: np.zeros((rows, *shape), np.uint8) for name, shape in cameras}
    return Episode(tables[0], tables[1], frames)


def _read(source: Demonstrations, i: int) -> Episode:
    try:
        return source.episode(i)
    except DataError as error:
        raise DataError(
            f"{error} (Episode {i} of the source, counted from 0; what is converted already "
            f"stays. To go on without it add {i} to leave_out.)"
        ) from error


_opened: dict[str, tuple[Origin, Demonstrations]] = {}


def _open(origin: Origin) -> Demonstrations:
    """A worker opens a source once, not for every shard."""
    if "last" not in _opened or _opened["last"][0] != origin:
        _opened["last"] = origin, origin.open()
    return _opened["last"][1]
