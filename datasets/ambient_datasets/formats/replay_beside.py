"""What our own writer puts beside a replay buffer: instructions and thresholds of its episodes.

A replay buffer of anyone else has neither.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.arrays import find_stored
from ambient_datasets.faults import fault
from ambient_datasets.guards.archive import list_keys
from ambient_datasets.guards.chunks import check_chunks
from ambient_datasets.layout import (
    INSTRUCTION,
    NO_INSTRUCTION,
    SIGMAS,
    read_annotation,
    read_instructions,
)
from ambient_datasets.records import Annotation

ATTRIBUTE = "ambient_policy"


@dataclass(frozen=True, eq=False)
class Beside:
    """Annotation and instructions of E episodes.

    Attributes:
        annotation: what they may teach; None where nobody said.
        texts: the distinct instructions.
        index: (E,) int64 into them, -1 for none; None where there are none.
    """

    annotation: Annotation | None = None
    texts: tuple[str, ...] = ()
    index: NDArray[np.int64] | None = field(default=None, repr=False)

    def instruction(self, episode: int) -> str | None:
        """What was to be done in an episode; None where nobody said."""
        number = NO_INSTRUCTION if self.index is None else int(self.index[episode])
        return None if number == NO_INSTRUCTION else self.texts[number]


def read_beside(group: zarr.Group, path: Path, episodes: int) -> Beside:
    """What lies beside a replay buffer of so many episodes, if our writer made it.

    Raises:
        DataError: naming file and key of what is damaged.
    """
    if ATTRIBUTE not in group.attrs:
        return Beside()
    keys = list_keys(path, "meta")
    for key in (INSTRUCTION, *(f"meta/{name}" for name in SIGMAS)):
        if key in keys:
            check_chunks(find_stored(group, path, key))
    annotation = read_annotation(group, path, _record(group, path), episodes)
    index, texts = read_instructions(group, path, episodes)
    return Beside(annotation, texts, index)


def _record(group: zarr.Group, path: Path) -> dict[str, object] | None:
    """The attribute of the annotation, which must lead to the arrays in meta/ that were checked."""
    record = group.attrs.get("annotation")
    if record is None or (isinstance(record, dict) and record.get("folder") == "meta"):
        return record
    raise fault(
        path,
        "attribute 'annotation'",
        f"{record!r:.200} given, but its folder must be 'meta'",
        "Export the store again.",
    )
