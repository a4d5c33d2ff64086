"""From settings to the parts of a run: mixture, normaliser, sampler, policy."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from ambient_datasets.formats import open_any
from ambient_datasets.instructions import build_vocabulary, number_instructions
from ambient_datasets.mixture import Mixture
from ambient_datasets.normalizing import build_normalizers
from ambient_datasets.source import Source, resolve_source
from ambient_datasets.store import Attributes, Store
from ambient_datasets.union import Bodies, embody, unite
from ambient_datasets.windows import Windows
from ambient_envs import ALL_TASKS
from ambient_policy.ambient.admission import Admission, buffer_factor
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.batch import EMBODIMENT, INSTRUCTION, STATE, Batch
from ambient_policy.diffusion.law import Law
from ambient_policy.errors import DataError, SettingsError, listed, unknown
from ambient_policy.evaluation.worlds import Worlds, check_shapes, make_worlds
from ambient_policy.language import Table
from ambient_policy.policy import Policy, PolicySpec
from ambient_policy.seeding import generator
from ambient_policy.settings import (
    RunSettings,
    SourceSettings,
    StatisticsOf,
    Tables,
    TaskSettings,
    Trust,
    from_json,
)
from ambient_policy.spec import differences
from ambient_policy.training.checkpoint import (
    declared_step,
    folder_of,
    load_policy,
    load_settings,
    steps_saved,
)
from ambient_policy.training.loop import check_device
from ambient_policy.training.validation import held_out_draw


@dataclass(frozen=True)
class Parts:
    """Everything a training needs besides its settings."""

    settings: RunSettings
    mixture: Mixture
    sampler: Sampler
    spec: PolicySpec
    # of every episode, by the part of an observation that they become: (E,) int64
    labels: dict[str, NDArray[np.int64]]
    # (L + 1, V) of the instructions that the policy knows; None where it knows none
    rows: Table | None

    @cached_property
    def windows(self) -> Windows:
        """The mixture's tables on the training device; made when first asked for."""
        return self.windows_on(self.settings.training.device)

    def windows_on(self, device: str) -> Windows:
        """The mixture's tables on a device."""
        settings = self.settings
        return Windows(self.mixture, settings.horizons, settings.seed, device, self.labels)

    def columns_of(self, window: int) -> list[int]:
        """Where the actions of a window's source lie among the policy's."""
        source = int(self.mixture.source_of_window(np.array(window)))
        columns: list[int] = self.mixture.actions.places[source].tolist()
        return columns

    def batch_at(self, step: int, rows: slice = slice(None)) -> Batch:
        """The batch of a step, or some rows of it: a pure function of (settings, step).

        All of the step's draws are made, so rows are the same whoever asks for them; only theirs
        are gathered.
        """
        seed, count = self.settings.seed, self.settings.training.batch
        draw = self.sampler.draw(seed, step, count)
        crop = generator(seed, "crop", step).random((count, 2), np.float32)
        return self.windows.gather(draw.rows(rows), crop[rows])

    def held_out_batch(self) -> Batch | None:
        """What training validates, the same for every arm and seed; None if it is not to."""
        validation = self.settings.training.validation
        if validation.every is None:
            return None
        windows, law = self.mixture.held_out_windows(), self.sampler.law
        return self.windows.gather(held_out_draw(windows, law, validation))


def open_source(name: str, source: SourceSettings, tables: Tables = Tables.memory) -> Store:
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
    return open_any(
        source.path,
        attributes,
        source.observation_keys,
        source.action_key,
        source.observation_columns,
        source.cameras,
        tables,
    )


def build_mixture(settings: RunSettings) -> tuple[Mixture, Bodies]:
    """The sources joined, each trusted as the settings say, and whose dimensions they have."""
    sources, bodies = resolve_sources(settings)
    return Mixture.join(sources, settings.cameras, settings.dimensions), bodies


