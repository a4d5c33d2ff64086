"""A training that is killed again and again ends as if nothing had happened."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_policy.cli import perform
from ambient_policy.settings import RunSettings
from ambient_policy.tracking import read_rows
from ambient_policy.training.checkpoint import folder_of, load_policy, restore, steps_saved
from ambient_policy.training.loop import begin
from ambient_policy.workflows import training as train
from ambient_policy.workflows.folders import declared_checkpoint
from ambient_policy.workflows.preparation import build, initial_policy
from ambient_policy.workflows.settings import compose

KILLS, MOST_WRITES = 24, 4  # lives, and checkpoints begun in one life
STEPS, EVERY = 240, 2
TIMES = ("samples_per_second", "data_share", "step_share")

Start = Callable[[list[str]], BaseProcess]


def overrides_of(maze: list[str], root: Path) -> list[str]:
    """A training that writes more checkpoints than it can in all its lives but the last."""
    return [
        *maze,
        f"root={root}",
        "loss.ambient=true",
        f"training.steps={STEPS}",
        f"training.log_every={EVERY}",
        f"training.checkpoint_every={EVERY}",
        "training.keep_last=2",
        "training.declared=best",
        "sources.trusted.held_out=0.3",
        f"training.validation={{every: {EVERY}, windows: 8, bands: [0.5]}}",
    ]


def work(overrides: list[str], words: Path) -> None:
    """The training, what it says written to a file."""
    with words.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        perform("train", overrides)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a training in a process of its own, its imports done beforehand."""
    monkeypatch.setenv("PYTHONPATH", str(Path(train.__file__).parent))  # for the preloading
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train", "torch._dynamo"])

    def begin_life(overrides: list[str]) -> BaseProcess:
        process = context.Process(target=work, args=(overrides, tmp_path / "words"))
        process.start()
        return process

    return begin_life


def wait(checkpoints: Path, writes: float, seconds: float) -> None:
    """Until so many checkpoints have begun to be written, or so much time has passed."""
    seen: set[str] = set()
    end = time.perf_counter() + seconds
    while len(seen) < writes and time.perf_counter() < end:
        seen.update(path.name for path in checkpoints.glob(".step-*.partial"))
        time.sleep(0.0005)


def kill(process: BaseProcess) -> None:
    assert process.is_alive(), "the training ended before it could be killed"
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def live_and_die(process: BaseProcess, checkpoints: Path, chance: np.random.Generator) -> None:
    """A third of the deaths come at any moment, the others while a checkpoint is written."""
    if chance.random() < 1 / 3:
        wait(checkpoints, MOST_WRITES, chance.uniform(0.0, 1.0))
    else:
        wait(checkpoints, int(chance.integers(1, MOST_WRITES, endpoint=True)), 60.0)
        time.sleep(chance.uniform(0.0, 0.02))
    kill(process)


def check_all(checkpoints: Path, settings: RunSettings) -> int:
    """Load every checkpoint there is, weights and optimiser; how many there are."""
    saved = steps_saved(checkpoints)
    for step in saved:
        load_policy(folder_of(checkpoints, step))
        state = begin(initial_policy(build(settings)), settings, checkpoints / "none")
        restore(folder_of(checkpoints, step), state)
        assert state.step == step
    return len(saved)


def told(run: Path) -> list[dict[str, Any]]:
    """The log without the time it took."""
    rows = read_rows(run / "log.jsonl")
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def test_a_training_killed_again_and_again_equals_an_undisturbed_one(
    shared_maze: list[str], tmp_path: Path, start: Start
) -> None:
    whole, broken = (overrides_of(shared_maze, tmp_path / name) for name in ("whole", "broken"))
    runs = [tmp_path / name / "ambient" / "seed-0" for name in ("whole", "broken")]
    checkpoints, settings = runs[1] / "checkpoints", compose("train", broken)
    chance = np.random.default_rng(0)
    progress, cut_short = [], 0
    for _ in range(KILLS):
        live_and_die(start(broken), checkpoints, chance)
        progress.append(max(steps_saved(checkpoints), default=0))
        cut_short += bool(list(checkpoints.glob(".step-*")))
        assert check_all(checkpoints, settings) <= 4  # the latest two, the best, and one to go
    assert 0 < progress[-1] < STEPS
    assert progress == sorted(progress)
    assert cut_short > 0
    last = start(broken)
    perform("train", whole)
    last.join()
    assert last.exitcode == 0
    assert told(runs[1]) == told(runs[0])
    assert len(told(runs[0])) == STEPS // EVERY
    kept = [steps_saved(run / "checkpoints") for run in runs]
    assert kept[0] == kept[1]
    for step in kept[0]:
        ours, theirs = (folder_of(run / "checkpoints", step) for run in runs)
        for file in ("weights", "average", "optimizer"):
            assert (ours / f"{file}.safetensors").read_bytes() == (
                theirs / f"{file}.safetensors"
            ).read_bytes()
    assert declared_checkpoint(runs[1]).name == declared_checkpoint(runs[0]).name
