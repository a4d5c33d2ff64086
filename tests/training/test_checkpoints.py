"""Which checkpoints stay, which one is declared, and that none is ever half there."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ambient_policy.errors import CheckpointError
from ambient_policy.policy_folder import read_config, write_config
from ambient_policy.saved import best_step, declared_step, load_policy, steps_saved
from ambient_policy.settings import Declared, RunSettings
from ambient_policy.training.checkpoint import (
    TrainingState,
    prune,
    save,
)
from ambient_policy.training.loop import begin
from tests.training.toy import make_policy, make_settings


@pytest.fixture
def state(tmp_path: Path) -> TrainingState:
    run = make_settings()
    return begin(make_policy(run), run, tmp_path / "nothing")


def save_all(root: Path, state: TrainingState, losses: list[float | None]) -> None:
    """A checkpoint at steps 1, 2, ... with these held-out losses."""
    for step, loss in enumerate(losses, start=1):
        state.step = step
        save(root, state, make_settings(), loss)


def declaring(**changes: Any) -> RunSettings:
    run = make_settings(**changes)
    run.training.declared = Declared.best
    return run


def test_the_latest_few_and_the_best_stay(tmp_path: Path, state: TrainingState) -> None:
    save_all(tmp_path, state, [0.5, 0.2, 0.4, 0.3, 0.6])
    assert best_step(tmp_path) == 2
    prune(tmp_path, None)
    assert steps_saved(tmp_path) == [1, 2, 3, 4, 5]
    prune(tmp_path, 2)
    assert steps_saved(tmp_path) == [2, 4, 5]
    prune(tmp_path, 2)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [
        f"step-000000{step}" for step in (2, 4, 5)
    ]


def test_best_is_the_first_of_equals_and_a_number(tmp_path: Path, state: TrainingState) -> None:
    assert best_step(tmp_path) is None
    save_all(tmp_path, state, [None, float("nan"), 0.2, 0.2, float("inf")])
    assert best_step(tmp_path) == 3
    prune(tmp_path, 1)
    assert steps_saved(tmp_path) == [3, 5]


def test_without_validation_the_latest_stay(tmp_path: Path, state: TrainingState) -> None:
    save_all(tmp_path, state, [None, None, None])
    prune(tmp_path, 1)
    assert steps_saved(tmp_path) == [3]


def test_what_is_declared(tmp_path: Path, state: TrainingState) -> None:
    save_all(tmp_path, state, [0.5, 0.2, 0.4])
    assert declared_step(tmp_path, make_settings(steps=3)) == 3
    assert declared_step(tmp_path, declaring(steps=3)) == 2
    with pytest.raises(CheckpointError, match=r"step 4 is missing .*there: \[1, 2, 3\].*Finish"):
        declared_step(tmp_path, declaring(steps=4))  # a later one may be better
    with pytest.raises(CheckpointError, match=r"has no best checkpoint yet"):
        declared_step(tmp_path / "empty", declaring(steps=4))


def test_checkpoints_of_another_version_are_refused(tmp_path: Path, state: TrainingState) -> None:
    save_all(tmp_path, state, [0.5])
    folder = tmp_path / "step-0000001"
    write_config(folder, {**read_config(folder), "format": 99})
    text = rf"{folder}/config.json: 'format': 99 is there, this version reads 2. Use the version"
    run = make_settings()
    for reads in (load_policy, lambda _: begin(make_policy(run), run, tmp_path)):
        with pytest.raises(CheckpointError, match=text):
            reads(folder)


def test_a_description_that_changed_is_refused(tmp_path: Path, state: TrainingState) -> None:
    save_all(tmp_path, state, [0.5])
    config = tmp_path / "step-0000001/config.json"
    config.write_text(config.read_text().replace('"control_rate": 10.0', '"control_rate": 20.0'))
    with pytest.raises(CheckpointError, match=r"config.json: 'sha256': config.json is not as it"):
        load_policy(config.parent)


def test_a_checkpoint_given_up_is_never_half_there(
    tmp_path: Path, state: TrainingState, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all(tmp_path, state, [None, None])

    def killed(folder: Path, ignore_errors: bool = False) -> None:
        if folder.exists():
            next(folder.iterdir()).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        prune(tmp_path, 1)
    assert steps_saved(tmp_path) == [2]
    load_policy(tmp_path / "step-0000002")
    save_all(tmp_path, state, [None, None, None])  # clears away, and replaces what is there
    assert steps_saved(tmp_path) == [1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_checkpoint_is_replaced(tmp_path: Path, state: TrainingState) -> None:
    save_all(tmp_path, state, [0.5])
    save_all(tmp_path, state, [0.4])
    assert json.loads((tmp_path / "step-0000001/config.json").read_text())["held_out_loss"] == 0.4
    assert len(list(tmp_path.iterdir())) == 1
