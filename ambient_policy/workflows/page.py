"""The values that the page of a comparison shows, collected from its runs."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ambient_envs.layouts import ARENA, layout_walls
from ambient_policy.batch import STATE
from ambient_policy.evaluation.page import ArmResult, Denoising, Draws, Page
from ambient_policy.evaluation.records import EpisodeRecord, Floats, Motion, read_motions
from ambient_policy.policy import Policy
from ambient_policy.seeding import generator
from ambient_policy.settings import to_json
from ambient_policy.tracking import read_rows
from ambient_policy.workflows.arms import CompareSettings
from ambient_policy.workflows.command import command_line
from ambient_policy.workflows.contributions import Contributions, contributions
from ambient_policy.workflows.evaluation import EvaluateSettings, load
from ambient_policy.workflows.grid import Grid, Run
from ambient_policy.workflows.preparation import Parts, prepare


def page_of(settings: CompareSettings, grid: Grid) -> Page:
    """Everything the page shows.

    Args:
        settings: of the comparison.
        grid: its runs, all finished.
    """
    first = grid.runs[0]
    task = first.settings.task
    layout = task.kwargs.get("layout")
    return Page(
        title=settings.title,
        summary=settings.summary,
        arms=[_arm([run for run in grid.runs if run.arm == arm], grid) for arm in settings.arms],
        baseline=settings.baseline,
        walls=[tuple(box) for box in layout_walls(layout).tolist()] if layout else (),
        arena=(0.0, 0.0, ARENA, ARENA) if layout else None,
        length_unit=task.path_unit,
        extra=settings.extra,
        settings=f"{first.arm}, training seed {first.seed} (of every run: table.json)\n"
        + json.dumps(to_json(first.settings), indent=1),
        commands=[command_line("compare", settings), *(run.command for run in grid.runs)],
        seed=settings.evaluation.seed,
        margin=settings.margin,
    )


def _arm(runs: Sequence[Run], grid: Grid) -> ArmResult:
    """What the page shows of an arm; of its runs, the first one's data are prepared and dropped.

    Args:
        runs: of the arm, one for each seed; all finished.
        grid: that they are of, with an evaluation.
    """
    first = runs[0]
    evaluation = grid.evaluation_of(first)
    assert evaluation is not None
    parts = prepare(first.settings)
    sources = contributions(parts.mixture, parts.sampler)
    draws = count_draws(parts, sources)
    del parts
    policy = load(evaluation).policy
    episodes = {run.seed: grid.episodes_of(run) or [] for run in runs}
    motions = {run.seed: read_motions(run.folder / "evaluation" / "motions.npz") for run in runs}
    return ArmResult(
        name=first.arm,
        episodes=episodes,
        paths={seed: _paths(episodes[seed], of) for seed, of in motions.items()},
        training={run.seed: read_rows(run.folder / "log.jsonl") for run in runs},
        contributions=sources.rows,
        draws=draws,
        thresholds=sources.thresholds,
        solver_levels=policy.solver_levels.tolist(),
        denoising=denoise_one(first, policy, evaluation, episodes[first.seed][0].goal),
        settings={run.seed: to_json(run.settings) for run in runs},
    )


def _paths(episodes: Sequence[EpisodeRecord], motions: Mapping[int, Motion]) -> dict[int, Floats]:
    """The executed paths of episodes, by seed; a record may hold more motions than are compared."""
    return {episode.seed: motions[episode.seed].path for episode in episodes}


def count_draws(parts: Parts, sources: Contributions) -> Draws:
    """How often each source was drawn near each of 100 levels: the training's own draws again."""
    law, names = parts.sampler.law, sources.chances.sources
    levels = np.unique(law.quantile((np.arange(100) + 0.5) / 100))
    between = np.sqrt(levels[1:] * levels[:-1])
    counts = np.zeros((len(levels), len(names)), np.int64)
    for step in range(parts.settings.training.steps):
        draw = parts.sampler.draw(parts.settings.seed, step, parts.settings.training.batch)
        row = sources.row_of_source[parts.mixture.source_of_window(draw.window)]
        np.add.at(counts, (np.searchsorted(between, draw.sigma), row), 1)
    return Draws(levels, names, counts)


def denoise_one(
    run: Run, policy: Policy, evaluation: EvaluateSettings, goal: tuple[float, ...] | None
) -> Denoising | None:
    """What the denoiser answers at every level, for the first chunk of the first start.

    Returns:
        None for chunks that are not planar, or whose policy sees frames, which nobody stores.
    """
    if len(policy.spec.own_actions) != 2 or policy.spec.cameras:
        return None
    path = [policy.spec.own_observations.index(name) for name in run.settings.task.path]
    motions = read_motions(evaluation.folder / "motions.npz")
    start = motions[evaluation.first_seed].observations[0]
    history = np.repeat(start[None, None], policy.horizons.obs, axis=1).astype(np.float32)
    shape = (policy.noises, 1, policy.horizons.pred, 2)
    rng = generator(evaluation.seed, "rollout", evaluation.first_seed, 0)
    noise = rng.standard_normal(shape, dtype=np.float32)
    with torch.no_grad():
        observations = policy.observe({STATE: history})
        pairs = policy.trajectory(observations, policy.from_own(noise))
        answers = [policy.decode(x0, observations) for _, x0 in pairs]
    chunks = policy.to_own(np.concatenate(answers))
    sigma = np.append(policy.solver_levels, 0.0)
    return Denoising(sigma, chunks, tuple(start[path].tolist()), goal)
