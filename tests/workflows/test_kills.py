"""A training that is killed again and again ends as if nothing had happened."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_policy.cli import perform
from ambient_policy.saved import find_policy, folder_of, load_policy, steps_saved
from ambient_policy.settings import RunSettings
from ambient_policy.tracking import read_rows
from ambient_policy.training.checkpoint import restore
from ambient_policy.training.loop import begin
from ambient_policy.workflows.preparation import initial_policy, prepare
from ambient_policy.workflows.settings import compose
from tests.kills import Moment, kill

pytestmark = pytest.mark.slow

KILLS, MOST_CHANGES = 24, 24  # lives, and changes of files in one life: about four checkpoints
STEPS, EVERY = 240, 2
TIMES = ("samples_per_second", "data_share", "step_share")


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
        "sources.trusted.val_ratio=0.3",
        f"training.validation={{every: {EVERY}, windows: 8, bands: [0.5]}}",
    ]


def moment_of(run: Path, chance: np.random.Generator) -> Moment:
    """A third of the deaths come at any change of the run, the others at one of a checkpoint."""
    if chance.random() < 1 / 3:
        return Moment(run, int(chance.integers(1, MOST_CHANGES)))
    return Moment(run / "checkpoints", int(chance.integers(2, MOST_CHANGES)))


def check_all(checkpoints: Path, settings: RunSettings) -> int:
    """Load every checkpoint there is, weights and optimiser; how many there are."""
    saved = steps_saved(checkpoints)
    for step in saved:
        load_policy(folder_of(checkpoints, step))
        state = begin(initial_policy(prepare(settings)), settings, checkpoints / "none")
        restore(folder_of(checkpoints, step), state)
        assert state.step == step
    return len(saved)


def told(run: Path) -> list[dict[str, Any]]:
    """The log without the time it took."""
    rows = read_rows(run / "log.jsonl")
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def test_a_training_killed_again_and_again_equals_an_undisturbed_one(
    shared_maze: list[str], tmp_path: Path
) -> None:
    whole, broken = (overrides_of(shared_maze, tmp_path / name) for name in ("whole", "broken"))
    runs = [tmp_path / name / "ambient" / "seed-0" for name in ("whole", "broken")]
    checkpoints, settings = runs[1] / "checkpoints", compose("train", broken)
    chance = np.random.default_rng(0)
    progress, cut_short = [], 0
    for _ in range(KILLS):
        moment = moment_of(runs[1], chance)
        kill(perform, "train", broken, at=moment)
        progress.append(max(steps_saved(checkpoints), default=0))
        cut_short += bool(list(checkpoints.glob(".step-*")))
        assert check_all(checkpoints, settings) <= 4  # the latest two, the best, and one to go
    assert 0 < progress[-1] < STEPS
    assert progress == sorted(progress)
    assert cut_short > 0
    perform("train", broken)
    perform("train", whole)
    assert told(runs[1]) == told(runs[0])
    assert len(told(runs[0])) == STEPS // EVERY
    kept = [steps_saved(run / "checkpoints") for run in runs]
    assert kept[0] == kept[1]
    for step in kept[0]:
        ours, theirs = (folder_of(run / "checkpoints", step) for run in runs)
        for file in ("weights", "model", "optimizer"):
            assert (ours / f"{file}.safetensors").read_bytes() == (
                theirs / f"{file}.safetensors"
            ).read_bytes()
    assert find_policy(runs[1]).name == find_policy(runs[0]).name
