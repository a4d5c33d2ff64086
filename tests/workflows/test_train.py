"""What a training says, and which of its checkpoints is taken."""

import json
import re
from pathlib import Path

import pytest

from ambient_policy.cli import perform
from ambient_policy.errors import CheckpointError, SettingsError
from ambient_policy.policy_folder import read_config, write_config
from ambient_policy.saved import find_policy, open_policy
from ambient_policy.tracking import Tracker
from ambient_policy.workflows.screen import Row

VALIDATED = [
    "arm=ambient",
    "sources.trusted.val_ratio=0.3",
    "training.validation={every: 1, windows: 8, bands: [0.5]}",
    "training.checkpoint_every=1",
    "training.keep_last=null",
    "training.declared=best",
]


def held_out_loss(step: int, run: Path) -> float:
    record = json.loads((run / f"checkpoints/step-{step:07d}/config.json").read_text())
    return float(record["held_out_loss"])


def test_a_validated_training(
    shared_maze: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    perform("train", [*shared_maze, *VALIDATED, f"root={tmp_path}"])
    words, run = capsys.readouterr().out, tmp_path / "ambient" / "seed-0"
    assert re.search(r"^ *trusted +trusted +2 +40 ", words, re.M) and "(+1 held" in words
    assert re.search(r"^ *suboptimal +suboptimal +5 +100 ", words, re.M)
    assert ", held out 0." in words
    assert "samples/s;" in words
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["validation/loss"] for row in rows}
    assert losses == {step: held_out_loss(step, run) for step in (1, 2, 3, 4)}
    assert all(0 < row["data_share"] < 1 and 0 < row["step_share"] < 1 for row in rows)
    assert all(row["validation/action_error"] > 0 for row in rows)

    worst = max(losses, key=lambda step: losses[step])
    folder = run / f"checkpoints/step-{worst:07d}"
    write_config(folder, {**read_config(folder), "held_out_loss": 0.0})
    assert find_policy(run) == folder
    assert open_policy(run).step == worst
    assert open_policy(run, 3).step == 3


@pytest.mark.parametrize(
    ("stop", "words"),
    [(1, "has no checkpoint yet .training.checkpoint_every = 2"), (3, "last checkpoint at step 2")],
)
def test_an_interruption_says_from_which_step_it_goes_on(
    shared_maze: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
    words: str,
) -> None:
    def write(tracker: Tracker, row: Row) -> None:
        if row["step"] == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(Tracker, "write", write)
    with pytest.raises(KeyboardInterrupt) as caught:
        perform("train", [*shared_maze, f"root={tmp_path}"])
    (note,) = caught.value.__notes__
    assert re.match(f"{tmp_path}/ambient/seed-0 {'has its ' * (stop > 2)}{words}", note)


def test_an_unfinished_training_has_declared_nothing(
    shared_maze: list[str], tmp_path: Path
) -> None:
    perform("train", [*shared_maze, *VALIDATED, f"root={tmp_path}"])
    run = tmp_path / "ambient" / "seed-0"
    (run / "checkpoints/step-0000004").rename(run / "checkpoints/.step-0000004.discarded")
    with pytest.raises(CheckpointError, match=r"no best checkpoint yet.*Finish the training"):
        open_policy(run)


def test_validation_without_anything_held_out_leaves_no_trace(
    shared_maze: list[str], tmp_path: Path
) -> None:
    nothing = [o for o in VALIDATED if "val_ratio" not in o]
    with pytest.raises(SettingsError, match=r"no source holds episodes out"):
        perform("train", [*shared_maze, *nothing, f"root={tmp_path}"])
    assert not list(tmp_path.iterdir())
