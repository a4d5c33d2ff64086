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
                list_line(
                    "episodes",
                    [
                        f"{self.episodes} of {self.source_episodes}",
                        f"{self.excluded} left by leave_out",
                        f"{beyond} beyond max_episodes",
                    ],
                ),
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


def _columns(attributes: Attributes, kind: str) -> list[str]:
    names, units = (getattr(attributes, f"{kind}_{part}") for part in ("names", "units"))
    return [f"{name} [{unit}]" for name, unit in zip(names, units, strict=True)]
