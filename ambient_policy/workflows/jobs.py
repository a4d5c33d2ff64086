"""The runs of a sweep as jobs: what each does, in whatever process, and how far they all are."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from rich.console import Console
from rich.progress import Progress

from ambient_policy.saved import steps_saved
from ambient_policy.settings import RunSettings
from ambient_policy.workflows.evaluation import evaluate
from ambient_policy.workflows.runs import steps_done
from ambient_policy.workflows.settings import compose
from ambient_policy.workflows.training import train

# between two looks at the logs [s]
POLL = 2.0


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a sweep."""

    overrides: list[str]
    settings: RunSettings

    @property
    def folder(self) -> Path:
        """Where it lives."""
        return Path(self.settings.folder)

    @property
    def finished(self) -> bool:
        """Whether its last checkpoint is there."""
        return self.settings.training.steps in steps_saved(self.folder / "checkpoints")


def work(overrides: Sequence[str], evaluation: Sequence[str]) -> None:
    """One run, in whatever process; its words go to train.log in its folder."""
    folder = Path(compose("train", overrides).folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "train.log").open("a") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            train(compose("train", overrides))
            if evaluation:
                evaluate(compose("evaluate", [f"run={folder}", *evaluation]))
        except Exception:
            traceback.print_exc()
            raise


def task(evaluation: Sequence[str], home: Path) -> Callable[[Any], None]:
    """What hydra calls once per run; paths are relative to ``home`` wherever that is."""

    def call(_: Any) -> None:
        overrides = list(HydraConfig.get().overrides.task)
        GlobalHydra.instance().clear()  # it holds the sweep's config, and we compose the run's
        with chdir(home):
            work(overrides, evaluation)

    return call


def _watch(jobs: Sequence[Job], bar: Progress, ended: Event) -> None:
    task = bar.add_task("steps of all runs", total=sum(j.settings.training.steps for j in jobs))
    last = False
    while not last:
        last = ended.wait(POLL)
        bar.update(task, completed=sum(steps_done(job.folder) for job in jobs))


@contextmanager
def watched(jobs: Sequence[Job], console: Console) -> Iterator[None]:
    """Show how far all runs are, as their logs tell, until the block is left."""
    ended = Event()
    with Progress(console=console) as bar, ThreadPoolExecutor(1) as pool:
        pool.submit(_watch, jobs, bar, ended)
        try:
            yield
        finally:
            ended.set()


def report(jobs: Sequence[Job], console: Console) -> None:
    """How many are finished, and where the words of the others are."""
    left = [job for job in jobs if not job.finished]
    console.print(f"{len(jobs) - len(left)} of {len(jobs)} trainings are finished")
    for job in left:
        done = f"{steps_done(job.folder)} of {job.settings.training.steps} steps"
        console.print(f"unfinished: {job.folder} ({done}); see its train.log", soft_wrap=True)
