"""A grid of runs as one value: which they are, whether all can start, which are finished."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.records import EpisodeRecord
from ambient_policy.evaluation.worlds import check_named, find_spec
from ambient_policy.jobs import JobSettings, Where
from ambient_policy.saved import find_policy, steps_saved
from ambient_policy.settings import RunSettings
from ambient_policy.training.loop import check_device
from ambient_policy.workflows.evaluation import EvaluateSettings, RolloutSettings, stored_episodes
from ambient_policy.workflows.preparation import prepare
from ambient_policy.workflows.training import check_label, refuse_other

LONGEST_ROW = 16_384  # of a log [bytes]


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a grid.

    Attributes:
        settings: of its training.
        overrides: of the ``ambient-policy train`` that trains it alone.
    """

    settings: RunSettings
    overrides: Sequence[str]

    @property
    def arm(self) -> str:
        """The label that the runs of an arm share."""
        return self.settings.label

    @property
    def seed(self) -> int:
        """The training seed."""
        return self.settings.seed

    @cached_property
    def folder(self) -> Path:
        """Where it lives."""
        return Path(self.settings.folder)

    @property
    def start(self) -> Path | None:
        """The folder of the run whose weights it starts from."""
        return None if self.settings.start_from is None else Path(self.settings.start_from)

    @property
    def command(self) -> str:
        """The command that trains it alone."""
        return shlex.join(["ambient-policy", "train", *self.overrides])

    @property
    def trained(self) -> bool:
        """Whether its folder has the last checkpoint of this very training."""
        saved = steps_saved(self.folder / "checkpoints")
        return refuse_other(self.folder, self.settings) and self.settings.training.steps in saved

    @property
    def step(self) -> int:
        """How far it is, as the end of its log tells."""
        path = self.folder / "log.jsonl"
        if not path.exists():
            return 0
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LONGEST_ROW))
            *whole, _ = log.read().split(b"\n")  # a last line may be half written
        return int(json.loads(whole[-1])["step"]) if whole else 0


@dataclass(frozen=True)
class Grid:
    """Runs, where they run, and how their policies are evaluated.

    Attributes:
        runs: each in a folder of its own.
        jobs: how many at a time, and where.
        evaluation: of each after its training; None for no evaluation.
    """

    runs: Sequence[Run]
    jobs: JobSettings
    evaluation: RolloutSettings | None = None

    def evaluation_of(self, run: Run) -> EvaluateSettings | None:
        """The evaluation of a run."""
        if self.evaluation is None:
            return None
        choices = {f.name: getattr(self.evaluation, f.name) for f in fields(RolloutSettings)}
        choices["world"] = self.evaluation.world or run.settings.task.id or None
        return EvaluateSettings(**choices, run=str(run.folder))

    def episodes_of(self, run: Run) -> list[EpisodeRecord] | None:
        """The episodes of a trained run, if it is evaluated."""
        evaluation = self.evaluation_of(run)
        return None if evaluation is None else stored_episodes(evaluation)

    def finished(self, run: Run) -> bool:
        """Whether nothing is left to do for a run."""
        return run.trained and (self.evaluation is None or self.episodes_of(run) is not None)

    def waves(self) -> Iterator[list[Run]]:
        """The runs in groups that can run side by side: a run comes after the one it starts from.

        Raises:
            SettingsError: for runs that start from each other.
        """
        left = list(self.runs)
        while left:
            pending = {run.folder for run in left}
            wave = [run for run in left if run.start not in pending]
            if not wave:
                raise SettingsError(f"{left[0].folder} starts from a run that starts from it.")
            yield wave
            left = [run for run in left if run not in wave]


def check_grid(grid: Grid) -> None:
    """Refuse a grid of which any run could not be trained or evaluated.

    Raises:
        AmbientPolicyError: before anything is written.
    """
    _check_folders(grid)
    for run in grid.runs:
        _check_devices(run, grid)
        _check_evaluation(run, grid)
    _check_data(grid)


def _check_folders(grid: Grid) -> None:
    """Refuse two runs in one folder, folders of other runs, and starts that are not trained."""
    taken: dict[Path, Run] = {}
    for run in grid.runs:
        other = taken.setdefault(run.folder, run)
        if other is not run:
            differ = " | ".join(sorted(set(run.overrides) ^ set(other.overrides)))
            raise SettingsError(
                f"two runs would share {run.folder}; they differ in {differ or 'nothing'}. Put "
                "what differs into the label, e.g. 'label=ambient_${tuned.sigma_min}'."
            )
        check_label(run.settings)
        refuse_other(run.folder, run.settings)
    for run in grid.runs:
        if run.start is not None and run.start not in taken:
            find_policy(run.start)
    list(grid.waves())


def _check_devices(run: Run, grid: Grid) -> None:
    """Refuse devices that are not here, where the work is done here."""
    if grid.jobs.where is Where.here:
        check_device(run.settings.training.device)
        if grid.evaluation is not None and grid.evaluation.device is not None:
            check_device(grid.evaluation.device, "evaluation.device")


def _check_evaluation(run: Run, grid: Grid) -> None:
    """Refuse a solver that does not fit the noise levels."""
    if grid.evaluation is not None:
        grid.evaluation.solver.apply(run.settings.solver).calls(run.settings.noise)


def _check_data(grid: Grid) -> None:
    """Prepare every kind of run that is to be trained once, and drop it again.

    Refuses data that cannot be used, and a task to evaluate in that has no world here.
    """
    kinds: list[RunSettings] = []
    for run in grid.runs:
        kind = replace(run.settings, seed=0, label="any", start_from=None)
        if kind not in kinds and not run.trained:
            spec = prepare(run.settings).spec
            kinds.append(kind)
            if grid.evaluation is not None:
                check_named(spec.task, grid.evaluation.world or run.settings.task.id)
                find_spec(spec.task)
