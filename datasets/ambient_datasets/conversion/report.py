"""What a conversion stored, in a few lines."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ambient_datasets.records import Attributes

WIDTH = 80


@dataclass(frozen=True)
class Conversion:
    """What a conversion stored.

    Attributes:
        out: the store.
        episodes, rows: in it.
        source_episodes: of the source.
        excluded: of those not in the store, the ones that ``leave_out`` names.
        attributes: of the store.
        cameras: of the store, by name.
        instructions: distinct texts.
        unused: what was not taken: keys of the source in the format's own names, and columns.
    """

    out: Path
    episodes: int
    rows: int
    source_episodes: int
    excluded: int
    attributes: Attributes
    cameras: tuple[str, ...]
    instructions: int
    unused: tuple[str, ...]

    def __str__(self) -> str:
        rate = self.attributes.control_rate
        beyond = self.source_episodes - self.episodes - self.excluded
        return "\n".join(
            [
                f"{self.out}:",
                _line(
                    "episodes",
                    [
                        f"{self.episodes} of {self.source_episodes}",
                        f"{self.excluded} left by leave_out",
                        f"{beyond} beyond max_episodes",
                    ],
                ),
                _line("rows", [f"{self.rows}", f"{self.rows / rate / 3600:.3g} h at {rate:g} Hz"]),
                _line("observation", _columns(self.attributes, "observation")),
                _line("action", _columns(self.attributes, "action")),
                _line("cameras", self.cameras or ["none"]),
                _line("instructions", [f"{self.instructions or 'none'}"]),
                _line("left in the source", self.unused or ["nothing that is there at every step"]),
            ]
        )


def _line(title: str, items: Sequence[str]) -> str:
    """One line, or several of at most ``WIDTH`` characters."""
    words = f"{title}: {', '.join(items)}"
    return textwrap.fill(words, WIDTH, subsequent_indent="  ", break_long_words=False)


def _columns(attributes: Attributes, kind: str) -> list[str]:
    names, units = (getattr(attributes, f"{kind}_{part}") for part in ("names", "units"))
    return [f"{name} [{unit}]" for name, unit in zip(names, units, strict=True)]
