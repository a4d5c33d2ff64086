"""Speed: draws, batches, training, chunks and rollouts.

The data are synthetic (walks in the maze's arena) and the policy is untrained, which is as fast as
a trained one. The two sides of a ratio are measured in turn, so that what slows the machine slows
both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ambient_policy.ambient.sampler import Sampler
from ambient_policy.batch import STATE
from ambient_policy.diffusion.precondition import c_noise
from ambient_policy.diffusion.solve import Solver
from ambient_policy.evaluation.rollout import rollout
from ambient_policy.evaluation.worlds import make_worlds
from ambient_policy.horizons import Horizons
from ambient_policy.interface import Interface
from ambient_policy.policy import Policy
from ambient_policy.seeding import generator
from ambient_policy.settings import Tables
from ambient_policy.training.distributed import ALONE, check_shares
from ambient_policy.training.loop import begin, train
from ambient_policy.workflows.benchmark.measurement import Measurement, rates, seconds
from ambient_policy.workflows.benchmark.synthetic import make_sampler
from ambient_policy.workflows.preparation import Parts, build_sampler, prepare

# mixtures to draw from [episodes], draws in a batch, and batches timed at once
SIZES, DRAWS, DRAWN = (5_050, 1_000_000), 65_536, 8
# worlds of one planning call
BATCHES = (1, 64)
# timed at once: batches, training steps, chunks, control steps of a rollout
GATHERED, STEPS, CHUNKS, CONTROLS = 20, 10, 5, 40
WORLDS = 200
# first repeats of a chunk and its network calls, which do not count
WARM = 5


def measure_draws(repeats: int) -> Iterator[Measurement]:
    """Measure draws per second of two sizes of mixture, and their ratio."""
    host, values = torch.device("cpu"), []
    for size in SIZES:
        sampler = make_sampler(size)

        def draw(sampler: Sampler = sampler) -> None:
            for step in range(DRAWN):
                sampler.draw(0, step, DRAWS)

        values.append(rates(draw, DRAWN * DRAWS, repeats, host))
        yield Measurement(f"draws, {size:,} episodes", "1/s", values[-1])
    ratios = [large / small for small, large in zip(*values, strict=True)]
    yield Measurement("draws, second over first", "", ratios)


def measure_batches(parts: Parts, repeats: int) -> Iterator[Measurement]:
    """Measure windows per second, draw and gather, with and without the ambient loss."""
    device, batch = torch.device(parts.settings.training.device), parts.settings.training.batch
    for ambient in (False, True):
        settings = replace(parts.settings, loss=replace(parts.settings.loss, ambient=ambient))
        chosen = replace(parts, settings=settings, sampler=build_sampler(settings, parts.mixture))

        def gather(chosen: Parts = chosen) -> None:
            for step in range(GATHERED):
                chosen.batch_at(step)

        values = rates(gather, GATHERED * batch, repeats, device)
        loss = "ambient" if ambient else "ordinary"
        yield Measurement(f"windows drawn and gathered, {loss} loss", "1/s", values)


def on_disk(parts: Parts) -> Parts:
    """Return the same parts with tables on disk."""
    settings = replace(parts.settings, tables=Tables.disk)
    return replace(parts, settings=settings, mixture=prepare(settings).mixture)


def measure_tables(parts: Parts, repeats: int) -> Iterator[Measurement]:
    """Measure windows per second from tables on disk, and their ratio to tables in memory."""
    device, batch = torch.device(parts.settings.training.device), parts.settings.training.batch

    def rate(parts: Parts) -> float:
        def gather() -> None:
            for step in range(GATHERED):
                parts.batch_at(step)

        return GATHERED * batch / seconds(gather, device)

    disk = on_disk(parts)
    pairs = [(rate(disk), rate(parts)) for _ in range(repeats + 1)][1:]
    yield Measurement("windows drawn and gathered from disk", "1/s", [one for one, _ in pairs])
    yield Measurement("windows, disk over memory", "", [one / other for one, other in pairs])


def measure_training(parts: Parts, folder: Path, repeats: int) -> Iterator[Measurement]:
    """Measure samples per second of the training loop, and the share of its time for data."""
    where = {"": parts, ", tables on disk": on_disk(parts)}
    for place, chosen in where.items():
        yield from _measure_training(chosen, folder / chosen.settings.tables.value, place, repeats)


def _measure_training(
    parts: Parts, folder: Path, place: str, repeats: int
) -> Iterator[Measurement]:
    endless = replace(parts.settings.training, steps=10**9, log_every=STEPS, checkpoint_every=10**9)
    settings = replace(parts.settings, training=endless)
    state = begin(Policy(parts.spec), settings, folder)
    rows = list(islice(train(state, parts.batch_at, settings, folder), repeats + 1))[1:]
    batch = settings.training.batch
    speeds = [row["samples_per_second"] for row in rows]
    yield Measurement(f"training, batch {batch}{place}", "samples/s", speeds)
    shares = [100 * row["data_share"] for row in rows]
    yield Measurement(f"training, share of data{place}", "%", shares)


@torch.no_grad()
def measure_chunk(
    policy: Policy, batch: int, repeats: int, device: torch.device
) -> list[Measurement]:
    """Measure milliseconds of a chunk, of its bare network calls, and their ratio."""
    random, spec = generator(0, "benchmark chunk", batch), policy.spec
    shape = (batch, policy.horizons.obs, len(spec.observation_names))
    history = {STATE: random.random(shape, np.float32)}
    noise = random.standard_normal(
        (policy.noises, batch, policy.horizons.pred, len(spec.action_names)), np.float32
    )
    condition, x = policy.encode(policy.observe(history)), torch.from_numpy(noise[0]).to(device)
    levels = [torch.full((batch,), float(s), device=device) for s in policy.solver_levels]
    embedded = [c_noise(sigma) for sigma in levels]

    def plan() -> None:
        policy.plan(history, noise)

    def bare() -> None:
        for level in embedded:
            policy.network(x, level, condition)

    def pair() -> tuple[float, float]:  # a chunk and its calls, in turn
        turns = [(seconds(plan, device), seconds(bare, device)) for _ in range(CHUNKS)]
        whole, net = 1e3 * np.mean(turns, axis=0)
        return float(whole), float(net)

    pairs = [pair() for _ in range(WARM + repeats)][WARM:]
    name = f"{spec.solver.kind.value}, batch {batch}"
    return [
        Measurement(f"chunk, {name}", "ms", [whole for whole, _ in pairs]),
        Measurement(f"its {len(levels)} network calls", "ms", [net for _, net in pairs]),
        Measurement("chunk over its network calls", "", [whole / net for whole, net in pairs]),
    ]


def measure_chunks(parts: Parts, device: torch.device, repeats: int) -> Iterator[Measurement]:
    """Measure chunks of every solver at ten steps, at both batches."""
    policy = Policy(parts.spec)
    for kind in Solver:
        solver = replace(parts.spec.solver, kind=kind, steps=10)
        chosen = policy.with_solver(solver).to(device).eval()
        for batch in BATCHES:
            yield from measure_chunk(chosen, batch, repeats, device)


class StillPlanner:
    """Plan as the policy does, then stay in place, so that no world ends early."""

    def __init__(self, policy: Policy, columns: list[int]) -> None:
        self._policy, self._columns = policy, columns

    @property
    def horizons(self) -> Horizons:
        """The policy's horizons."""
        return self._policy.horizons

    @property
    def interface(self) -> Interface:
        """Of the policy."""
        return self._policy.interface

    @property
    def noises(self) -> int:
        """The policy's K, standard normal chunks that one plan consumes."""
        return self._policy.noises

    def plan(
        self, history: Mapping[str, NDArray[Any]], noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Plan a chunk, and return one that stays at its start."""
        self._policy.plan(history, noise)
        here: NDArray[np.float32] = history[STATE][:, -1:, self._columns]
        return np.repeat(here, self.horizons.pred, axis=1)


def measure_rollout(parts: Parts, device: torch.device, repeats: int) -> Iterator[Measurement]:
    """Measure control steps per second of many worlds side by side, with planning."""
    task, policy = parts.settings.task, Policy(parts.spec).to(device).eval()
    columns = [parts.spec.observation_names.index(name) for name in task.path]
    planner = StillPlanner(policy, columns)
    worlds = make_worlds(task.id, WORLDS, **task.kwargs)

    def run() -> None:
        rollout(planner, worlds, range(WORLDS), seed=0, max_steps=CONTROLS)

    values = rates(run, WORLDS * CONTROLS, repeats, device)
    worlds.close()
    yield Measurement(f"rollout of {WORLDS} worlds", "steps/s", values)


def measure_all(parts: Parts, folder: Path, repeats: int) -> Iterator[Measurement]:
    """Measure everything; yield each row as it is ready."""
    check_shares(parts.settings.training, ALONE.size)  # train() checks it too late
    device = torch.device(parts.settings.training.device)
    yield from measure_draws(repeats)
    yield from measure_batches(parts, repeats)
    yield from measure_tables(parts, repeats)
    yield from measure_training(parts, folder / "checkpoints", repeats)
    yield from measure_chunks(parts, device, repeats)
    yield from measure_rollout(parts, device, repeats)
