"""Train a grid of runs: ``python scripts/sweep.py arm=cotrain,ambient 'seed=range(5)'``.

Through Hydra's multirun: on this machine, or with ``hydra/launcher=slurm`` or ``ray_cluster`` on
many. All runs are composed and checked before the first starts; started again, the sweep continues.
Settings ``evaluate.*`` are evaluate.py's: with any of them each run is evaluated after training.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console

from ambient_policy.workflows.grid import compare_commands, plan, split
from ambient_policy.workflows.jobs import report, task, watched
from ambient_policy.workflows.settings import CONFIGS


def launch(own: Sequence[str], engine: Sequence[str], call: Callable[[Any], None]) -> None:
    """Hand the grid to hydra."""
    # processes that other machines or engines start must find the scripts
    places = [str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(place for place in places if place)
    before = sys.argv
    sys.argv = [__file__, "--multirun", *own, *engine]
    try:
        hydra.main(config_path=str(CONFIGS), config_name="sweep", version_base="1.3")(call)()
    finally:
        sys.argv = before
        GlobalHydra.instance().clear()


def main(overrides: Sequence[str]) -> None:
    """Plan, launch, report."""
    jobs, console = plan(overrides), Console(file=sys.stdout)
    own, engine, evaluation = split(overrides)
    console.print(f"{len(jobs)} runs, {sum(job.finished for job in jobs)} of them finished")
    try:
        with watched(jobs, console):
            launch(own, engine, task(evaluation, Path.cwd()))
    finally:
        report(jobs, console)
    for command in compare_commands(jobs, evaluation):
        console.print(command, soft_wrap=True, markup=False, highlight=False)
