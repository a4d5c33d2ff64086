"""The stages of a comparison: trainings side by side, and what its page is told."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ambient_envs.layouts import ARENA, layout_walls
from ambient_policy.errors import AmbientPolicyError, SettingsError
from ambient_policy.evaluation.page import ArmResult, Denoising, Draws, Page
from ambient_policy.evaluation.records import EpisodeRecord, read_motions
from ambient_policy.seeding import generator
from ambient_policy.settings import RunSettings, to_json
from ambient_policy.tracking import read_rows
from ambient_policy.training.checkpoint import load_policy, steps_saved
from assemble import Parts, last_checkpoint, refuse_other
from compose import register

TRAIN = Path(__file__).with_name("train.py")


@dataclass
class CompareSettings:
    """Which arms, how often, on which starts."""

    # folder of runs, table and page
    root: str = "???"
    # heading of the page, and what it can and cannot show
    title: str = "Comparison"
    summary: str = ""
    # for every run, e.g. experiment=maze
    overrides: list[str] = field(default_factory=list)
    # label -> what else makes this arm, e.g. arm=ambient
    arms: dict[str, list[str]] = field(default_factory=dict)
    # training seeds
    seeds: list[int] = field(default_factory=lambda: [0, 1])
    # arm that the others are compared with; null = none
    baseline: str | None = None
    # starts, the same for every arm: their number, and the seed of the first
    episodes: int = 200
    first_seed: int = 100000
    # of denoising noise and bootstrap
    seed: int = 0
    # trainings at a time, one thread each
    workers: int = 2
    # also write <publish>.json (a record per arm and training seed) and the figures to <publish>/
    publish: str | None = None
    # the world's own numbers to show, e.g. coverage
    extra: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("episodes", "workers"):
            value = getattr(self, name)
            if value < 1:
                raise SettingsError(f"{name} = {value} must be at least 1.")
        if not self.arms or not self.seeds:
            raise SettingsError(
                f"arms = {list(self.arms)}, seeds = {self.seeds}: name at least one of each, "
                "e.g. comparison=maze."
            )


register("compare_settings", CompareSettings)


@dataclass(frozen=True, eq=False)
class Run:
    """One training of a comparison."""

    arm: str
    seed: int
    overrides: list[str]
    parts: Parts

    @property
    def settings(self) -> RunSettings:
        """Of the training."""
        return self.parts.settings

    @property
    def folder(self) -> Path:
        """Where it lives."""
        return Path(self.settings.folder)

    @property
    def finished(self) -> bool:
        """Whether this very training has its last checkpoint."""
        saved = steps_saved(self.folder / "checkpoints")
        return refuse_other(self.folder, self.settings) and self.settings.training.steps in saved

    @property
    def steps_done(self) -> int:
        """As far as its log tells."""
        rows = read_rows(self.folder / "log.jsonl")
        return int(rows[-1]["step"]) if rows else 0


def _train(run: Run) -> None:
    """One training in a process of its own; its words go to the run's folder."""
    if run.finished:
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(TRAIN), *run.overrides]
    with (run.folder / "train.log").open("w") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        words = (run.folder / "train.log").read_text().strip().splitlines()[-5:]
        raise AmbientPolicyError(f"training {run.folder} failed: {' '.join(words)}")


def _watch(futures: Mapping[Run, "Future[None]"], bar: Progress) -> None:
    tasks = {
        run: bar.add_task(f"{run.arm}, seed {run.seed}", total=run.settings.training.steps)
        for run in futures
    }
    while True:
        finished = all(future.done() for future in futures.values())
        for run, task in tasks.items():
            bar.update(task, completed=run.steps_done)
        for future in futures.values():
            if future.done():
                future.result()
        if finished:
            return
        time.sleep(1)


