"""A part of a conversion to the end of a store: all of its episodes at once, or none.

Frames are not copied but moved, chunk file by chunk file. For this a part begins with an episode of
``filler`` empty rows, as many as put its frames into the places within chunks that they will have
in the store. A part whose filler does not fit is copied.

What lies beyond the end of an array nobody sees, and an end of -1 says that all from there on is in
flight. So the protocol of ``store.py`` goes for many episodes as for one:

1. meta/episode_ends grows by one entry, which reads -1;
2. the rows are put in place, the arrays grow, then all further ends;
3. that first entry becomes a true end: all are committed.

Killed before that, the same call does it again, or ``Appender`` forgets it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.arrays import count_rows
from ambient_datasets.conversion.removal import discard
from ambient_datasets.guards.archive import AnyArray, find_array
from ambient_datasets.layout import (
    ACTIONS,
    CAMERA,
    ENDS,
    INSTRUCTION,
    INSTRUCTIONS,
    NO_INSTRUCTION,
    OBSERVATIONS,
    find_cameras,
    forget_ends,
    lengthened,
    read_attributes,
    read_ends,
    read_instructions,
)
from ambient_datasets.store import update_extra
from ambient_datasets.tables import StoredColumns
from ambient_policy.errors import DataError

COPIED = 2**26  # bytes of frames at a time, but at least one chunk
# entry of a part's attribute extra: the row of the store that its frames are being moved to
MOVING = "moving_to"


@dataclass(frozen=True, eq=False)
class _Opened:
    """A store open for the transfer.

    Attributes:
        path: where it lies.
        group: its zarr group.
        ends: (E,) committed.
        arrays: by their keys, those of the cameras too.
        cameras: keys of those.
    """

    path: Path
    group: zarr.Group
    ends: NDArray[np.int64]
    arrays: Mapping[str, AnyArray]
    cameras: Sequence[str]

    @property
    def rows(self) -> int:
        return count_rows(self.ends)


def _open(path: Path) -> _Opened:
    group = zarr.open_group(str(path), mode="r+")
    ends, unfinished = read_ends(group, path)
    tables = (OBSERVATIONS, ACTIONS, INSTRUCTION, ENDS)
    arrays = {key: find_array(group, path, key) for key in tables}
    cameras = {CAMERA + name: array for name, array in find_cameras(group, path).items()}
    if unfinished:
        forget_ends(arrays[ENDS], path, len(ends))
    return _Opened(path, group, ends, {**arrays, **cameras}, list(cameras))


def join(out: Path, part: Path, filler: int) -> None:
    """Move the episodes of a part to the end of a store; the part is removed.

    Args:
        out: the store; nobody else writes to it meanwhile.
        part: a store like it, complete, of at least one episode beside the filler.
        filler: rows of the part's first episode, which stays behind; 0 where there is none.

    Raises:
        DataError: if numbers of the part are not what was written; nothing is committed then.
    """
    store, source = _open(out), _open(part)
    update_extra(part, **{MOVING: store.rows})
    first, total = store.rows, len(store.ends) + len(source.ends) - int(filler > 0)
    stops = source.ends[int(filler > 0) :] - filler + first
    ends = store.arrays[ENDS]
    ends.resize((len(store.ends) + 1,))  # 1. in flight
    _place_tables(store, source, filler)
    for key in source.cameras:
        _place_frames(store, source, key, filler)
    words = _translate(store, source)[int(filler > 0) :]
    lengthened(store.arrays[INSTRUCTION], total)[len(store.ends) :] = words
    _grow(store, int(stops[-1]), total)
    lengthened(ends, total)[len(store.ends) :] = [-1, *stops[1:]]
    ends.resize((total,))  # 2. all is there
    ends[len(store.ends)] = stops[0]  # 3. committed
    discard(part)


def _place_tables(store: _Opened, source: _Opened, filler: int) -> None:
    attributes, _ = read_attributes(source.group, source.path)
    names = {OBSERVATIONS: attributes.observation_names, ACTIONS: attributes.action_names}
    for key in names:
        columns = StoredColumns(source.path, (key,), (names[key],), source.ends)
        try:
            # further rows are of an episode that a killed worker began and nobody asks for now
            columns.check(source.group, unfinished=True)
            _place_blocks(store, key, columns, filler)
        except DataError as error:
            raise DataError(
                f"{error} (This is a part of a conversion: delete the folder {source.path} and "
                "start the same command again; the part is then converted anew.)"
            ) from error


def _place_blocks(store: _Opened, key: str, columns: StoredColumns, filler: int) -> None:
    row = store.rows - filler
    array = lengthened(store.arrays[key], row + count_rows(columns.ends))
    for block in columns.blocks():
        first = max(row, store.rows)
        array[first : row + len(block)] = block[first - row :]
        row += len(block)


def _place_frames(store: _Opened, source: _Opened, key: str, filler: int) -> None:
    array, first = store.arrays[key], store.rows
    frames = lengthened(source.arrays[key], source.rows)
    longer = lengthened(array, first + source.rows - filler)
    if filler == first % array.chunks[0] and _alike(array, frames):
        if filler and chunk_files(source.path, key, frames)[0].exists():
            frames[:filler] = array[first - filler : first]  # both meet in this chunk
        _move(store.path, source.path, key, longer, frames, (first - filler) // array.chunks[0])
    else:
        for start, stop in _spans(longer, first):
            longer[start:stop] = frames[start - first + filler : stop - first + filler]


def _spans(array: AnyArray, first: int) -> Iterator[tuple[int, int]]:
    """From a row to the array's end, whole chunks at a time, of about ``COPIED`` bytes."""
    size = array.chunks[0]
    step = max(1, COPIED * array.shape[0] // max(array.nbytes, 1) // size) * size
    for start in range(first - first % size, array.shape[0], step):
        yield max(start, first), min(start + step, array.shape[0])


def _move(
    out: Path, part: Path, key: str, array: AnyArray, frames: AnyArray, beginning: int
) -> None:
    """Chunk files of the part to the store's place; what is not there a killed join has moved."""
    targets = chunk_files(out, key, array)[beginning:]
    for file, target in zip(chunk_files(part, key, frames), targets, strict=True):
        if file.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)


