"""A tiny policy and made-up batches that the tests of training share."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ambient_policy.batch import Batch
from ambient_policy.embodiments import Embodiment
from ambient_policy.normalize import Affine, Normalizer
from ambient_policy.policy import Policy, PolicySpec
from ambient_policy.settings import NetworkSettings, RunSettings, TrainingSettings
from ambient_policy.training.checkpoint import TrainingState
from ambient_policy.training.distributed import ALONE, World
from ambient_policy.training.loop import begin, train

Rows = list[dict[str, Any]]
BATCH = 8


def make_settings(**changes: Any) -> RunSettings:
    """Twelve steps of eight windows; keywords change the training."""
    choices = {"steps": 12, "batch": BATCH, "log_every": 3, "checkpoint_every": 6, "warmup": 4}
    return RunSettings(
        network=NetworkSettings(widths=[16, 32], embedding=16),
        training=TrainingSettings(**{**choices, **changes}),
    )


def make_policy(run: RunSettings) -> Policy:
    """Of a toy task with two observed and two acted dimensions."""
    unit = Affine((0.0, 0.0), (1.0, 1.0))
    names = ("x", "y")
    return Policy(
        PolicySpec(
            task="toy",
            task_kwargs={},
            observation_names=names,
            action_names=names,
            control_rate=10.0,
            embodiments={"toy": Embodiment.whole(Normalizer(unit, unit))},
            acting="toy",
            horizons=run.horizons,
            noise=run.noise,
            network=run.network,
            solver=run.solver,
        ),
        seed=run.seed,
    )


def batch_at(step: int, rows: slice = slice(None)) -> Batch:
    """Random numbers; the last two steps of every third window lie beyond its episode."""
    rng = np.random.default_rng(step)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    whole = Batch(
        observations={"state": normal(BATCH, 2, 2)},
        actions=normal(BATCH, 16, 2),
        kept_noise=normal(BATCH, 16, 2),
        sigma=normal(BATCH).abs() + 0.1,
        sigma_trust=torch.zeros(BATCH),
        is_pad=torch.zeros(BATCH, 16, dtype=torch.bool),
        crop=torch.full((BATCH, 2), 0.5),
    )
    whole.is_pad[::3, -2:] = True
    return whole.rows(rows)


def run_training(
    root: Path,
    run: RunSettings,
    until: int | None = None,
    held_out: Batch | None = None,
    world: World = ALONE,
) -> tuple[TrainingState, Rows]:
    """Train from the last checkpoint; ``until`` stops short after a row, as a kill would."""
    last = run.training.steps if until is None else until
    state, rows = begin(make_policy(run), run, root), []
    for row in train(state, batch_at, run, root, held_out, world):
        rows.append(row)
        if row["step"] > last:
            break
    return state, [row for row in rows if row["step"] <= last]
