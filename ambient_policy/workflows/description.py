"""What each source of a training contributes.

``out=sources.png`` also draws P(source | sigma) over the noise
levels of training, with those that the solver visits.
"""

from dataclasses import dataclass
from pathlib import Path

from ambient_policy.evaluation.figures import probabilities
from ambient_policy.settings import RunSettings
from ambient_policy.terminal import Screen
from ambient_policy.workflows.contributions import contributions
from ambient_policy.workflows.picture import check_picture, write_picture
from ambient_policy.workflows.preparation import prepare
from ambient_policy.workflows.screen import show_sources


@dataclass
class DescribeSettings(RunSettings):
    """A training's settings, and where to draw its mixture."""

    # of the figure: .png, .pdf or .svg; null = none
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out is not None:
            check_picture("out", self.out)


def describe(settings: DescribeSettings) -> None:
    """Show what each source of a training contributes, at which noise levels."""
    console, parts = Screen(), prepare(settings)
    show_sources(parts, console)
    if settings.out is not None:
        visited = [call.sigma for call in settings.solver.calls(settings.noise)]
        shares = contributions(parts.mixture, parts.sampler)
        figure = probabilities(shares.chances, shares.thresholds, visited)
        write_picture(figure, Path(settings.out), dpi=144)
        console.print(f"wrote {settings.out}")
