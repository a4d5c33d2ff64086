"""What a conversion stored, in a few lines."""

from dataclasses import dataclass
from pathlib import Path

from ambient_datasets.lines import list_line
from ambient_datasets.records import Attributes


@dataclass(frozen=True)
class Conversion:
    """What a conversion stored.

    Attributes:
        out: the store.
        episodes, rows: in it.
        source_episodes: of the source.
        attributes: of the store.
        cameras: of the store, by name.
        instructions: distinct texts.
        unused: what was not taken: keys of the source in the format's own names, and columns.
        excluded: of the source's not in the store, the ones that ``leave_out`` names.
        filtered: those that do not fit ``recipe.where``.
        failed: episodes in the store that the source marks as failed.
    """

    out: Path
    episodes: int
    rows: int
    source_episodes: int
    attributes: Attributes
    cameras: tuple[str, ...]
    instructions: int
    unused: tuple[str, ...]
    excluded: int = 0
    filtered: int = 0
    failed: int = 0

    def __str__(self) -> str:
        rate = self.attributes.control_rate
        beyond = self.source_episodes - self.episodes - self.excluded - self.filtered
        return "\n".join(
            [
                f"{self.out}:",
                list_line(
                    "episodes",
                    [
                        f"{self.episodes} of {self.source_episodes}",
                        *([f"{self.filtered} left by where"] if self.filtered else []),
                        f"{self.excluded} left by leave_out",
                        f"{beyond} beyond max_episodes",
                    ],
                ),
                *self._warning(),
                list_line(
                    "rows", [f"{self.rows}", f"{self.rows / rate / 3600:.3g} h at {rate:g} Hz"]
                ),
                list_line("observation", _columns(self.attributes, "observation")),
                list_line("action", _columns(self.attributes, "action")),
                list_line("cameras", self.cameras or ["none"]),
                list_line("instructions", [f"{self.instructions or 'none'}"]),
                list_line(
                    "left in the source", self.unused or ["nothing that is there at every step"]
                ),
            ]
        )

    def _warning(self) -> list[str]:
        if not self.failed:
            return []
        failed = f"{self.failed} of the episodes are marked as failed"
        return [list_line("failed", [f"{failed}: recipe.where.success=true leaves them out"])]


def _columns(attributes: Attributes, kind: str) -> list[str]:
    names, units = (getattr(attributes, f"{kind}_{part}") for part in ("names", "units"))
    return [f"{name} [{unit}]" for name, unit in zip(names, units, strict=True)]
