"""The execution of a grid: train what is not trained, evaluate what is not evaluated."""

import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

from rich.console import Console

from ambient_policy.errors import AmbientPolicyError
from ambient_policy.jobs import open_jobs
from ambient_policy.progress import Bar, progress
from ambient_policy.settings import RunSettings
from ambient_policy.workflows.evaluation import EvaluateSettings, evaluate
from ambient_policy.workflows.grid import Grid, Run
from ambient_policy.workflows.training import train

LOG = "train.log"  # in the folder of a run: what its training and evaluation print
POLL = 2.0  # between two looks at the logs [s]


def execute(grid: Grid, console: Console) -> None:
    """Finish every run of a grid; one that fails stops no other.

    Raises:
        AmbientPolicyError: at the end, naming the runs that are not finished; at once when a worker
            is killed. The same call goes on from there.
    """
    finished = {run for run in grid.runs if grid.finished(run)}
    console.print(f"{len(grid.runs)} runs, {len(finished)} of them finished")
    left = replace(grid, runs=[run for run in grid.runs if run not in finished])
    failures: dict[Run, str] = {}
    if left.runs:
        with _shown(grid, finished, console), open_jobs(grid.jobs, apart=True) as jobs:
            for wave in left.waves():
                ready = [run for run in wave if _can_start(run, failures)]
                tasks = [(run.settings, grid.evaluation_of(run)) for run in ready]
                for number, failure in jobs.each(finish, tasks):
                    if failure:
                        failures[ready[number]] = failure
                    else:
                        finished.add(ready[number])
    _refuse_unfinished(grid, finished, failures)


def finish(settings: RunSettings, evaluation: EvaluateSettings | None) -> str:
    """In a worker: train and evaluate one run; its words go to train.log in its folder.

    Returns:
        the error that stopped it, or "".
    """
    folder = Path(settings.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            if not Run(settings, ()).trained:
                train(settings)
            if evaluation is not None:
                evaluate(evaluation)
        except Exception as error:
            traceback.print_exc()
            return f"{error}" or type(error).__name__
    return ""


def _can_start(run: Run, failures: dict[Run, str]) -> bool:
    """Whether the run that it starts from was trained; notes a failure if not."""
    if run.start is not None and run.start in {other.folder for other in failures}:
        failures[run] = f"{run.start}, which it starts from, is not trained"
    return run not in failures


def _refuse_unfinished(grid: Grid, finished: Collection[Run], failures: dict[Run, str]) -> None:
    left = [run for run in grid.runs if run not in finished]
    if left:
        lines = [
            f"{run.folder} ({run.step} of {run.settings.training.steps} steps; see its {LOG}): "
            f"{failures.get(run, 'it was not begun')}"
            for run in left
        ]
        raise AmbientPolicyError(
            "\n".join([f"{len(left)} of {len(grid.runs)} runs are not finished:", *lines])
        )


@contextmanager
def _shown(grid: Grid, finished: Collection[Run], console: Console) -> Iterator[None]:
    """Show how far all runs are, as their logs tell, while the block runs."""
    ended = Event()
    total = sum(run.settings.training.steps for run in grid.runs)

    def update(bar: Bar) -> None:
        title = f"{len(finished)} of {len(grid.runs)} runs"
        bar.update(sum(run.step for run in grid.runs), title)

    def watch(bar: Bar) -> None:
        while not ended.wait(POLL):
            update(bar)

    with progress("runs", total, console=console) as bar:
        update(bar)
        thread = Thread(target=watch, args=(bar,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            update(bar)