def train_all(runs: Sequence[Run], workers: int, console: Console) -> None:
    """Train what is not trained; runs that start from another run come after it."""
    waves = (
        [run for run in runs if run.settings.start_from is None],
        [run for run in runs if run.settings.start_from is not None],
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    for wave in waves:
        with (
            Progress(*columns, TimeRemainingColumn(), console=console) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            try:
                _watch({run: pool.submit(_train, run) for run in wave}, bar)
            except AmbientPolicyError:
                pool.shutdown(cancel_futures=True)
                raise


def count_draws(parts: Parts) -> Draws:
    """How often each source was drawn at each level: the training's own draws, made again."""
    levels, names = parts.sampler.law.levels, parts.mixture.names
    counts = np.zeros((len(levels), len(names)), np.int64)
    for step in range(parts.settings.training.steps):
        draw = parts.sampler.draw(parts.settings.seed, step, parts.settings.training.batch)
        place = np.searchsorted(levels, draw.sigma), parts.mixture.source_of_window(draw.window)
        np.add.at(counts, place, 1)
    return Draws(levels, names, counts)


def denoise_one(
    run: Run, settings: CompareSettings, goal: tuple[float, ...] | None
) -> Denoising | None:
    """What the denoiser answers at every level, for the first chunk of the first start."""
    policy, first_seed = load_policy(last_checkpoint(run.folder)), settings.first_seed
    path = [run.parts.spec.observation_names.index(name) for name in run.settings.task.path]
    if len(run.parts.spec.action_names) != 2:
        return None  # only planar chunks can be drawn
    start = read_motions(run.folder / "evaluation" / "motions.npz")[first_seed].observations[0]
    history = np.repeat(start[None, None], policy.horizons.obs, axis=1).astype(np.float32)
    shape = (policy.noises, 1, policy.horizons.pred, 2)
    noise = generator(settings.seed, "rollout", first_seed, 0).standard_normal(
        shape, dtype=np.float32
    )
    with torch.no_grad():
        answers = [policy.decode(x0, history) for _, x0 in policy.trajectory(history, noise)]
    chunks = np.concatenate(answers)
    sigma = np.append(policy.solver_levels, 0.0)
    return Denoising(sigma, chunks, tuple(start[path].tolist()), goal)


def _arm(
    name: str,
    runs: Sequence[Run],
    episodes: dict[int, list[EpisodeRecord]],
    settings: CompareSettings,
) -> ArmResult:
    first = runs[0]
    mixture = first.parts.mixture
    thresholds = {}
    for i, source in enumerate(mixture.names):
        of_source = mixture.source_of_episode == i
        low, high = mixture.sigma_min[of_source], mixture.sigma_max[of_source]
        thresholds[source] = float(np.median(low)), float(np.median(high))
    motions = {run.seed: read_motions(run.folder / "evaluation" / "motions.npz") for run in runs}
    return ArmResult(
        name=name,
        episodes=episodes,
        paths={seed: {s: m.path for s, m in of.items()} for seed, of in motions.items()},
        training={run.seed: read_rows(run.folder / "log.jsonl") for run in runs},
        draws=count_draws(first.parts),
        thresholds=thresholds,
        solver_levels=load_policy(last_checkpoint(first.folder)).solver_levels.tolist(),
        denoising=denoise_one(first, settings, episodes[first.seed][0].goal),
        settings={run.seed: to_json(run.settings) for run in runs},
    )


def make_page(
    settings: CompareSettings,
    runs: Sequence[Run],
    results: dict[str, dict[int, list[EpisodeRecord]]],
    command: str,
) -> Page:
    """Everything the report shows."""
    task = runs[0].settings.task
    layout = task.kwargs.get("layout")
    trains = [shlex.join(["python", "scripts/train.py", *run.overrides]) for run in runs]
    return Page(
        title=settings.title,
        summary=settings.summary,
        arms=[
            _arm(name, [r for r in runs if r.arm == name], episodes, settings)
            for name, episodes in results.items()
        ],
        baseline=settings.baseline,
        walls=[tuple(box) for box in layout_walls(layout).tolist()] if layout else (),
        arena=(0.0, 0.0, ARENA, ARENA) if layout else None,
        length_unit=task.path_unit,
        extra=settings.extra,
        settings=json.dumps(to_json(runs[0].settings), indent=1),
        commands=[command, *trains],
        seed=settings.seed,
    )
