"""Whether a world fits what was demonstrated, and whose body acts in it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from ambient_datasets.mixture import Mixture
from ambient_datasets.source import Source
from ambient_datasets.store import Attributes
from ambient_datasets.union import Bodies
from ambient_envs import ALL_TASKS
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.batch import STATE
from ambient_policy.errors import SettingsError, listed, unknown
from ambient_policy.evaluation.worlds import Worlds, check_shapes, make_worlds
from ambient_policy.policy import PolicySpec
from ambient_policy.settings import (
    RunSettings,
    StatisticsOf,
    TaskSettings,
)
from ambient_policy.workflows.fit import check_rate


def worlds_of(spec: PolicySpec, task: TaskSettings, count: int) -> Worlds:
    """So many worlds of a policy's task that show what the policy sees.

    Raises:
        SettingsError: if they do not show it, or in another shape, or run at another rate.
    """
    shapes = {STATE: (len(spec.own_observations),), **spec.cameras}
    parts = {part: task.observation.get(part, part) for part in shapes}
    worlds = make_worlds(spec.task, count, parts, **spec.task_kwargs)
    single = getattr(worlds.unwrapped, "envs", ())[:1]  # a batched twin is one of our own worlds
    try:
        check_shapes(worlds, shapes)
        for world in single:
            check_rate(spec.task, world, spec.control_rate)
    except SettingsError:
        worlds.close()
        raise
    return worlds


def acting_source(task: TaskSettings, sources: Sequence[Source]) -> int:
    """The number of the source whose body acts in the task's world.

    A store's task is a label, given before anybody knew the world, perhaps: the first source with
    the world's id is taken, else the first whose names and rate are the world's, else, where only
    the world itself can tell, the first of a mixture whose sources are all alike.

    Raises:
        SettingsError: if no source fits.
    """
    labels = [source.store.attributes.task for source in sources]
    if task.id in labels or not task.id:
        return labels.index(task.id) if task.id else 0
    if task.id in ALL_TASKS:
        misfits = [_misfits(task, source.store.attributes) for source in sources]
        if [] in misfits:
            return misfits.index([])
        raise SettingsError(
            f"no source fits {task.id}. {sources[0].name}: {'; '.join(misfits[0])}. Convert the "
            "stores (ambient-policy convert), or name the world they are of: task.id=..."
        )
    columns = {_columns(source.store.attributes) for source in sources}
    if len(columns) > 1:
        raise SettingsError(
            f"task.id is '{task.id}', but the demonstrations are of '{listed(labels)}' and differ "
            "in their columns, so nobody knows whose body acts. Convert the store of that world "
            f"with recipe.task={task.id}."
        )
    return 0


def _columns(attributes: Attributes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return attributes.observation_names, attributes.action_names


def _misfits(task: TaskSettings, attributes: Attributes) -> list[str]:
    """What demonstrations say otherwise than one of our own worlds."""
    world: Any = gymnasium.make(task.id, **task.kwargs).unwrapped
    return [
        f"{name} of the demonstrations is {getattr(attributes, name)}, but {task.id} has {value}"
        for name, value in (
            ("observation_names", world.observation_names),
            ("action_names", world.action_names),
            ("control_rate", 1 / world.dt),
        )
        if getattr(attributes, name) != value
    ]


def check_world(task: TaskSettings, spec: PolicySpec, attributes: Attributes) -> None:
    """Refuse a task that does not fit what was demonstrated in its world.

    Args:
        task: of the run.
        spec: of its policy.
        attributes: of the source whose body acts.

    Raises:
        SettingsError: naming what differs.
    """
    if spec.task in ALL_TASKS:
        misfits = _misfits(replace(task, id=spec.task), attributes)
        if misfits:
            raise SettingsError(f"{misfits[0]}; convert the stores.")
        worlds_of(spec, task, 1).close()  # refuses cameras that are not shown
    for name in task.path:
        if name not in attributes.observation_names:
            raise unknown("task.path", name, attributes.observation_names)


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
