"""What each source of a training contributes: ``python scripts/describe.py experiment=maze``.

Takes train's settings. A table of episodes, windows, hours, probabilities and thresholds; with
``out=sources.png`` also P(source | sigma) over the noise levels of training, those that the solver
visits marked.
"""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ambient_policy.evaluation.figures import probabilities
from ambient_policy.evaluation.tables import print_contributions
from ambient_policy.settings import RunSettings
from ambient_policy.workflows.contributions import contributions
from ambient_policy.workflows.mixing import build_mixture, build_sampler
from ambient_policy.workflows.picture_file import check_picture, write_picture


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
    """Build, print, draw."""
    mixture, _ = build_mixture(settings)
    told = contributions(mixture, build_sampler(settings, mixture), settings.sources)
    console = Console()
    print_contributions(told.rows, console)
    if settings.out is not None:
        visited = [call.sigma for call in settings.solver.calls(settings.noise)]
        figure = probabilities(told.chances, told.thresholds, visited)
        write_picture(figure, Path(settings.out), dpi=144)
        console.print(f"wrote {settings.out}", highlight=False, markup=False)
