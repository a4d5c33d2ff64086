"""Validation: the averaged weights' loss in bands of sigma, and the error of their actions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ambient_policy.batch import Batch
from ambient_policy.diffusion.law import UniformOverLevels
from ambient_policy.errors import SettingsError
from ambient_policy.policy import Policy
from ambient_policy.saved import best_step, steps_saved
from ambient_policy.settings import Declared, LossSettings, ValidationSettings
from ambient_policy.training.loop import begin, train
from ambient_policy.training.validation import action_error, bands, held_out_draw, validate
from tests.training.toy import BATCH, batch_at, make_policy, make_settings, run_training

LAW = UniformOverLevels(np.geomspace(0.01, 10.0, 100))
BANDS = [0.1, 1.0]


def held_out() -> Batch:
    """The toy's batch by rising noise level."""
    batch = batch_at(99)
    batch.sigma.copy_(torch.linspace(0.05, 3.0, BATCH))
    return batch


def choices(**changes: object) -> ValidationSettings:
    return ValidationSettings(**{"every": 3, "windows": 8, "bands": BANDS, **changes})  # type: ignore[arg-type]


def test_levels_are_spread_over_the_law_and_windows_over_what_is_held_out() -> None:
    windows = np.arange(1000, 1300)
    draw = held_out_draw(windows, LAW, choices(windows=100))
    once_each = LAW.levels.astype(np.float32)
    np.testing.assert_array_equal(draw.sigma, once_each)
    assert set(draw.window) == set(range(1000, 1300, 3))
    assert not draw.sigma_trust.any()
    again = held_out_draw(windows, LAW, choices(windows=100))
    np.testing.assert_array_equal(draw.window, again.window)
    few = held_out_draw(np.array([5, 9]), LAW, choices(windows=40))
    assert np.unique(few.window, return_counts=True)[1].tolist() == [20, 20]


def test_bands_split_the_levels() -> None:
    sigma = np.array([0.05, 0.1, 0.2, 1.5])
    assert bands(sigma, BANDS) == [
        (0.0, 0.1, slice(0, 2)),
        (0.1, 1.0, slice(2, 3)),
        (1.0, float("inf"), slice(3, 4)),
    ]


def test_the_loss_is_the_mean_of_its_bands() -> None:
    policy, batch = make_policy(make_settings()).eval(), held_out()
    row = validate(policy, batch, LossSettings(), choices())
    sizes = [rows.stop - rows.start for _, _, rows in bands(batch.sigma.numpy(), BANDS)]
    parts = [row[f"validation/loss_{name}"] for name in ("0_0.1", "0.1_1", "1_inf")]
    assert min(sizes) > 0
    assert row["validation/loss"] == pytest.approx(np.average(parts, weights=sizes))
    assert row == validate(policy, batch, LossSettings(), choices())  # no chance in it


def test_action_error_is_in_the_actions_unit_over_what_is_executed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch, policy = held_out(), make_policy(make_settings())
    act = policy.horizons.act
    batch.is_pad[:, act - 2 :] = True

    def sample(self: Policy, seen: object, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        assert noise.shape == (policy.noises, *batch.actions.shape)
        wrong: NDArray[np.float32] = batch.actions.numpy() + np.float32(3.0)
        wrong[:, act - 2 :] = np.nan  # beyond the episode's end, or not executed
        return wrong

    monkeypatch.setattr(Policy, "sample", sample)
    assert action_error(policy, batch) == pytest.approx(3.0)


def test_a_run_validates_keeps_its_best_and_resumes_alike(tmp_path: Path) -> None:
    run = make_settings(
        log_every=1,
        checkpoint_every=3,
        keep_last=1,
        declared=Declared.best,
        validation=choices(),
        learning_rate=2.0,  # gets worse, so that the best is not the last
    )
    _, rows = run_training(tmp_path / "whole", run, held_out=held_out())
    losses = {row["step"]: row["validation/loss"] for row in rows if "validation/loss" in row}
    best = min(losses, key=lambda step: losses[step])
    assert list(losses) == [3, 6, 9, 12] and best != 12
    assert best_step(tmp_path / "whole") == best
    assert steps_saved(tmp_path / "whole") == [best, 12]
    run_training(tmp_path / "broken", run, until=7, held_out=held_out())
    _, rest = run_training(tmp_path / "broken", run, held_out=held_out())
    assert {row["step"]: row["validation/loss"] for row in rest if row["step"] % 3 == 0} == {
        9: losses[9],
        12: losses[12],
    }
    assert steps_saved(tmp_path / "broken") == [best, 12]


def test_validation_changes_nothing_of_the_training(tmp_path: Path) -> None:
    plain, _ = run_training(tmp_path / "plain", make_settings())
    validated, _ = run_training(
        tmp_path / "validated", make_settings(validation=choices()), held_out=held_out()
    )
    for ours, theirs in zip(
        plain.average.parameters(), validated.average.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_what_cannot_be_validated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no source holds episodes out; set .*held_out of a"):
        held_out_draw(np.array([], np.int64), LAW, choices())
    with pytest.raises(SettingsError, match=r"none of 8 levels lies above 20 and up to inf.*Give"):
        held_out_draw(np.arange(9), LAW, choices(bands=[1.0, 20.0]))
    run = make_settings(validation=choices())
    state = begin(make_policy(run), run, tmp_path)
    with pytest.raises(SettingsError, match=r"validation.every is set, but train\(\) got no held"):
        next(train(state, batch_at, run, tmp_path))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"every": 0}, r"every = 0 must be at least 1, or null"),
        ({"windows": 0}, r"windows = 0 must be at least 1"),
        ({"bands": [0.3, 0.1]}, r"bands = \[0.3, 0.1\] must rise and be positive"),
        ({"bands": [0.0, 0.1]}, r"bands = \[0.0, 0.1\] must rise"),
    ],
)
def test_settings_of_validation_are_checked(changes: dict[str, object], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        choices(**changes)


def test_settings_around_validation_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"declared = best needs training.validation.every"):
        make_settings(declared=Declared.best)
    with pytest.raises(SettingsError, match=r"every = 4 must be a multiple of training.log_every"):
        make_settings(validation=choices(every=4))
    with pytest.raises(SettingsError, match=r"every = 9 must divide training.checkpoint_every = 6"):
        make_settings(validation=choices(every=9))
