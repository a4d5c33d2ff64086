"""What is in a store, as one picture: ``ambient-policy plot path=pusht.zarr out=pusht.png``.

A few episodes over time beside histograms of all rows, episode lengths, instructions, frames. A
source of a data config (a diffusion_policy store that is read in place, say) goes by its name:
``ambient-policy plot data=pusht_human source=human out=pusht.png``.
"""

from dataclasses import dataclass, field
from pathlib import Path

from ambient_datasets.store import Store
from ambient_policy.errors import SettingsError, unknown
from ambient_policy.settings import DataSettings, SourceSettings, Tables
from ambient_policy.terminal import Screen
from ambient_policy.workflows.overview import overview
from ambient_policy.workflows.picture import check_picture, picture, write_picture
from ambient_policy.workflows.preparation import open_source


@dataclass
class PlotSettings(DataSettings):
    """Which store, which of its episodes, and where to; of a data config only the sources count."""

    # folder of a store of ours; else `source` of a data config
    path: str | None = None
    source: str | None = None
    # the picture: .png, .pdf or .svg
    out: str = "???"
    # numbers of the episodes drawn over time; none: three, evenly spread
    episodes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.path is None) == (self.source is None):
            raise SettingsError(
                f"path = {self.path}, source = {self.source}: give the path of a store, or a data "
                "config and one of its sources (data=pusht_human source=human)."
            )
        check_picture("out", self.out)


def open_one(settings: PlotSettings) -> Store:
    """The store at the path, or of the source; its numbers stay on disk, however many they are."""
    if settings.source is None:
        return open_source("store", SourceSettings(path=str(settings.path)), Tables.disk)
    sources = settings.sources
    if settings.source not in sources:
        raise unknown("source", settings.source, sources)
    return open_source(settings.source, sources[settings.source], Tables.disk)


def plot(settings: PlotSettings) -> None:
    """Draw what is in a store."""
    figure = picture(overview(open_one(settings), settings.episodes))
    write_picture(figure, Path(settings.out), dpi=110)
    Screen(soft_wrap=True).print(f"wrote {settings.out}")
