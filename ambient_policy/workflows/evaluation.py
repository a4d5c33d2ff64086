"""The evaluation stage: which policy, on which starts, and its episodes on disk."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from ambient_policy.diffusion.grid import Spacing
from ambient_policy.diffusion.solve import Solver
from ambient_policy.errors import CheckpointError, SettingsError
from ambient_policy.evaluation.comparison import compare
from ambient_policy.evaluation.records import (
    EpisodeRecord,
    measure,
    read_episodes,
    write_episodes,
    write_motions,
)
from ambient_policy.evaluation.rollout import rollout
from ambient_policy.evaluation.tables import print_comparison
from ambient_policy.evaluation.trajectory import Trajectory
from ambient_policy.files import write_text
from ambient_policy.policy import Policy
from ambient_policy.pretrained import Pretrained, is_pretrained, open_pretrained
from ambient_policy.settings import SolverSettings, from_json
from ambient_policy.training.checkpoint import declared_step, load_policy, load_settings
from ambient_policy.training.loop import check_device
from ambient_policy.workflows.film import VIDEOS, film
from ambient_policy.workflows.folders import checkpoint_of
from ambient_policy.workflows.world import worlds_of

FILES = ("evaluation.json", "episodes.jsonl", "motions.npz", VIDEOS)


@dataclass
class SolverChange:
    """What is to differ from the solver settings of the training; null = as trained."""

    kind: Solver | None = None
    steps: int | None = None
    spacing: Spacing | None = None

    def apply(self, trained: SolverSettings) -> SolverSettings:
        """The settings to sample with."""
        changes = {key: value for key, value in vars(self).items() if value is not None}
        return replace(trained, **changes)


@dataclass
class EvaluateSettings:
    """Which policy, on which starts."""

    # folder of the run, or of a policy that scripts/export.py wrote
    run: str = "???"
    # step of the checkpoint; null = the one declared before training (training.declared); an
    # exported policy has one only
    checkpoint: int | None = None
    # gymnasium id; null = the one the policy was trained for (no other is accepted)
    task: str | None = None
    # number of starts, and the seed of the first; the others follow it
    episodes: int = 200
    first_seed: int = 100000
    # of the denoising noise
    seed: int = 0
    # worlds that run side by side
    worlds: int = 200
    # sampler; null = as trained
    solver: SolverChange = field(default_factory=SolverChange)
    # episode seeds to film, and the suffix that decides the format (mp4 or gif)
    videos: list[int] = field(default_factory=list)
    video_format: str = "mp4"
    # torch's threads
    threads: int = 2
    # where the policy plans: cpu, cuda, cuda:1 ...
    device: str = "cpu"
    # folder of the results; null = evaluation/ in that of the run
    out: str | None = None

    def __post_init__(self) -> None:
        for name in ("episodes", "worlds", "threads"):
            value = getattr(self, name)
            if value < 1:
                raise SettingsError(f"{name} = {value} must be at least 1.")


def step_asked(settings: EvaluateSettings) -> int:
    """The checkpoint asked for, else the one that was declared before training."""
    if settings.checkpoint is not None:
        return settings.checkpoint
    run = Path(settings.run)
    return declared_step(run / "checkpoints", from_json(load_settings(checkpoint_of(run))))


def find(settings: EvaluateSettings) -> Pretrained:
    """The policy as it was trained: of a run at the step asked for, or as exported.

    Raises:
        AmbientPolicyError: naming the folder and what is wrong with it.
    """
    folder = Path(settings.run)
    if not is_pretrained(folder):
        trained = from_json(load_settings(checkpoint_of(folder)))
        step = step_asked(settings)
        return Pretrained(load_policy(checkpoint_of(folder, step)), trained, step)
    exported = open_pretrained(folder)
    if settings.checkpoint not in (None, exported.step):
        raise SettingsError(
            f"checkpoint = {settings.checkpoint}, but {folder} is an exported policy and holds "
            f"that of step {exported.step} only. Leave it out, or name the run."
        )
    return exported


def load(settings: EvaluateSettings) -> Pretrained:
    """The policy as it is asked for, or a refusal that names what is wrong with it."""
    folder, found = Path(settings.run), find(settings)
    policy = found.policy
    if settings.task not in (None, policy.spec.task):
        raise CheckpointError(
            f"{folder} was trained for '{policy.spec.task}', not for '{settings.task}'; evaluate "
            "it there, or name a run of that task."
        )
    asked = policy.with_solver(settings.solver.apply(policy.spec.solver))
    asked.spec.solver.calls(asked.spec.noise)  # refuses a grid that does not fit
    check_device(settings.device, "device")
    return replace(found, policy=asked.to(settings.device))


def fingerprint(policy: Policy) -> str:
    """16 hexadecimal digits of the weights: an evaluation belongs to these and no others."""
    digest = hashlib.sha256()
    for name, weight in sorted(policy.state_dict().items()):
        digest.update(name.encode() + weight.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_folder(folder: Path) -> None:
    """Refuse to write an evaluation among files of another kind.

    Raises:
        SettingsError: naming one of them.
    """
    strange = sorted(
        file.name
        for file in (folder.iterdir() if folder.exists() else ())
        if file.name not in FILES and not file.name.startswith(".")
    )
    if strange:
        raise SettingsError(
            f"out = {folder} holds {strange[0]}, which is of no evaluation; name a folder that is "
            "new, or was made by an evaluation."
        )


def roll_out(settings: EvaluateSettings, loaded: Pretrained, console: Console) -> list[Trajectory]:
    """One trajectory for each start asked for, in their order, under a bar."""
    seeds = range(settings.first_seed, settings.first_seed + settings.episodes)
    count, task = min(settings.worlds, settings.episodes), loaded.settings.task
    worlds = worlds_of(loaded.policy.spec, task, count)
    with Progress(console=console) as bar:
        shown = bar.add_task(f"evaluating {settings.run}", total=settings.episodes)
        trajectories = rollout(
            loaded.policy,
            worlds,
            seeds,
            seed=settings.seed,
            max_steps=task.max_steps,
            progress=lambda ended: bar.advance(shown, ended),
        )
    worlds.close()
    return trajectories


def clear(folder: Path, console: Console) -> None:
    """Remove what an earlier evaluation says of files that are about to be replaced."""
    done = folder / "evaluation.json"
    if done.exists():
        console.print(f"replacing what {done} told: {done.read_text()}", highlight=False)
        done.unlink()
        shutil.rmtree(folder / VIDEOS, ignore_errors=True)


def episodes_of(settings: EvaluateSettings, console: Console) -> list[EpisodeRecord]:
    """Episodes on the starts asked for; read back if they lie there already."""
    loaded = load(settings)
    policy, trained = loaded.policy, loaded.settings
    folder = Path(settings.out or f"{settings.run}/evaluation")
    solver = policy.spec.solver
    asked = {
        "checkpoint": loaded.step,
        "weights": fingerprint(policy),
        "first_seed": settings.first_seed,
        "episodes": settings.episodes,
        "seed": settings.seed,
        "solver": [solver.kind.value, solver.steps, solver.spacing.value],
    }
    done = folder / "evaluation.json"
    check_folder(folder)
    if done.exists() and json.loads(done.read_text()) == asked:
        return read_episodes(folder / "episodes.jsonl")
    torch.set_num_threads(settings.threads)
    trajectories = roll_out(settings, loaded, console)
    path = [policy.spec.own_observations.index(name) for name in trained.task.path]
    dt, act = 1 / policy.spec.control_rate, policy.horizons.act
    episodes = [measure(t, dt=dt, path_dims=path, act=act) for t in trajectories]
    folder.mkdir(parents=True, exist_ok=True)
    clear(folder, console)
    write_motions(folder / "motions.npz", trajectories, path)
    write_episodes(folder / "episodes.jsonl", episodes)
    write_text(done, json.dumps(asked))
    return episodes


def evaluate(settings: EvaluateSettings) -> None:
    """Roll a policy out on starts of its task; print a table; film."""
    console, loaded = Console(), load(settings)
    episodes = episodes_of(settings, console)
    table = compare({settings.run: {0: episodes}}, extra=sorted(episodes[0].best))
    print_comparison(table, loaded.settings.task.path_unit, console)
    folder = Path(settings.out or f"{settings.run}/evaluation")
    film(folder, loaded.policy.spec, settings.videos, settings.video_format, console)
