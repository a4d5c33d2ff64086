"""One run by several processes, from the command line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ambient_policy.cli import perform
from ambient_policy.saved import load_policy, steps_saved
from ambient_policy.tracking import read_rows

pytestmark = pytest.mark.slow
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(overrides: list[str]) -> "subprocess.CompletedProcess[str]":
    command = [*TORCHRUN, "-m", "ambient_policy", "train", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_two_processes_train_one_run(shared_maze: list[str], tmp_path: Path) -> None:
    overrides = [*shared_maze, "loss.ambient=true", "training.accumulate=2"]
    validation = ["sources.trusted.val_ratio=0.3", "training.validation={every: 2, windows: 8}"]
    overrides += [*validation, "training.validation.bands=[0.5]"]
    one, two = (tmp_path / name / "ambient" / "seed-0" for name in ("one", "two"))
    perform("train", [*overrides, f"root={tmp_path}/one"])
    ended = torchrun([*overrides, f"root={tmp_path}/two"])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("from step 0 to 4") == 1  # told by one of them
    rows = [read_rows(run / "log.jsonl") for run in (one, two)]
    assert [row["step"] for row in rows[1]] == [1, 2, 3, 4]
    for name in ("loss", "gradient_norm", "validation/loss", "validation/action_error"):
        alone, together = ([row[name] for row in of if name in row] for of in rows)
        assert len(together) >= 2
        np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert steps_saved(two / "checkpoints") == [2, 4]
    load_policy(two / "checkpoints" / "step-0000004")


def test_a_refusal_ends_all_processes(shared_maze: list[str], tmp_path: Path) -> None:
    ended = torchrun([*shared_maze, f"root={tmp_path}", "training.batch=7"])
    assert ended.returncode != 0
    assert "training.batch = 7 does not fall into 2 equal parts" in " ".join(ended.stderr.split())
    assert not list(tmp_path.iterdir())
