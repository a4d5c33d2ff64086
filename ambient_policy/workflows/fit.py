"""What demonstrations say otherwise than the world in which their policy will act.

A rate that a world states is refused; what may be meant so is a remark: a rate that only its
pictures have, numbers outside of its spaces, ends that are far from its goal.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from ambient_datasets.source import Source
from ambient_datasets.statistics import Statistics, table_statistics
from ambient_envs import ALL_TASKS
from ambient_policy.batch import STATE
from ambient_policy.errors import SettingsError, listed
from ambient_policy.evaluation.worlds import check_named, find_spec
from ambient_policy.settings import TaskSettings

RATES = ("control_hz", "control_freq")  # as gym_pusht and robosuite call it [Hz]
STEPS = ("frame_skip", "n_substeps")  # who has these has dt, the control period: MuJoCo's worlds
SLACK = 1e-3  # of a space's width: rounding, and a controller's overshoot
NAMED = 6  # columns of a remark

World = gymnasium.Env[Any, Any]
Floats = NDArray[np.floating[Any]]


def stated_rate(world: World) -> float | None:
    """The control rate that a world states [Hz]; None where it does not."""
    inner: Any = world.unwrapped
    if any(hasattr(inner, name) for name in STEPS) and getattr(inner, "dt", 0) > 0:
        return float(1 / inner.dt)
    rates = (getattr(inner, name, None) for name in RATES)
    return next((float(rate) for rate in rates if rate), None)


def check_rate(name: str, world: World, rate: float) -> None:
    """Refuse demonstrations at another rate than the world states.

    Args:
        name: of the world.
        world: any of its kind.
        rate: of the demonstrations [Hz].

    Raises:
        SettingsError: naming both.
    """
    stated = stated_rate(world)
    if stated is not None and not np.isclose(stated, rate, rtol=1e-3):
        raise SettingsError(
            f"control_rate of the demonstrations is {rate:g} Hz, but {name} runs at {stated:g} Hz: "
            f"rollouts would be {stated / rate:.3g} times as fast as demonstrated. Convert the "
            f"store with recipe.resample.rate={stated:g} (ambient-policy convert), or name the "
            "world that they are of: task.id=..."
        )


def remarks_on_world(name: str, task: TaskSettings, source: Source) -> Iterator[str]:
    """What is allowed, and perhaps not what was meant; nothing where the world is not here.

    Args:
        name: of the world.
        task: of the run.
        source: whose body acts.

    Raises:
        SettingsError: for demonstrations at another rate than the world states.
    """
    try:
        check_named(name, task.id or None)  # a store's label imports nothing
        spec = find_spec(name)
    except SettingsError:
        return
    try:
        world = gymnasium.make(spec.id, disable_env_checker=True, **task.kwargs)
    except Exception as error:  # whatever a foreign world lacks here, its policy can be trained
        why = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        yield (
            f"{name} cannot be made here ({why}), so nobody compared its rate, its spaces and its "
            "goal with the demonstrations."
        )
        return
    with closing(world):
        check_rate(name, world, source.store.attributes.control_rate)
        yield from _rate_of_pictures(name, world, source.store.attributes.control_rate)
        yield from _outside(name, world, task, source)
        if name not in ALL_TASKS:  # ours show their goals, and a reset may draw pictures
            yield from _goal(name, world, task, source)


def _rate_of_pictures(name: str, world: World, rate: float) -> Iterator[str]:
    shown = world.metadata.get("render_fps")
    if stated_rate(world) is None and shown and not np.isclose(shown, rate, rtol=0.02):
        yield (
            f"control_rate of the demonstrations is {rate:g} Hz, and {name} shows {shown:g} "
            "pictures a second (render_fps): if that is its control rate, convert the store with "
            f"recipe.resample.rate={shown:g}."
        )


def _outside(name: str, world: World, task: TaskSettings, source: Source) -> Iterator[str]:
    """Columns whose numbers the world cannot show, or does not take."""
    attributes, store = source.store.attributes, source.store
    parts = (
        ("observations", _state_space(world, task), attributes.observation_names, "shows"),
        ("actions", world.action_space, attributes.action_names, "takes"),
    )
    tables = store.observation_table, store.action_table
    for (part, space, names, verb), table in zip(parts, tables, strict=True):
        if not isinstance(space, Box) or space.shape != (len(names),) or not _is_bounded(space):
            continue
        columns = _beyond(space, table_statistics(table, source.taught_rows, sketch=False), names)
        if columns:
            yield (
                f"{part} outside of what {name} {verb}: {listed(columns, most=NAMED)}. A policy "
                "meets other numbers there than it learned from. Convert the store to the world's "
                "(recipe.observation_columns, .action_columns: scale, offset, wrap, wrap_from)."
            )


def _is_bounded(space: Box[Any]) -> bool:
    return bool(np.isfinite(space.low).any() or np.isfinite(space.high).any())


def _beyond(space: Box[Any], statistics: Statistics, names: Sequence[str]) -> list[str]:
    low, high = (np.asarray(ends, np.float64) for ends in (space.low, space.high))
    slack = SLACK * np.where(np.isfinite(high - low), high - low, 1.0)
    outside = (statistics.low < low - slack) | (statistics.high > high + slack)
    return [
        f"{names[i]} ({statistics.low[i]:.4g} to {statistics.high[i]:.4g}, not {low[i]:.4g} to "
        f"{high[i]:.4g})"
        for i in np.flatnonzero(outside).tolist()
    ]


def _state_space(world: World, task: TaskSettings) -> Any:
    space = world.observation_space
    if not isinstance(space, Dict):
        return space
    return space.spaces.get(task.observation.get(STATE, STATE))


def _goal(name: str, world: World, task: TaskSettings, source: Source) -> Iterator[str]:
    """Demonstrations that do not go to the goal that the world states in its ``info``."""
    observation, info = world.reset(seed=0)
    if isinstance(observation, dict):
        observation = observation.get(task.observation.get(STATE, STATE), ())
    for columns, goal in _goals(np.asarray(observation, np.float64), info):
        starts, ends = _first_and_last(source, columns)
        far, before = (np.median(np.linalg.norm(x - goal, axis=1)) for x in (ends, starts))
        if far > before / 2:
            names = [source.store.attributes.observation_names[i] for i in columns]
            middle, target = (
                f"({', '.join(f'{x:.4g}' for x in point)})" for point in (np.median(ends, 0), goal)
            )
            yield (
                f"the demonstrations end with {', '.join(names)} at {middle} (median), and the "
                f"goal of {name} is {target}: they are of another goal, perhaps, and rollouts "
                "count as successes what was not demonstrated. Name the world that they are of "
                "(task.id, task.kwargs)."
            )


def _goals(observation: Floats, info: dict[str, Any]) -> Iterator[tuple[list[int], Floats]]:
    """Where the observation has a position whose goal is stated: goal_pose beside block_pose."""
    for key in (key for key in info if key.startswith("goal_")):
        ending = key.removeprefix("goal")
        for twin in (k for k in info if k != key and k.endswith(ending)):
            goal, now = (np.ravel(np.asarray(info[k], np.float64)) for k in (key, twin))
            columns = _places(observation, now) if len(goal) == len(now) else []
            if columns:
                yield columns, goal[: len(columns)]


def _places(observation: Floats, position: Floats) -> list[int]:
    """Three or two columns side by side that show a position; none where it is not shown."""
    for size in (3, 2):
        for first in range(len(observation) - size + 1 if len(position) >= size else 0):
            if np.allclose(observation[first : first + size], position[:size]):
                return list(range(first, first + size))
    return []


def _first_and_last(source: Source, columns: list[int]) -> tuple[Floats, Floats]:
    """(E,n) these observations at the first and last step of the episodes that teach."""
    last = source.store.episode_ends[: source.episodes][source.taught] - 1
    first = last + 1 - source.store.episode_lengths[: source.episodes][source.taught]
    table = source.store.observation_table
    starts, ends = (table.read(rows)[:, columns].astype(np.float64) for rows in (first, last))
    return starts, ends