def resolve_sources(settings: RunSettings) -> tuple[list[Source], Bodies]:
    """The sources, each trusted as the settings say, and whose dimensions they have."""
    if not settings.sources:
        raise SettingsError(
            "the config names no sources; choose a data config, e.g. data=maze, or give a list, "
            "e.g. mixture=[{path: data/maze/gcs.zarr, trust: trusted}]."
        )
    stores = {n: open_source(n, source, settings.tables) for n, source in settings.sources.items()}
    whole = unite(stores, settings.dimensions)
    normalizers = build_normalizers(
        settings.normalizer, stores, whole, settings.horizons, settings.actions
    )
    sources = [
        resolve_source(
            name,
            stores[name],
            trust=source.trust,
            fingerprint=normalizers[name].fingerprint,
            weight=source.weight,
            max_episodes=source.max_episodes,
            sigma_min=source.sigma_min,
            sigma_max=source.sigma_max,
            held_out=source.held_out,
            max_train_episodes=source.max_train_episodes,
        )
        for name, source in settings.sources.items()
    ]
    return sources, embody(stores, normalizers, whole)


def build_sampler(settings: RunSettings, mixture: Mixture) -> Sampler:
    """Sigma first, from the training law."""
    loss, law = settings.loss, settings.noise.training_law()
    check_reach(settings, law)
    return Sampler(
        Admission(mixture.sigma_min, mixture.sigma_max, loss.ambient, loss.s_max),
        mixture.episode_starts,
        mixture.episode_lengths,
        mixture.window_weight,
        law,
    )


