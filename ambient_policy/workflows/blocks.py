"""The blocks of an evaluation that have ended: a killed one goes on behind the last of them.

A block is as many episodes as there are worlds. Blocks and not episodes, for a network rounds a
batch of another size otherwise: so the files are those of an evaluation that nobody killed.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambient_policy.errors import AmbientPolicyError, DataError
from ambient_policy.evaluation.records import (
    EpisodeRecord,
    Motion,
    read_episodes,
    read_motions,
    write_episodes,
    write_motions,
)
from ambient_policy.files import disk_errors, hold, write_text

BLOCKS, KEY = ".blocks", "evaluation.json"


@dataclass(frozen=True)
class Block:
    """Episodes that ran side by side, and their motions by seed."""

    episodes: Sequence[EpisodeRecord]
    motions: Mapping[int, Motion]


class Blocks:
    """The blocks in a folder that belong to one evaluation; those of another are removed.

    Args:
        folder: of the evaluation.
        summary: what decides the episodes, the number of worlds and threads included.
    """

    def __init__(self, folder: Path, summary: Mapping[str, Any]) -> None:
        self.folder, self._summary = folder / BLOCKS, json.dumps(summary)
        self._key = self.folder / KEY
        if not (self._key.exists() and self._key.read_text() == self._summary):
            with disk_errors(folder):
                self.remove()

    def read(self, first: int) -> Block | None:
        """The block that begins with this episode seed; None if it has not ended."""
        motions, episodes = self._files(first)
        if not episodes.exists():
            return None
        try:
            return Block(read_episodes(episodes), read_motions(motions))
        except (DataError, FileNotFoundError):  # a disk that lost it: it is rolled out again
            return None

    def write(self, first: int, block: Block) -> None:
        """Write a block; its episodes last, for they say that it is whole."""
        if not self._key.exists():  # the first one: nothing lies there before something ended
            with disk_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self._key, self._summary)
        motions, episodes = self._files(first)
        write_motions(motions, block.motions)
        write_episodes(episodes, block.episodes)

    def remove(self) -> None:
        """Remove all of them: the evaluation itself holds them now."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _files(self, first: int) -> tuple[Path, Path]:
        return self.folder / f"{first}.npz", self.folder / f"{first}.jsonl"


def remove_finished(folder: Path, summary: Mapping[str, Any]) -> None:
    """Remove blocks, and a lock, that a kill left behind although their evaluation was written.

    Blocks of another evaluation stay; so does all where another is at work or nobody may write.
    """
    key, lock = folder / BLOCKS / KEY, folder.with_name(f".{folder.name}.lock")
    if not key.parent.exists() and not lock.exists():
        return
    with suppress(AmbientPolicyError, OSError), hold(folder):
        if not key.exists() or summary.items() <= json.loads(key.read_text()).items():
            shutil.rmtree(key.parent, ignore_errors=True)