def _alike(array: AnyArray, other: AnyArray) -> bool:
    """Whether their chunk files mean the same."""
    return lengthened(array, 0).metadata == lengthened(other, 0).metadata


def _translate(store: _Opened, source: _Opened) -> NDArray[np.int64]:
    """The part's index (E,) of instructions, into the store's texts; new ones are added to them."""
    index, texts = read_instructions(source.group, source.path, len(source.ends))
    words: Any = store.group.attrs.get(INSTRUCTIONS, [])
    known = {text: i for i, text in enumerate(words)}
    for text in texts:
        known.setdefault(text, len(known))
    if len(known) > len(words):
        store.group.update_attributes({INSTRUCTIONS: list(known)})
    places = np.array([*(known[text] for text in texts), NO_INSTRUCTION], np.int64)
    return places[index]


def _grow(store: _Opened, rows: int, episodes: int) -> None:
    for key in (OBSERVATIONS, ACTIONS, *store.cameras):
        store.arrays[key].resize((rows, *store.arrays[key].shape[1:]))
    store.arrays[INSTRUCTION].resize((episodes,))


def chunk_files(path: Path, key: str, array: AnyArray) -> list[Path]:
    """The files of an array's chunks along axis 0; other axes are one chunk wide."""
    zeros = [0] * (array.ndim - 1)
    chunks = range(-(-array.shape[0] // array.chunks[0]))
    return [path / key / array.metadata.encode_chunk_key((c, *zeros)) for c in chunks]


def is_whole(out: Path, part: Path) -> bool:
    """Whether all frames of a part are there, or where a killed join was moving them.

    A file at a place of the store proves that it was moved there for three reasons: the part has no
    such file any more, a join had begun to move them to this very row, and since then nobody has
    written there. The last is a rule for all: while there are parts, a store grows by joins alone.
    """
    store, source = _open(out), _open(part)
    extra: Any = source.group.attrs["extra"]
    moving = extra.get(MOVING)
    if moving not in (None, store.rows):
        return False
    for key in source.cameras:
        array, frames = store.arrays[key], lengthened(source.arrays[key], source.rows)
        longer = lengthened(array, store.rows + source.rows)
        moved = chunk_files(out, key, longer)[store.rows // array.chunks[0] :]
        for file, target in zip(chunk_files(part, key, frames), moved, strict=False):
            if not (file.exists() or (moving is not None and target.exists())):
                return False
    return True
