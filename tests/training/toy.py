"""A tiny policy and made-up batches that the tests of training share."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ambient_policy.batch import EMBODIMENT, INSTRUCTION, Batch
from ambient_policy.embodiments import Embodiment
from ambient_policy.language import Vocabulary, one_hot
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


UNIT = Normalizer(Affine((0.0, 0.0), (1.0, 1.0)), Affine((0.0, 0.0), (1.0, 1.0)))
RAIL = Normalizer(Affine((0.5,), (2.0,)), Affine((-0.5,), (0.5,)))
WORDS = ("go", "stop")


def make_policy(run: RunSettings, union: bool = False) -> Policy:
    """Of a toy task with two observed and two acted dimensions.

    Of a union, a second body has the first of them only, and the policy is told what to do.
    """
    names, rows = ("x", "y"), one_hot(WORDS)
    bodies = {"toy": Embodiment.whole(UNIT)}
    if union:
        bodies["rail"] = Embodiment(RAIL, (0,), (0,))
    return Policy(
        PolicySpec(
            task="toy",
            task_kwargs={},
            observation_names=names,
            action_names=names,
            control_rate=10.0,
            embodiments=bodies,
            acting="toy",
            horizons=run.horizons,
            noise=run.noise,
            network=run.network,
            solver=run.solver,
            language=Vocabulary.of(WORDS, rows, "go") if union else None,
        ),
        seed=run.seed,
        rows=rows if union else None,
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


def union_batch_at(step: int, rows: slice = slice(None)) -> Batch:
    """The same numbers; every other row is the second body's and keeps a part of its noise."""
    whole, number = batch_at(step), torch.arange(BATCH)
    rail = number % 2 == 1
    for values in (whole.observations["state"], whole.actions, whole.kept_noise):
        values[rail, ..., 1] = 0.0
    labels = {EMBODIMENT: rail.long(), INSTRUCTION: number // 2 % 3}
    trusted = torch.where(rail, 0.5 * whole.sigma, 0.0)
    whole = replace(whole, observations={**whole.observations, **labels}, sigma_trust=trusted)
    return whole.rows(rows)


def run_training(
    root: Path,
    run: RunSettings,
    until: int | None = None,
    held_out: Batch | None = None,
    world: World = ALONE,
    union: bool = False,
) -> tuple[TrainingState, Rows]:
    """Train from the last checkpoint; ``until`` stops short after a row, as a kill would."""
    last = run.training.steps if until is None else until
    state, rows = begin(make_policy(run, union), run, root), []
    batches = union_batch_at if union else batch_at
    for row in train(state, batches, run, root, held_out, world):
        rows.append(row)
        if row["step"] > last:
            break
    return state, [row for row in rows if row["step"] <= last]
