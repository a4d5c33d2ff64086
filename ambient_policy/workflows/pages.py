"""What the page of a comparison is told."""

import json
import shlex
from collections.abc import Sequence

import numpy as np
import torch

from ambient_envs.layouts import ARENA, layout_walls
from ambient_policy.batch import STATE
from ambient_policy.evaluation.page import ArmResult, Denoising, Draws, Page
from ambient_policy.evaluation.records import EpisodeRecord, read_motions
from ambient_policy.saved import load_policy
from ambient_policy.seeding import generator
from ambient_policy.settings import to_json
from ambient_policy.tracking import read_rows
from ambient_policy.workflows.contributions import Contributions, contributions
from ambient_policy.workflows.preparation import Parts
from ambient_policy.workflows.runs import CompareSettings, Run


def count_draws(parts: Parts, told: Contributions) -> Draws:
    """How often each source was drawn near each of 100 levels: the training's own draws again."""
    law, names = parts.sampler.law, told.chances.sources
    levels = np.unique(law.quantile((np.arange(100) + 0.5) / 100))
    between = np.sqrt(levels[1:] * levels[:-1])
    counts = np.zeros((len(levels), len(names)), np.int64)
    for step in range(parts.settings.training.steps):
        draw = parts.sampler.draw(parts.settings.seed, step, parts.settings.training.batch)
        source = told.row_of_source[parts.mixture.source_of_window(draw.window)]
        np.add.at(counts, (np.searchsorted(between, draw.sigma), source), 1)
    return Draws(levels, names, counts)


def denoise_one(
    run: Run, settings: CompareSettings, goal: tuple[float, ...] | None
) -> Denoising | None:
    """What the denoiser answers at every level, for the first chunk of the first start."""
    policy, first_seed = load_policy(run.folder), settings.first_seed
    path = [policy.spec.own_observations.index(name) for name in run.settings.task.path]
    if len(policy.spec.own_actions) != 2 or policy.spec.cameras:
        return None  # only planar chunks can be drawn, and frames of an episode are not kept
    start = read_motions(run.folder / "evaluation" / "motions.npz")[first_seed].observations[0]
    history = np.repeat(start[None, None], policy.horizons.obs, axis=1).astype(np.float32)
    shape = (policy.noises, 1, policy.horizons.pred, 2)
    noise = generator(settings.seed, "rollout", first_seed, 0).standard_normal(
        shape, dtype=np.float32
    )
    with torch.no_grad():
        observations = policy.observe({STATE: history})
        pairs = policy.trajectory(observations, policy.from_own(noise))
        answers = [policy.decode(x0, observations) for _, x0 in pairs]
    chunks = policy.to_own(np.concatenate(answers))
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
    told = contributions(mixture, first.parts.sampler)
    motions = {run.seed: read_motions(run.folder / "evaluation" / "motions.npz") for run in runs}
    return ArmResult(
        name=name,
        episodes=episodes,
        paths={seed: {s: m.path for s, m in of.items()} for seed, of in motions.items()},
        training={run.seed: read_rows(run.folder / "log.jsonl") for run in runs},
        contributions=told.rows,
        draws=count_draws(first.parts, told),
        thresholds=told.thresholds,
        solver_levels=load_policy(first.folder).solver_levels.tolist(),
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
        settings=f"{runs[0].arm}, training seed {runs[0].seed} (of every run: table.json)\n"
        + json.dumps(to_json(runs[0].settings), indent=1),
        commands=[command, *trains],
        seed=settings.seed,
    )
