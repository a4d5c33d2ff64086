"""From settings to the parts of a run: mixture, normaliser, sampler, policy."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from ambient_datasets.formats import open_any
from ambient_datasets.mixture import Mixture, check_alike
from ambient_datasets.source import resolve_source
from ambient_datasets.store import Attributes, Store
from ambient_datasets.windows import gather
from ambient_envs import ALL_TASKS
from ambient_policy.ambient.admission import Admission
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.batch import Batch
from ambient_policy.diffusion.noise import UniformOverLevels, ddpm_levels
from ambient_policy.errors import DataError, SettingsError, unknown
from ambient_policy.normalize import Affine, Normalizer, check_bounds
from ambient_policy.policy import Policy, PolicySpec
from ambient_policy.settings import (
    BoundsSettings,
    NormalizerKind,
    NormalizerSettings,
    RunSettings,
    SourceSettings,
    TaskSettings,
    from_json,
)
from ambient_policy.training.checkpoint import load_policy, load_settings, steps_saved
from ambient_policy.training.loop import check_device


@dataclass(frozen=True)
class Parts:
    """Everything a training needs besides its settings."""

    settings: RunSettings
    mixture: Mixture
    sampler: Sampler
    spec: PolicySpec

    def batch_at(self, step: int) -> Batch:
        """The batch of a step: a pure function of (settings, step)."""
        settings = self.settings
        draw = self.sampler.draw(settings.seed, step, settings.training.batch)
        return gather(self.mixture, settings.horizons, draw, settings.seed)


def open_source(name: str, source: SourceSettings) -> Store:
    """The store of a source, described by itself or by the settings."""
    if not source.path:
        raise SettingsError(f"sources.{name}.path is empty; name the folder of its store.")
    described = source.attributes
    try:
        attributes = Attributes(**described) if described is not None else None
    except (TypeError, DataError) as error:
        known = ", ".join(field.name for field in fields(Attributes))
        raise SettingsError(
            f"sources.{name}.attributes: {error}; it is made of {known}."
        ) from error
    return open_any(source.path, attributes, source.observation_keys, source.action_key)


def _affine(kind: NormalizerKind, bounds: BoundsSettings, values: np.ndarray, name: str) -> Affine:
    if kind is NormalizerKind.bounds:
        check_bounds(bounds.low, bounds.high, values.shape[1], name)
        return Affine.from_range(bounds.low, bounds.high)
    if kind is NormalizerKind.range:
        return Affine.from_range(values.min(axis=0), values.max(axis=0))
    return Affine.from_moments(values)


def build_normalizer(settings: NormalizerSettings, stores: list[Store]) -> Normalizer:
    """The affine maps that the settings ask for, fitted on all episodes of all stores."""
    observations = np.concatenate([store.observations() for store in stores])
    actions = np.concatenate([store.actions() for store in stores])
    return Normalizer(
        _affine(settings.kind, settings.observations, observations, "observations"),
        _affine(settings.kind, settings.actions, actions, "actions"),
    )


def build_mixture(settings: RunSettings) -> tuple[Mixture, Normalizer]:
    """The sources joined, each trusted as the settings say."""
    if not settings.sources:
        raise SettingsError("the config names no sources; choose a data config, e.g. data=maze.")
    stores = {name: open_source(name, source) for name, source in settings.sources.items()}
    check_alike(stores)
    normalizer = build_normalizer(settings.normalizer, list(stores.values()))
    resolved = [
        resolve_source(
            name,
            stores[name],
            trust=source.trust,
            fingerprint=normalizer.fingerprint,
            weight=source.weight,
            max_episodes=source.max_episodes,
            sigma_min=source.sigma_min,
            sigma_max=source.sigma_max,
        )
        for name, source in settings.sources.items()
    ]
    return Mixture.join(resolved), normalizer


def build_sampler(settings: RunSettings, mixture: Mixture) -> Sampler:
    """Sigma first, from the uniform law over the schedule's levels."""
    loss = settings.loss
    return Sampler(
        Admission(mixture.sigma_min, mixture.sigma_max, loss.ambient, loss.s_max),
        mixture.episode_starts,
        mixture.episode_lengths,
        mixture.window_weight,
        UniformOverLevels(ddpm_levels(settings.noise.schedule, settings.noise.levels)),
    )


