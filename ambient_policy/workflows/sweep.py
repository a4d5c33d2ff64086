"""Train every combination of settings with several values.

ambient-policy sweep experiment=maze arm=cotrain,ambient 'seed=range(5)' jobs.workers=4
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

from ambient_policy.errors import SettingsError
from ambient_policy.jobs import JobSettings
from ambient_policy.settings import RunSettings
from ambient_policy.terminal import Screen
from ambient_policy.workflows.arms import CompareSettings
from ambient_policy.workflows.command import command_line
from ambient_policy.workflows.evaluation import RolloutSettings
from ambient_policy.workflows.execution import execute
from ambient_policy.workflows.grid import Grid, Run, check_grid
from ambient_policy.workflows.settings import combinations, compose

# keys of a sweep that are not of its trainings
OWN = ("jobs", "evaluation")
# of the overrides of a run, those that say which run of its arm it is
NAMES = ("root", "label", "seed")


@dataclass
class EvaluationSettings(RolloutSettings):
    """The evaluation of every run after its training."""

    # number of starts, and the seed of the first; 0 = no evaluation
    episodes: int = 0

    def __post_init__(self) -> None:
        if self.episodes:
            super().__post_init__()

    @property
    def rollouts(self) -> RolloutSettings | None:
        """On which starts; None for no evaluation."""
        values = {item.name: getattr(self, item.name) for item in fields(RolloutSettings)}
        return RolloutSettings(**values) if self.episodes else None


@dataclass
class SweepSettings(RunSettings):
    """A run, where all runs run, and how their policies are evaluated."""

    # how many runs at a time, and where
    jobs: JobSettings = field(default_factory=JobSettings)
    # of every run after its training, with evaluation.episodes=200
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    @property
    def run(self) -> RunSettings:
        """The training alone."""
        return RunSettings(**{item.name: getattr(self, item.name) for item in fields(RunSettings)})


def sweep(words: Sequence[str]) -> None:
    """Train every combination of settings with several values: arm=cotrain,ambient seed=range(5).

    Values with commas outside of brackets, range() and choice() are swept over. All runs are
    composed and checked before the first starts. Started again, the sweep goes on.
    """
    console, grid = Screen(), plan(words)
    execute(grid, console)
    for command in compare_commands(grid):
        console.print(command, soft_wrap=True)


def plan(words: Sequence[str]) -> Grid:
    """All runs of a sweep, checked.

    Raises:
        AmbientPolicyError: for whatever is wrong with any of them; nothing is written then.
    """
    points = [(point, compose("sweep", point)) for point in combinations(words)]
    first: SweepSettings = points[0][1]
    for _, settings in points:
        if (settings.jobs, settings.evaluation) != (first.jobs, first.evaluation):
            raise SettingsError(
                "jobs and evaluation are the same for all runs of a sweep: give each of their keys "
                "one value."
            )
    runs = [Run(settings.run, _of_training(point)) for point, settings in points]
    grid = Grid(runs, first.jobs, first.evaluation.rollouts)
    check_grid(grid)
    return grid


def compare_commands(grid: Grid) -> list[str]:
    """For each root, the command that evaluates what is not evaluated and tables all arms."""
    roots = dict.fromkeys(run.settings.root for run in grid.runs)
    return [command_line("compare", _comparison(root, grid)) for root in roots]


def _comparison(root: str, grid: Grid) -> CompareSettings:
    runs = [run for run in grid.runs if run.settings.root == root]
    shared = [o for o in runs[0].overrides if all(o in run.overrides for run in runs)]
    return CompareSettings(
        root=root,
        overrides=_unnamed(shared),
        arms={run.arm: _unnamed(o for o in run.overrides if o not in shared) for run in runs},
        seeds=sorted({run.seed for run in runs}),
        evaluation=grid.evaluation or RolloutSettings(),
    )


def _of_training(overrides: Sequence[str]) -> list[str]:
    return [o for o in overrides if o.lstrip("+~").partition("=")[0].split(".")[0] not in OWN]


def _unnamed(overrides: Iterable[str]) -> list[str]:
    return [o for o in overrides if o.partition("=")[0] not in NAMES]
