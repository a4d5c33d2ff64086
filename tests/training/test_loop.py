"""The loop: resuming is exact, checkpoints are whole or absent, divergence stops."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ambient_policy import policy_folder
from ambient_policy.batch import Batch
from ambient_policy.embodiments import Embodiment
from ambient_policy.errors import CheckpointError, DivergenceError, SettingsError
from ambient_policy.normalize import Affine, Normalizer
from ambient_policy.saved import load_policy, steps_saved
from ambient_policy.settings import TrainingSettings, from_json
from ambient_policy.training.checkpoint import TrainingState
from ambient_policy.training.loop import begin, train
from ambient_policy.training.optimize import average_decay, learning_rate
from tests.training.toy import Rows, batch_at, make_policy, make_settings, run_training

WIDE = Affine((0.0, 0.0), (2.0, 2.0))


def run(root: Path, until: int | None = None) -> tuple[TrainingState, Rows]:
    return run_training(root, make_settings(), until)


def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(tmp_path: Path) -> None:
    whole, rows = run(tmp_path / "whole")
    _, first_rows = run(tmp_path / "broken", until=6)
    assert steps_saved(tmp_path / "broken") == [6]
    broken, second_rows = run(tmp_path / "broken")
    broken_rows = first_rows + second_rows
    for part in ("policy", "average"):
        ours, theirs = (getattr(s, part).state_dict() for s in (whole, broken))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    moments = [s.optimizer.state_dict()["state"] for s in (whole, broken)]
    for i, slots in moments[0].items():
        assert all(torch.equal(slots[name], moments[1][i][name]) for name in slots)
    keys = ("step", "loss", "gradient_norm", "learning_rate")
    assert [[r[k] for k in keys] for r in rows] == [[r[k] for k in keys] for r in broken_rows]


def test_a_checkpoint_holds_everything_and_no_pickle(tmp_path: Path) -> None:
    state, _ = run(tmp_path)
    assert steps_saved(tmp_path) == [6, 12]
    folder = tmp_path / "step-0000012"
    assert {f.suffix for f in folder.iterdir()} == {".safetensors", ".json"}
    record = json.loads((folder / "config.json").read_text())
    assert from_json(record["settings"]) == make_settings()
    loaded = load_policy(folder)
    assert loaded.spec == state.policy.spec
    history = {"state": np.zeros((3, 2, 2), np.float32)}
    noise = np.ones((1, 3, 16, 2), np.float32)
    np.testing.assert_array_equal(loaded.plan(history, noise), state.average.plan(history, noise))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    def poisoned(step: int, rows: slice = slice(None)) -> Batch:
        batch = batch_at(step, rows)
        if step == 7:
            batch.actions[0, 0, 0] = torch.nan
        return batch

    state, rows = begin(make_policy(make_settings()), make_settings(), tmp_path), []
    sigma = batch_at(7).sigma
    text = rf"loss is nan.* at step 7 \(batch of 8 .*sigma {sigma.min():.4g} to {sigma.max():.4g}\)"
    with pytest.raises(DivergenceError, match=text):
        for row in train(state, poisoned, make_settings(), tmp_path):
            rows.append(row["step"])
    assert rows == [3, 6]  # there is no row from step 7 on
    assert steps_saved(tmp_path) == [6]
    weights = load_policy(tmp_path / "step-0000006").state_dict().values()
    assert all(torch.isfinite(w).all() for w in weights)


def test_a_full_disk_leaves_the_former_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, until=6)
    before = {f.name: f.read_bytes() for f in (tmp_path / "step-0000006").iterdir()}

    def full(tensors: object, path: Path, metadata: object = None) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(policy_folder, "save_file", full)
    state = begin(make_policy(make_settings()), make_settings(), tmp_path)
    with pytest.raises(CheckpointError, match=r"No space left.*free disk space"):
        list(train(state, batch_at, make_settings(), tmp_path))
    assert [f.name for f in tmp_path.iterdir()] == ["step-0000006"]
    assert before == {f.name: f.read_bytes() for f in (tmp_path / "step-0000006").iterdir()}


def test_a_run_whose_data_changed_is_not_resumed(tmp_path: Path) -> None:
    run(tmp_path, until=6)
    other = make_policy(make_settings())
    changed = Embodiment.whole(Normalizer(WIDE, WIDE))
    other.spec = replace(other.spec, embodiments={"toy": changed})
    with pytest.raises(CheckpointError, match=r"other values of embodiments .* than .*data change"):
        begin(other, make_settings(), tmp_path)


def test_broken_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere holds no policy: neither config.json"):
        load_policy(tmp_path / "nowhere")
    run(tmp_path, until=6)
    folder = tmp_path / "step-0000006"
    for name in ("model", "weights", "optimizer"):
        file = folder / f"{name}.safetensors"
        whole = file.read_bytes()
        for damaged in (whole[:100], whole[:-1] + bytes([whole[-1] ^ 1])):
            file.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=rf"{name}.safetensors: cannot be read: "):
                begin(make_policy(make_settings()), make_settings(), tmp_path)
        file.write_bytes(whole)
    begin(make_policy(make_settings()), make_settings(), tmp_path)


@pytest.mark.parametrize("name", ["model", "weights", "optimizer"])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, name: str) -> None:
    run(tmp_path, until=6)
    folder = tmp_path / "step-0000006"
    file = folder / f"{name}.safetensors"
    tensors = load_file(file)
    key = max(tensors, key=lambda key: tensors[key].numel())
    tensors[key].view(-1)[-1] = float("nan")
    save_file(tensors, file)
    policy_folder.write_config(folder, policy_folder.read_config(folder))
    text = rf"{name}.safetensors: {re.escape(key)} holds numbers that are not finite"
    with pytest.raises(CheckpointError, match=text):
        begin(make_policy(make_settings()), make_settings(), tmp_path)


def test_files_have_the_modes_that_others_have(tmp_path: Path) -> None:
    run(tmp_path, until=6)
    (tmp_path / "plain").touch()
    mode = (tmp_path / "plain").stat().st_mode
    assert {file.stat().st_mode for file in (tmp_path / "step-0000006").iterdir()} == {mode}


def test_schedules_of_the_optimiser() -> None:
    choices = TrainingSettings(steps=1000, warmup=100)
    rates = [learning_rate(step, choices) for step in range(1001)]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[100] == max(rates) == pytest.approx(1e-4)
    assert rates[550] == pytest.approx(0.5e-4)
    assert rates[1000] == pytest.approx(0.0, abs=1e-12)
    assert average_decay(0, choices) == 0.0
    assert average_decay(10**9, choices) == choices.ema_max


def test_settings_refuse_what_cannot_work() -> None:
    with pytest.raises(SettingsError, match=r"pred = 18 does not fit"):
        from_json({"horizons": {"pred": 18}})
    with pytest.raises(SettingsError, match=r"checkpoint_every = 100 must be a multiple"):
        TrainingSettings(checkpoint_every=100, log_every=30)
    with pytest.raises(SettingsError, match=r"keep_last = 0 must be at least 1, or null"):
        TrainingSettings(keep_last=0)
    with pytest.raises(SettingsError, match=r"accumulate = 0 must be at least 1"):
        TrainingSettings(accumulate=0)
    with pytest.raises(SettingsError, match=r"settings key 'training.steps'"):
        from_json({"training": {"steps": "many"}})
    with pytest.raises(SettingsError, match=r"settings key 'training.stepz' is unknown"):
        from_json({"training": {"stepz": 3}})
    with pytest.raises(SettingsError, match=r"solver.steps = 20 exceeds noise.levels = 10"):
        from_json({"solver": {"steps": 20}, "noise": {"levels": 10}})
