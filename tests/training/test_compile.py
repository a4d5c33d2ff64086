"""What is compiled computes what is not; and how precise bfloat16 is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ambient_policy.policy import Policy
from ambient_policy.settings import Precision, RunSettings
from ambient_policy.training.checkpoint import TrainingState
from ambient_policy.training.loop import begin, train
from tests.training.toy import Rows, batch_at, make_policy, make_settings


class Small(nn.Module):
    """A denoiser that compiles in seconds: F(x, c_noise, condition) = tanh(A [x, c, condition])."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(2 + 1 + 4, 2)

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
        told = torch.cat([c_noise[:, None], condition], dim=1)[:, None].expand(-1, x.shape[1], -1)
        mixed: Tensor = self.mix(torch.cat([x, told], dim=2))
        return mixed.tanh()


def small_policy(run: RunSettings) -> Policy:
    policy = make_policy(run)
    torch.manual_seed(0)
    policy.network = Small()
    return policy


def result(root: Path, **changes: Any) -> tuple[TrainingState, Rows]:
    run = make_settings(learning_rate=0.01, **changes)
    state = begin(small_policy(run), run, root)
    return state, list(train(state, batch_at, run, root))


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    """Forget what other tests compiled."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def losses(rows: Rows) -> Tensor:
    return torch.tensor([[row["loss"], row["gradient_norm"]] for row in rows])


def test_a_compiled_training_equals_an_eager_one(tmp_path: Path) -> None:
    with torch._dynamo.config.patch(error_on_recompile=True):  # no step makes the code anew
        state, rows = result(tmp_path / "compiled", compile=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    eager_state, eager_rows = result(tmp_path / "eager")
    torch.testing.assert_close(losses(rows), losses(eager_rows), rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(
        state.average.parameters(), eager_state.average.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_compiled_training_resumes(tmp_path: Path) -> None:
    whole, _ = result(tmp_path / "whole", compile=True)
    run = make_settings(learning_rate=0.01, compile=True)
    state = begin(small_policy(run), run, tmp_path / "broken")
    for row in train(state, batch_at, run, tmp_path / "broken"):
        if row["step"] > 6:
            break
    resumed, _ = result(tmp_path / "broken", compile=True)
    for ours, theirs in zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_bfloat16_follows_float32_and_keeps_weights_in_float32(tmp_path: Path) -> None:
    state, rows = result(tmp_path / "half", precision=Precision.bfloat16)
    _, exact = result(tmp_path / "whole")
    assert {p.dtype for p in state.policy.parameters()} == {torch.float32}
    torch.testing.assert_close(losses(rows), losses(exact), rtol=0.05, atol=0.0)
    assert not torch.equal(losses(rows), losses(exact))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("compiled", [False, True])
def test_no_step_waits_for_the_gpu(tmp_path: Path, compiled: bool) -> None:
    run = make_settings(
        device="cuda", compile=compiled, steps=40, log_every=20, checkpoint_every=40
    )
    state = begin(make_policy(run), run, tmp_path)
    batches = [batch_at(step).to(torch.device("cuda")) for step in range(40)]
    rows = train(state, lambda step, rows=slice(None): batches[step].rows(rows), run, tmp_path)
    next(rows)  # compiles
    synchronised = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchroniz") as warnings:
            next(rows)
    finally:
        torch.cuda.set_sync_debug_mode(synchronised)
    assert len(warnings) < 20  # the row's own few, not one a step
