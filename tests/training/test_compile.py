"""What is compiled computes what is not; and how precise bfloat16 is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ambient_datasets.source import Source
from ambient_datasets.store import Attributes, Store
from ambient_datasets.tables import MemoryTable
from ambient_datasets.windows import Windows
from ambient_policy.batch import EMBODIMENT, INSTRUCTION, Batch, Draw
from ambient_policy.policy import Policy
from ambient_policy.settings import Dimensions, Precision, RunSettings, Trust
from ambient_policy.training.checkpoint import TrainingState
from ambient_policy.training.loop import begin, train
from tests.datasets.mixtures import join_sources, make_source
from tests.training.toy import (
    BATCH,
    Rows,
    batch_at,
    make_policy,
    make_settings,
    union_batch_at,
)

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Small(nn.Module):
    """A denoiser that compiles in seconds: F(x, c_noise, condition) = tanh(A [x, c, condition])."""

    def __init__(self, condition: int) -> None:
        super().__init__()
        self.mix = nn.Linear(2 + 1 + condition, 2)

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
        context = torch.cat([c_noise[:, None], condition], dim=1)[:, None].expand(
            -1, x.shape[1], -1
        )
        mixed: Tensor = self.mix(torch.cat([x, context], dim=2))
        return mixed.tanh()


def small_policy(run: RunSettings, union: bool = False) -> Policy:
    policy = make_policy(run, union)
    torch.manual_seed(0)
    policy.network = Small(policy.encoder.width)
    return policy


def result(root: Path, union: bool = False, **changes: Any) -> tuple[TrainingState, Rows]:
    run = make_settings(learning_rate=0.01, **changes)
    state = begin(small_policy(run, union), run, root)
    return state, list(train(state, union_batch_at if union else batch_at, run, root))


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    """Forget what other tests compiled."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def losses(rows: Rows) -> Tensor:
    return torch.tensor([[row["loss"], row["gradient_norm"]] for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize("union", [False, True], ids=["one body", "union"])
def test_a_compiled_training_equals_an_eager_one(tmp_path: Path, union: bool) -> None:
    with torch._dynamo.config.patch(error_on_recompile=True):  # no step makes the code anew
        state, rows = result(tmp_path / "compiled", union, compile=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    eager_state, eager_rows = result(tmp_path / "eager", union)
    # AdamW sends a weight of hardly any gradient where rounding says
    near, far = (1e-3, 1e-3) if union else (1e-4, 1e-6)
    torch.testing.assert_close(losses(rows[:1]), losses(eager_rows[:1]), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses(rows), losses(eager_rows), rtol=near, atol=1e-6)
    for ours, theirs in zip(
        state.average.parameters(), eager_state.average.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=near, atol=far)


@pytest.mark.slow
def test_a_compiled_training_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole, rows = result(tmp_path / "whole", compile=True)
    run = make_settings(learning_rate=0.01, compile=True)
    state = begin(small_policy(run), run, tmp_path / "broken")
    for row in train(state, batch_at, run, tmp_path / "broken"):
        if row["step"] > 6:
            break
    resumed, rest = result(tmp_path / "broken", compile=True)
    assert torch.equal(losses(rest), losses(rows[2:]))
    for part in ("policy", "average"):
        ours, theirs = (getattr(s, part).parameters() for s in (whole, resumed))
        assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))


def test_bfloat16_follows_float32_and_keeps_weights_in_float32(tmp_path: Path) -> None:
    state, rows = result(tmp_path / "half", precision=Precision.bfloat16)
    _, exact = result(tmp_path / "whole")
    assert {p.dtype for p in state.policy.parameters()} == {torch.float32}
    torch.testing.assert_close(losses(rows), losses(exact), rtol=0.05, atol=0.0)
    assert not torch.equal(losses(rows), losses(exact))


def invented_source(name: str, columns: tuple[str, ...]) -> Source:
    """Three episodes of random numbers, in memory."""
    lengths, units = np.array([30, 20, 40]), ("m",) * len(columns)
    numbers = np.random.default_rng(0).standard_normal((2, lengths.sum(), len(columns)), np.float32)
    attributes = Attributes("toy", name, 10.0, columns, units, columns, units)
    tables = MemoryTable(numbers[0]), MemoryTable(numbers[1])
    store = Store(Path(name), attributes, np.cumsum(lengths), None, *tables)
    return make_source(name, store, trust=Trust.trusted)


def invented_windows(device: str, union: bool) -> Windows:
    """The toy task's windows; of a union, also those of the other body, and what was said."""
    sources, labels = [invented_source("toy", ("x", "y"))], {}
    if union:
        sources.append(invented_source("rail", ("x",)))
        labels = {EMBODIMENT: np.repeat([0, 1], 3), INSTRUCTION: np.arange(6) % 3}
    mixture = join_sources(sources, dimensions=Dimensions.union)
    return Windows(mixture, make_settings().horizons, 0, device, labels)


@pytest.fixture
def may_wait() -> Iterator[None]:
    """What the test forbids is allowed again."""
    yield
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("default")


# on the CPU nobody waits: there the steps themselves are run
@pytest.mark.parametrize(
    ("device", "compiled"),
    [
        ("cpu", False),
        pytest.param("cuda", False, marks=GPU),
        pytest.param("cuda", True, marks=GPU),
    ],
)
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("sigma_trust", [0.0, 0.5], ids=["ordinary loss", "ambient loss"])
@pytest.mark.parametrize("union", [False, True], ids=["one body", "union"])
@pytest.mark.usefixtures("may_wait")
def test_no_step_waits_for_the_gpu(
    tmp_path: Path, device: str, compiled: bool, accumulate: int, sigma_trust: float, union: bool
) -> None:
    windows = invented_windows(device, union)
    trusted = np.where(np.arange(BATCH) % 2, sigma_trust, 0.0)

    def gather(step: int, rows: slice = slice(None)) -> Batch:
        if device == "cuda":  # until the next batch; rows 20 (all is compiled by then) and 40 wait
            torch.cuda.set_sync_debug_mode("error" if 20 <= step < 39 else "default")
        window = np.random.default_rng(step).integers(len(windows.mixture), size=BATCH)
        return windows.gather(Draw(window, np.ones(BATCH), trusted).rows(rows))

    half = 20 if device == "cuda" else 2
    laps = {"steps": 2 * half, "log_every": half, "checkpoint_every": 2 * half}
    run = make_settings(device=device, compile=compiled, accumulate=accumulate, **laps)
    state = begin(make_policy(run, union), run, tmp_path)
    rows = list(train(state, gather, run, tmp_path))
    assert [row["step"] for row in rows] == [half, 2 * half]
