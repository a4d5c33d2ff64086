"""What the benchmark measures, each as repeated values with their median.

On invented data (walks in the maze's arena) and an untrained policy, which is as fast as a trained
one. The two sides of a ratio are measured in turn, so that what slows the machine slows both.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
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
from ambient_policy.workflows.benchmark.invention import invent_sampler
from ambient_policy.workflows.preparation import Parts, build_sampler, prepare

# mixtures to draw from [episodes], draws in a batch, and batches timed at once
SIZES, DRAWS, DRAWN = (5_050, 1_000_000), 65_536, 8
# of a chunk: worlds that are planned for at once
BATCHES = (1, 64)
# timed at once: batches gathered, training steps, chunks, control steps of a rollout
GATHERED, STEPS, CHUNKS, CONTROLS = 20, 10, 5, 40
WORLDS = 200
# of a chunk and its network calls: repeats that come first and are not counted
WARM = 5


@dataclass(frozen=True)
class Measured:
    """One row of the benchmark."""

    what: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """Of the repeats."""
        return float(np.median(self.values))

    @property
    def written(self) -> tuple[str, ...]:
        """The cells of its row in a table."""
        numbers = (self.median, *self.spread)
        return self.what, self.unit, *(f"{n:,.0f}" if n >= 1000 else f"{n:.3g}" for n in numbers)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest."""
        return min(self.values), max(self.values)


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cuda = device.type == "cuda"
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if cuda else str(device),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long the work takes, until the device has done it."""
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def rates(
    work: Callable[[], object], amount: int, repeats: int, device: torch.device
) -> list[float]:
    """Amount per second, once per repeat; a first time is not counted."""
    seconds(work, device)
    return [amount / seconds(work, device) for _ in range(repeats)]


def measure_draws(repeats: int) -> Iterator[Measured]:
    """Draws per second of two sizes of mixture, and how much the larger one slows them."""
    host, values = torch.device("cpu"), []
    for size in SIZES:
        sampler = invent_sampler(size)

        def draw(sampler: Sampler = sampler) -> None:
            for step in range(DRAWN):
                sampler.draw(0, step, DRAWS)

        values.append(rates(draw, DRAWN * DRAWS, repeats, host))
        yield Measured(f"draws, {size:,} episodes", "1/s", values[-1])
    ratios = [large / small for small, large in zip(*values, strict=True)]
    yield Measured("draws, second over first", "", ratios)


def measure_batches(parts: Parts, repeats: int) -> Iterator[Measured]:
    """Windows per second, drawn and gathered; with kept noise where the ambient loss is on."""
    device, batch = torch.device(parts.settings.training.device), parts.settings.training.batch
    for ambient in (False, True):
        settings = replace(parts.settings, loss=replace(parts.settings.loss, ambient=ambient))
        chosen = replace(parts, settings=settings, sampler=build_sampler(settings, parts.mixture))

        def gather(chosen: Parts = chosen) -> None:
            for step in range(GATHERED):
                chosen.batch_at(step)

        values = rates(gather, GATHERED * batch, repeats, device)
        loss = "ambient" if ambient else "ordinary"
        yield Measured(f"windows drawn and gathered, {loss} loss", "1/s", values)


def on_disk(parts: Parts) -> Parts:
    """The same parts with tables on disk."""
    settings = replace(parts.settings, tables=Tables.disk)
    return replace(parts, settings=settings, mixture=prepare(settings).mixture)


def measure_tables(parts: Parts, repeats: int) -> Iterator[Measured]:
    """Windows per second from tables on disk, and how much that slows them, measured in turn."""
    device, batch = torch.device(parts.settings.training.device), parts.settings.training.batch

    def rate(parts: Parts) -> float:
        def gather() -> None:
            for step in range(GATHERED):
                parts.batch_at(step)

        return GATHERED * batch / seconds(gather, device)

    disk = on_disk(parts)
    pairs = [(rate(disk), rate(parts)) for _ in range(repeats + 1)][1:]
    yield Measured("windows drawn and gathered from disk", "1/s", [one for one, _ in pairs])
    yield Measured("windows, disk over memory", "", [one / other for one, other in pairs])


def measure_training(parts: Parts, folder: Path, repeats: int) -> Iterator[Measured]:
    """Samples per second of the training loop, and the share of its time that data take."""
    where = {"": parts, ", tables on disk": on_disk(parts)}
    for told, chosen in where.items():
        yield from _measure_training(chosen, folder / chosen.settings.tables.value, told, repeats)


def _measure_training(parts: Parts, folder: Path, told: str, repeats: int) -> Iterator[Measured]:
    endless = replace(parts.settings.training, steps=10**9, log_every=STEPS, checkpoint_every=10**9)
    settings = replace(parts.settings, training=endless)
    state = begin(Policy(parts.spec), settings, folder)
    rows = list(islice(train(state, parts.batch_at, settings, folder), repeats + 1))[1:]
    batch = settings.training.batch
    speeds = [row["samples_per_second"] for row in rows]
    yield Measured(f"training, batch {batch}{told}", "samples/s", speeds)
    shares = [100 * row["data_share"] for row in rows]
    yield Measured(f"training, share of data{told}", "%", shares)


@torch.no_grad()
def measure_chunk(policy: Policy, batch: int, repeats: int, device: torch.device) -> list[Measured]:
    """Milliseconds of a chunk, of its bare network calls, and the ratio of the two."""
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
        Measured(f"chunk, {name}", "ms", [whole for whole, _ in pairs]),
        Measured(f"its {len(levels)} network calls", "ms", [net for _, net in pairs]),
        Measured("chunk over its network calls", "", [whole / net for whole, net in pairs]),
    ]


def measure_chunks(parts: Parts, device: torch.device, repeats: int) -> Iterator[Measured]:
    """Every solver at ten steps, at both batches."""
    policy = Policy(parts.spec)
    for kind in Solver:
        solver = replace(parts.spec.solver, kind=kind, steps=10)
        chosen = policy.with_solver(solver).to(device).eval()
        for batch in BATCHES:
            yield from measure_chunk(chosen, batch, repeats, device)


class StandingStill:
    """Plans as the policy does and then stays where it is, so that no world ends early."""

    def __init__(self, policy: Policy, columns: list[int]) -> None:
        self._policy, self._columns = policy, columns

    @property
    def horizons(self) -> Horizons:
        """Of the policy."""
        return self._policy.horizons

    @property
    def interface(self) -> Interface:
        """Of the policy."""
        return self._policy.interface

    @property
    def noises(self) -> int:
        """Of the policy."""
        return self._policy.noises

    def plan(
        self, history: Mapping[str, NDArray[Any]], noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The policy's chunk, replaced by its start."""
        self._policy.plan(history, noise)
        here: NDArray[np.float32] = history[STATE][:, -1:, self._columns]
        return np.repeat(here, self.horizons.pred, axis=1)


def measure_rollout(parts: Parts, device: torch.device, repeats: int) -> Iterator[Measured]:
    """Control steps per second of many worlds side by side, planning included."""
    task, policy = parts.settings.task, Policy(parts.spec).to(device).eval()
    columns = [parts.spec.observation_names.index(name) for name in task.path]
    planner = StandingStill(policy, columns)
    worlds = make_worlds(task.id, WORLDS, **task.kwargs)

    def run() -> None:
        rollout(planner, worlds, range(WORLDS), seed=0, max_steps=CONTROLS)

    values = rates(run, WORLDS * CONTROLS, repeats, device)
    worlds.close()
    yield Measured(f"rollout of {WORLDS} worlds", "steps/s", values)


def measure_all(parts: Parts, folder: Path, repeats: int) -> Iterator[Measured]:
    """Every row, as it is measured."""
    check_shares(parts.settings.training, ALONE.size)  # train() would ask too late
    device = torch.device(parts.settings.training.device)
    yield from measure_draws(repeats)
    yield from measure_batches(parts, repeats)
    yield from measure_tables(parts, repeats)
    yield from measure_training(parts, folder / "checkpoints", repeats)
    yield from measure_chunks(parts, device, repeats)
    yield from measure_rollout(parts, device, repeats)
