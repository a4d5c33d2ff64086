"""The runs of a comparison, and their trainings side by side."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ambient_policy.errors import AmbientPolicyError, SettingsError
from ambient_policy.saved import steps_saved
from ambient_policy.settings import RunSettings
from ambient_policy.workflows.preparation import Parts
from ambient_policy.workflows.training import refuse_other

# of a log [bytes]
LONGEST_ROW = 16_384


@dataclass
class CompareSettings:
    """Which arms, how often, on which starts."""

    # folder of runs, table and page
    root: str = "???"
    # heading of the page, and what it can and cannot show
    title: str = "Comparison"
    summary: str = ""
    # for every run, e.g. experiment=maze
    overrides: list[str] = field(default_factory=list)
    # label -> what else makes this arm, e.g. arm=ambient
    arms: dict[str, list[str]] = field(default_factory=dict)
    # training seeds
    seeds: list[int] = field(default_factory=lambda: [0, 1])
    # arm that the others are compared with; null = none
    baseline: str | None = None
    # starts, the same for every arm: their number, and the seed of the first
    episodes: int = 200
    first_seed: int = 100000
    # of denoising noise and bootstrap
    seed: int = 0
    # trainings at a time, one thread each
    workers: int = 2
    # also write <publish>.json (a record per arm and training seed) and the figures to <publish>/
    publish: str | None = None
    # the world's own numbers to show, e.g. coverage
    extra: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("episodes", "workers"):
            value = getattr(self, name)
            if value < 1:
                raise SettingsError(f"{name} = {value} must be at least 1.")
        if not self.arms or not self.seeds:
            raise SettingsError(
                f"arms = {list(self.arms)}, seeds = {self.seeds}: name at least one of each, "
                "e.g. comparison=maze."
            )


@dataclass(frozen=True, eq=False)
class Run:
    """One training of a comparison."""

    arm: str
    seed: int
    overrides: list[str]
    parts: Parts

    @property
    def settings(self) -> RunSettings:
        """Of the training."""
        return self.parts.settings

    @property
    def folder(self) -> Path:
        """Where it lives."""
        return Path(self.settings.folder)

    @property
    def finished(self) -> bool:
        """Whether this very training has its last checkpoint."""
        saved = steps_saved(self.folder / "checkpoints")
        return refuse_other(self.folder, self.settings) and self.settings.training.steps in saved


def steps_done(folder: Path) -> int:
    """As far as the end of the log in a run's folder tells."""
    path = folder / "log.jsonl"
    if not path.exists():
        return 0
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - LONGEST_ROW))
        *whole, _ = log.read().split(b"\n")  # a last line may be half written
    return int(json.loads(whole[-1])["step"]) if whole else 0


def _train(run: Run) -> None:
    """One training in a process of its own; its words go to the run's folder."""
    if run.finished:
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ambient_policy", "train", *run.overrides]
    with (run.folder / "train.log").open("w") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        words = (run.folder / "train.log").read_text().strip().splitlines()[-5:]
        raise AmbientPolicyError(f"training {run.folder} failed: {' '.join(words)}")


def _watch(futures: Mapping[Run, "Future[None]"], bar: Progress) -> None:
    tasks = {
        run: bar.add_task(f"{run.arm}, seed {run.seed}", total=run.settings.training.steps)
        for run in futures
    }
    while True:
        finished = all(future.done() for future in futures.values())
        for run, task in tasks.items():
            bar.update(task, completed=steps_done(run.folder))
        for future in futures.values():
            if future.done():
                future.result()
        if finished:
            return
        time.sleep(1)


def train_all(runs: Sequence[Run], workers: int, console: Console) -> None:
    """Train what is not trained; runs that start from another run come after it."""
    waves = (
        [run for run in runs if run.settings.start_from is None],
        [run for run in runs if run.settings.start_from is not None],
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    for wave in waves:
        with (
            Progress(*columns, TimeRemainingColumn(), console=console) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            try:
                _watch({run: pool.submit(_train, run) for run in wave}, bar)
            except AmbientPolicyError:
                console.print("a training failed; waiting for those under way")
                pool.shutdown(cancel_futures=True)
                raise
