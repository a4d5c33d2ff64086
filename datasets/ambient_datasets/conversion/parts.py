"""The parts of a conversion: stores of their own beside the one that they will be joined to.

They lie in ``.<name of out>.parts``. A part is there with all that was ever finished of it, or not
at all; what is no part any more goes by another name before its files do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ambient_datasets.conversion.removal import discard, sweep
from ambient_datasets.conversion.transfer import MOVING, is_whole
from ambient_datasets.guards.archive import open_group
from ambient_datasets.layout import (
    find_cameras,
    read_attributes,
    read_ends,
)
from ambient_datasets.store import JSON, create_store, update_extra
from ambient_policy.files import hold

PATIENCE = 60.0  # with the worker of a conversion that was killed, until it has ended too [s]
# entry of the attribute extra of store and parts: what they are converted from
CONVERTED = "converted"
# entry of a part's attribute extra: the episodes it is to hold, and the rows of its filler
PART = "part"


@dataclass(frozen=True)
class Part:
    """One shard's own store.

    Attributes:
        folder: where it lies.
        episodes: numbers of the source, in order.
        filler: rows of an episode before them (see ``transfer.py``); 0 for none.
    """

    folder: Path
    episodes: tuple[int, ...]
    filler: int = 0

    @property
    def record(self) -> dict[str, JSON]:
        """The part as its store remembers it."""
        return {PART: {"episodes": list(self.episodes), "filler": self.filler}}

    def stored(self) -> int:
        """How many of its episodes are there."""
        with open_group(self.folder) as group:
            return max(0, len(read_ends(group, self.folder)[0]) - int(self.filler > 0))


def parts_folder(out: Path) -> Path:
    """Where the parts of a store lie until they are joined."""
    return out.with_name(f".{out.name}.parts")


def forget_parts(out: Path) -> None:
    """Remove what is left of them."""
    folder = parts_folder(out)
    if folder.exists():
        discard(folder)
    sweep(folder)


def lay(out: Path, part: Part, cameras: Mapping[str, tuple[int, int, int]]) -> Part:
    """Have the part's store: the one that was begun if it can go on, else an empty one.

    Args:
        out: the store that it will be joined to.
        part: as planned.
        cameras: (H,W,3) [px] of each, as out has them.

    Returns:
        the part with the filler that it was begun with.
    """
    part.folder.mkdir(exist_ok=True)
    with hold(part.folder, PATIENCE):
        begun = _begun(out, part)
    if begun is None:
        discard(part.folder)
        with open_group(out) as group:
            attributes, _ = read_attributes(group, out)
        extra = {**attributes.extra, **part.record}
        create_store(part.folder, replace(attributes, extra=extra), cameras)
        return part
    update_extra(part.folder, **begun.record)
    return begun


def _begun(out: Path, part: Part) -> Part | None:
    """The part with the filler it was begun with; None if it must begin anew."""
    if not (part.folder / "zarr.json").exists():
        return None
    with open_group(part.folder) as old, open_group(out) as group:
        before, now = read_attributes(old, part.folder)[0], read_attributes(group, out)[0]
        shapes = [
            {name: array.shape[1:] for name, array in find_cameras(at, path).items()}
            for at, path in ((old, part.folder), (group, out))
        ]
    record: Any = before.extra[PART]
    begun = replace(part, filler=record["filler"])
    stored = begun.stored()
    goes_on = (
        record["episodes"][:stored] == list(part.episodes[:stored])
        and before.extra[CONVERTED] == now.extra[CONVERTED]
        and replace(before, extra={}) == replace(now, extra={})
        and shapes[0] == shapes[1]
        and (stored > 0 or part.filler == begun.filler)
        # nothing can be added to a part whose frames were being moved away
        and (MOVING not in before.extra or stored == len(part.episodes))
        and is_whole(out, part.folder)
    )
    return begun if goes_on else None


def drop_others(folder: Path, parts: Sequence[Part]) -> None:
    """Discard parts of shards that nobody wants any more, and parts that are joined."""
    wanted = {part.folder for part in parts}
    for other in list(folder.iterdir()):
        if other.is_dir() and other not in wanted:
            with hold(other, PATIENCE):  # the worker of a killed conversion may still fill it
                pass
            discard(other)