def check_reach(settings: RunSettings, law: Law) -> None:
    """Refuse a threshold above which training never goes: that source would silently teach nothing.

    Raises:
        SettingsError: naming the source and the highest level of training.
    """
    loss = settings.loss
    factor = buffer_factor(loss.s_max) if loss.ambient else 1.0
    for name, source in settings.sources.items():
        low = source.sigma_min if source.trust is Trust.bounds else 0.0
        if law.sigma_hi <= low * factor < np.inf:
            buffered = f" (times {factor:.4g}, of loss.s_max)" if factor > 1 else ""
            raise SettingsError(
                f"sources.{name}.sigma_min = {low:g}{buffered} does not lie below {law.sigma_hi:g},"
                " the highest level of training, so it would never teach above it. Lower it, or "
                f"say so: sources.{name}.sigma_min=inf (to teach nothing at all: trust=rejected)."
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


def worlds_of(spec: PolicySpec, task: TaskSettings, count: int) -> Worlds:
    """So many worlds of a policy's task that show what the policy sees.

    Raises:
        SettingsError: if they do not show it, or in another shape.
    """
    shapes = {STATE: (len(spec.own_observations),), **spec.cameras}
    parts = {part: task.observation.get(part, part) for part in shapes}
    worlds = make_worlds(spec.task, count, parts, **spec.task_kwargs)
    try:
        check_shapes(worlds, shapes)
    except SettingsError:
        worlds.close()
        raise
    return worlds


def acting_source(task: TaskSettings, sources: Sequence[Source]) -> int:
    """The number of the first source that was demonstrated in the task's world.

    Raises:
        SettingsError: if none was.
    """
    tasks = [source.store.attributes.task for source in sources]
    if task.id not in tasks:
        shown = "', '".join(dict.fromkeys(tasks))
        raise SettingsError(
            f"task.id is '{task.id}', but the demonstrations are of '{shown}'. Choose the task of "
            "the data, or data of the task."
        )
    return tasks.index(task.id)


def check_acting(
    settings: RunSettings, mixture: Mixture, bodies: Bodies, acting: int, sampler: Sampler
) -> None:
    """Refuse rollouts in units that no step teaches.

    Args:
        settings: of the run.
        mixture: of its sources.
        bodies: theirs.
        acting: the number of the source whose embodiment acts.
        sampler: who is drawn.

    Raises:
        SettingsError: if no source of that embodiment is drawn at any level, naming them.
    """
    drawn = np.unique(mixture.source_of_episode[sampler.drawn])
    shared = np.flatnonzero(bodies.of_source == bodies.of_source[acting])
    if np.isin(shared, drawn).any():
        return
    name, names = mixture.names[acting], listed([mixture.names[i] for i in shared])
    joint = ", or let all sources share their units: normalizer.statistics=joint"
    raise SettingsError(
        f"rollouts in '{settings.task.id}' have the columns and the normaliser of source '{name}', "
        f"and no step teaches these: of the sources that share them ({names}) none is drawn at any "
        f"noise level. Let one of them teach (sources.{name}.trust=trusted, a weight above 0)"
        f"{joint if settings.normalizer.statistics is StatisticsOf.source else ''}."
    )


def check_task(settings: RunSettings, own: Attributes) -> None:
    """Refuse a task that does not fit what was demonstrated in its world."""
    check_world(settings.task, own)
    for name in settings.task.path:
        if name not in own.observation_names:
            raise unknown("task.path", name, own.observation_names)
    if not settings.label:
        raise SettingsError("label is empty; name this arm, e.g. label=ambient.")


def build(settings: RunSettings) -> Parts:
    """All parts, every check done, before any training step."""
    sources, bodies = resolve_sources(settings)
    mixture = Mixture.join(sources, settings.cameras, settings.dimensions)
    acting = acting_source(settings.task, sources)
    check_task(settings, sources[acting].store.attributes)
    sampler = build_sampler(settings, mixture)
    check_acting(settings, mixture, bodies, acting, sampler)
    known = build_vocabulary(settings.language, settings.task, sources)
    spec = PolicySpec(
        task=settings.task.id,
        task_kwargs=settings.task.kwargs,
        observation_names=mixture.attributes.observation_names,
        action_names=mixture.attributes.action_names,
        control_rate=mixture.attributes.control_rate,
        embodiments=bodies.embodiments,
        acting=list(bodies.embodiments)[bodies.of_source[acting]],
        horizons=settings.horizons,
        noise=settings.noise,
        network=settings.network,
        solver=settings.solver,
        actions=settings.actions,
        cameras={name: frames.shape for name, frames in mixture.cameras.items()},
        language=None if known is None else known[0],
    )
    if settings.task.id in ALL_TASKS:
        worlds_of(spec, settings.task, 1).close()  # refuses cameras that are not shown
    labels = {}
    if len(bodies.embodiments) > 1:
        labels[EMBODIMENT] = bodies.of_source[mixture.source_of_episode]
    if known is not None:
        labels[INSTRUCTION] = number_instructions(sources, known[0])
    return Parts(settings, mixture, sampler, spec, labels, None if known is None else known[1])


def checkpoint_of(run: Path, step: int | None = None) -> Path:
    """The folder of a run's checkpoint at a step (default: its last)."""
    saved = steps_saved(run / "checkpoints")
    if not saved or (step is not None and step not in saved):
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        remedy = f"Name one of {saved}" if saved else "Train it first: scripts/train.py"
        raise SettingsError(f"{run} has {wanted}. {remedy}.")
    return folder_of(run / "checkpoints", saved[-1] if step is None else step)


def refuse_other(folder: Path, settings: RunSettings) -> bool:
    """Whether the folder holds this very run already, whichever ``tables`` it was begun with.

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
    if replace(written, tables=settings.tables) != settings:  # both give the same batches
        raise SettingsError(
            f"{folder} holds a run with other settings (see {path}). Give this run another label= "
            "or root=, or delete that folder."
        )
    return True


def declared_checkpoint(run: Path) -> Path:
    """The run's checkpoint that was declared before training (training.declared)."""
    settings = from_json(load_settings(checkpoint_of(run)))
    return checkpoint_of(run, declared_step(run / "checkpoints", settings))


def initial_policy(parts: Parts) -> Policy:
    """Random weights of the seed, or the averaged weights of the run to start from."""
    check_device(parts.settings.training.device)
    policy = Policy(parts.spec, parts.settings.seed, parts.rows)
    if parts.settings.start_from is not None:
        start = load_policy(declared_checkpoint(Path(parts.settings.start_from)))
        other = differences(parts.spec.foundation(), start.spec.foundation())
        if other:
            raise SettingsError(
                f"start_from = {parts.settings.start_from} was trained with another "
                f"{', '.join(other)} than this run; make them equal."
            )
        policy.load_state_dict(start.state_dict())
    return policy
