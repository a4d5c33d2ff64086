"""A row of files ``chunk-000/file-000``, .. of at most a given size, as LeRobot v3.0 lays them."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK_FILES = 1000  # files in a folder
MEGABYTE = 1024**2


class FileSequence(ABC):
    """Files that are filled one after another; a writer of one kind of file extends it.

    Args:
        folder: of the chunks.
        suffix: of the files, with its dot.
        megabytes: limit of a file.

    Attributes:
        size: what has been added to the current file [bytes].
    """

    def __init__(self, folder: Path, suffix: str, megabytes: float) -> None:
        self._folder, self._suffix, self._limit = folder, suffix, megabytes * MEGABYTE
        self._number, self.size = 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def place(self) -> tuple[int, int]:
        """Chunk and number of the current file."""
        return divmod(self._number, CHUNK_FILES)

    def make_room(self, size: float) -> None:
        """Begin a new file if so many bytes do not fit into this one."""
        if self.size and self.size + size > self._limit:
            self.close()
            self._number, self.size = self._number + 1, 0

    def path(self) -> Path:
        """The current file, its folder made."""
        chunk, file = self.place
        path = self._folder / f"chunk-{chunk:03d}" / f"file-{file:03d}{self._suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @abstractmethod
    def close(self) -> None:
        """Finish the current file, if one is open."""
