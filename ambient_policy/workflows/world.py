"""Whether a world fits what was demonstrated, and whose body acts in it."""

from collections.abc import Sequence
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


def check_task(settings: RunSettings, own: Attributes) -> None:
    """Refuse a task that does not fit what was demonstrated in its world."""
    check_world(settings.task, own)
    for name in settings.task.path:
        if name not in own.observation_names:
            raise unknown("task.path", name, own.observation_names)
    if not settings.label:
        raise SettingsError("label is empty; name this arm, e.g. label=ambient.")


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
