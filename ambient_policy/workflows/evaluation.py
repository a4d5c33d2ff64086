"""The evaluation of a policy: on which starts, and its episodes on disk.

ambient-policy evaluate run=runs/maze/ambient/seed-0 episodes=200
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ambient_policy import seeding
from ambient_policy.diffusion.grid import Spacing
from ambient_policy.diffusion.solve import Solver
from ambient_policy.errors import SettingsError, unknown
from ambient_policy.evaluation.comparison import compare
from ambient_policy.evaluation.records import (
    EpisodeRecord,
    Motion,
    measure,
    motion_of,
    write_episodes,
    write_motions,
)
from ambient_policy.evaluation.rollout import rollout
from ambient_policy.evaluation.tables import print_comparison
from ambient_policy.evaluation.trajectory import Trajectory
from ambient_policy.evaluation.worlds import check_named, find_spec
from ambient_policy.files import disk_errors, hold, write_text
from ambient_policy.policy import Policy
from ambient_policy.progress import Bar, progress
from ambient_policy.saved import SavedPolicy, open_policy
from ambient_policy.settings import SolverSettings
from ambient_policy.settings.checks import Word, word, words_to_enums
from ambient_policy.terminal import Screen
from ambient_policy.training.loop import check_device
from ambient_policy.workflows.blocks import Block, Blocks, remove_finished
from ambient_policy.workflows.evaluation_folder import (
    EPISODES,
    MOTIONS,
    SUMMARY,
    check_folder,
    clear,
    read_stored,
    refuse_loss,
)
from ambient_policy.workflows.film import film
from ambient_policy.workflows.world import worlds_of

FORMATS = ("mp4", "gif")  # of videos


@dataclass
class SolverChange:
    """What is to differ from the solver settings of the training; null = as trained."""

    kind: Word[Solver | None] = word(None)
    steps: int | None = None
    spacing: Word[Spacing | None] = word(None)

    def __post_init__(self) -> None:
        words_to_enums(self)

    def apply(self, trained: SolverSettings) -> SolverSettings:
        """The settings to sample with."""
        changes = {key: value for key, value in vars(self).items() if value is not None}
        return replace(trained, **changes)


@dataclass
class RolloutSettings:
    """On which starts a policy acts, and how."""

    # number of starts, and the seed of the first; the others follow it
    episodes: int = 200
    first_seed: int = 100000
    # of the denoising noise
    seed: int = 0
    # step of the checkpoint; null = the one that the run declared before training
    checkpoint: int | None = None
    # sampler; null = as trained
    solver: SolverChange = field(default_factory=SolverChange)
    # worlds that run side by side: a block. An evaluation that is killed goes on behind the last
    # block that ended
    worlds: int = 200
    # the world, where the policy's is of a package that is not imported unless you name it here;
    # null = the policy's
    world: str | None = None
    # where the policy plans: cpu, cuda, cuda:1 ...; null = where it was trained
    device: str | None = None
    # torch's threads; results are bit-for-bit repeatable for an equal number
    threads: int = 2

    def __post_init__(self) -> None:
        for name in ("episodes", "worlds", "threads"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)} must be at least 1.")


@dataclass
class EvaluateSettings(RolloutSettings):
    """Which policy, on which starts."""

    # folder of a run, of one of its checkpoints, or of an exported policy
    run: str = "???"
    # episode seeds to film, and the suffix that decides the format (mp4 or gif)
    videos: list[int] = field(default_factory=list)
    video_format: str = "mp4"
    # folder of the results; null = evaluation/ in that of the run
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.video_format not in FORMATS:
            raise unknown("video_format", self.video_format, FORMATS)
        last = self.first_seed + self.episodes - 1
        for seed in self.videos:
            if not self.first_seed <= seed <= last:
                raise SettingsError(
                    f"videos: no episode of seed {seed} is evaluated; choose among "
                    f"{self.first_seed} to {last}, or change first_seed and episodes."
                )

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return Path(self.out or f"{self.run}/evaluation")


def load(settings: EvaluateSettings) -> SavedPolicy:
    """The policy that is to be evaluated, on the CPU, with the solver of the evaluation.

    Raises:
        AmbientPolicyError: naming what is wrong with folder or solver.
    """
    saved = open_policy(settings.run, settings.checkpoint)
    spec = saved.policy.spec
    check_named(spec.task, settings.world)
    if not saved.settings.task.path:
        find_spec(spec.task)  # without a world no path helps
        raise SettingsError(
            f"{settings.run} was trained with task.path = []: name the two observations whose path "
            f"is measured, of {', '.join(spec.own_observations)}, and train with them, e.g. "
            "'task.path=[x,y]'."
        )
    policy = saved.policy.with_solver(settings.solver.apply(spec.solver))
    policy.spec.solver.calls(spec.noise)  # refuses a grid that does not fit
    return replace(saved, policy=policy)


def place(settings: EvaluateSettings, saved: SavedPolicy) -> SavedPolicy:
    """The policy on the device of the evaluation.

    Raises:
        SettingsError: if this machine does not have it.
    """
    device = device_of(settings, saved)
    check_device(device, "device")
    return replace(saved, policy=saved.policy.to(device))


def device_of(settings: EvaluateSettings, saved: SavedPolicy) -> str:
    """Where the policy is to plan."""
    return settings.device or saved.settings.training.device


def fingerprint(policy: Policy) -> str:
    """16 hexadecimal digits of the weights: an evaluation belongs to these and no others."""
    digest = hashlib.sha256()
    for name, weight in sorted(policy.state_dict().items()):
        digest.update(name.encode() + weight.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def roll_out(
    settings: EvaluateSettings, saved: SavedPolicy, blocks: Blocks, bar: Bar
) -> Iterator[Block]:
    """Each block of episodes, in the order of their starts, once it ended and was written."""
    task, last = saved.settings.task, settings.first_seed + settings.episodes
    count = min(settings.worlds, settings.episodes)
    worlds = worlds_of(saved.policy.spec, task, count)
    for first in range(settings.first_seed, last, count):
        seeds = range(first, min(first + count, last))
        block = blocks.read(first)
        if block is not None:
            bar.advance(len(seeds))
        else:
            trajectories = rollout(
                saved.policy,
                worlds,
                seeds,
                seed=settings.seed,
                max_steps=task.max_steps,
                progress=bar.advance,
            )
            block = _measure(saved, trajectories)
            blocks.write(first, block)
        yield block
    worlds.close()


def _measure(saved: SavedPolicy, trajectories: Sequence[Trajectory]) -> Block:
    spec = saved.policy.spec
    path = [spec.own_observations.index(name) for name in saved.settings.task.path]
    dt, act = 1 / spec.control_rate, spec.horizons.act
    return Block(
        [measure(t, dt=dt, path_dims=path, act=act) for t in trajectories],
        {t.seed: motion_of(t, path) for t in trajectories},
    )


def summarize(settings: EvaluateSettings, saved: SavedPolicy) -> dict[str, Any]:
    """What decides the episodes, as evaluation.json has it."""
    solver = saved.policy.spec.solver
    return {
        "checkpoint": saved.step,
        "weights": fingerprint(saved.policy),
        "first_seed": settings.first_seed,
        "episodes": settings.episodes,
        "seed": settings.seed,
        "randomness": seeding.VERSION,
        # its kind: cpu and cuda round differently
        "device": device_of(settings, saved).partition(":")[0],
        "solver": [solver.kind.value, solver.steps, solver.spacing.value],
    }


def stored_episodes(settings: EvaluateSettings) -> list[EpisodeRecord] | None:
    """The episodes on these starts if they lie there already; no device is touched."""
    return read_stored(settings.folder, summarize(settings, load(settings)))


def episodes_of(settings: EvaluateSettings, console: Console) -> list[EpisodeRecord]:
    """The episodes on these starts; read back if they lie there already."""
    saved, folder = load(settings), settings.folder
    summary = summarize(settings, saved)
    stored = read_stored(folder, summary)  # also where nothing may be written
    if stored is not None:
        remove_finished(folder, summary)
        console.print(f"{len(stored)} episodes read from {folder}", soft_wrap=True)
        return stored
    with hold(folder):
        check_folder(folder)
        refuse_loss(folder, summary)
        return _evaluate(settings, saved, console)


def _evaluate(
    settings: EvaluateSettings, saved: SavedPolicy, console: Console
) -> list[EpisodeRecord]:
    """Roll out and write; the summary last, for it says that all is there."""
    saved, folder = place(settings, saved), settings.folder
    torch.set_num_threads(settings.threads)
    summary = summarize(settings, saved)
    rounding = {"worlds": settings.worlds, "threads": settings.threads}
    blocks = Blocks(folder, {**summary, **rounding})
    episodes: list[EpisodeRecord] = []
    motions: dict[int, Motion] = {}
    with progress(f"evaluating {settings.run}", settings.episodes, console=console) as bar:
        for block in roll_out(settings, saved, blocks, bar):
            episodes += block.episodes
            motions |= block.motions
    with disk_errors(folder):
        clear(folder, console)
    write_motions(folder / MOTIONS, motions)
    write_episodes(folder / EPISODES, episodes)
    write_text(folder / SUMMARY, json.dumps(summary))
    blocks.remove()
    return episodes


def evaluate(settings: EvaluateSettings) -> list[EpisodeRecord]:
    """Roll a policy out on starts of its task; print a table; film."""
    console, saved = Screen(), load(settings)
    episodes = episodes_of(settings, console)
    table = compare({settings.run: {0: episodes}}, extra=sorted(episodes[0].best))
    print_comparison(table, saved.settings.task.path_unit, console)
    film(settings.folder, saved.policy.spec, settings.videos, settings.video_format, console)
    return episodes
