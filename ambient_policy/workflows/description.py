"""What each source of a training contributes, or what the episodes of one store are like.

``out=sources.png`` also draws P(source | sigma) over the noise
levels of training, with those that the solver visits.
``path=data/mine.zarr`` lists a store's episodes and those that
stand out; ``out=episodes.csv`` writes the list.
"""

from dataclasses import dataclass
from pathlib import Path

from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.figures import probabilities
from ambient_policy.settings import RunSettings, SourceSettings
from ambient_policy.terminal import Screen
from ambient_policy.workflows.contributions import contributions
from ambient_policy.workflows.episodes import list_episodes, show_episodes, write_episodes
from ambient_policy.workflows.picture import check_picture, write_picture
from ambient_policy.workflows.preparation import open_source, prepare
from ambient_policy.workflows.screen import show_sources


@dataclass
class DescribeSettings(RunSettings):
    """A training's settings and where to draw its mixture, or a store to be listed."""

    # folder of a store of ours whose episodes are listed; null: a training is described
    path: str | None = None
    # the figure: .png, .pdf or .svg, the list of episodes: .csv; null = none
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out is None:
            return
        if self.path is None:
            check_picture("out", self.out)
        elif not self.out.endswith(".csv"):
            raise SettingsError(
                f"out = {self.out}: a list of episodes is a file that ends in .csv."
            )


def describe(settings: DescribeSettings) -> None:
    """Show what each source of a training contributes, at which noise levels."""
    console = Screen()
    if settings.path is not None:
        _describe_store(settings.path, settings.out, console)
        return
    parts = prepare(settings)
    show_sources(parts, console)
    if settings.out is not None:
        visited = [call.sigma for call in settings.solver.calls(settings.noise)]
        shares = contributions(parts.mixture, parts.sampler)
        figure = probabilities(shares.chances, shares.thresholds, visited)
        write_picture(figure, Path(settings.out), dpi=144)
        console.print(f"wrote {settings.out}")


def _describe_store(path: str, out: str | None, console: Screen) -> None:
    store = open_source("store", SourceSettings(path=path))
    lines = list_episodes(store)
    show_episodes(store, lines, console)
    if out is not None:
        write_episodes(Path(out), lines)
        console.print(f"wrote {out}")