def check_world(task: TaskSettings, attributes: Attributes) -> None:
    """Refuse demonstrations that one of our own worlds would misread."""
    if task.id not in ALL_TASKS:
        return
    world: Any = gymnasium.make(task.id, **task.kwargs).unwrapped
    for name, told in (
        ("observation_names", world.observation_names),
        ("action_names", world.action_names),
        ("control_rate", 1 / world.dt),
    ):
        if getattr(attributes, name) != told:
            raise SettingsError(
                f"{name} of the demonstrations is {getattr(attributes, name)}, but {task.id} has "
                f"{told}; convert the stores."
            )


def build(settings: RunSettings) -> Parts:
    """All parts, every check done, before any training step."""
    mixture, normalizer = build_mixture(settings)
    attributes = mixture.attributes
    if attributes.task != settings.task.id:
        raise SettingsError(
            f"task.id is '{settings.task.id}', but the demonstrations are of '{attributes.task}'. "
            "Choose the task of the data, or data of the task."
        )
    check_world(settings.task, attributes)
    for name in settings.task.path:
        if name not in attributes.observation_names:
            raise unknown("task.path", name, attributes.observation_names)
    if not settings.label:
        raise SettingsError("label is empty; name this arm, e.g. label=ambient.")
    spec = PolicySpec(
        task=settings.task.id,
        task_kwargs=settings.task.kwargs,
        observation_names=tuple(attributes.observation_names),
        action_names=tuple(attributes.action_names),
        control_rate=attributes.control_rate,
        normalizer=normalizer,
        horizons=settings.horizons,
        noise=settings.noise,
        network=settings.network,
        solver=settings.solver,
        relative_to=tuple(settings.relative_to),
    )
    return Parts(settings, mixture, build_sampler(settings, mixture), spec)


def checkpoint_of(run: Path, step: int | None = None) -> Path:
    """The folder of a run's checkpoint at a step (default: its last)."""
    saved = steps_saved(run / "checkpoints")
    if not saved or (step is not None and step not in saved):
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        raise SettingsError(
            f"{run} has {wanted}; it has {saved or 'none'}. Train it first: scripts/train.py."
        )
    return run / "checkpoints" / f"step-{saved[-1] if step is None else step:07d}"


def refuse_other(folder: Path, settings: RunSettings) -> bool:
    """Whether the folder holds this very run already.

    Raises:
        SettingsError: when it holds a run with other settings.
    """
    path = folder / "settings.json"
    if not path.exists():
        return False
    try:
        written = from_json(json.loads(path.read_text()))
    except ValueError as error:
        raise SettingsError(f"{path} cannot be read ({error}); delete {folder}.") from error
    if written != settings:
        raise SettingsError(
            f"{folder} holds a run with other settings (see {path}). Give this run another label= "
            "or root=, or delete that folder."
        )
    return True


def last_checkpoint(run: Path) -> Path:
    """Of the run's last training step, which was declared before training."""
    return checkpoint_of(run, from_json(load_settings(checkpoint_of(run))).training.steps)


def initial_policy(parts: Parts) -> Policy:
    """Random weights of the seed, or the averaged weights of the run to start from."""
    check_device(parts.settings.training.device)
    policy = Policy(parts.spec, parts.settings.seed)
    if parts.settings.start_from is not None:
        start = load_policy(last_checkpoint(Path(parts.settings.start_from)))
        ours, theirs = parts.spec.to_json(), start.spec.to_json()
        other = [name for name in ours if name != "solver" and ours[name] != theirs[name]]
        if other:
            raise SettingsError(
                f"start_from = {parts.settings.start_from} was trained with another "
                f"{', '.join(other)} than this run; make them equal."
            )
        policy.load_state_dict(start.state_dict())
    return policy
