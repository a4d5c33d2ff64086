"""Collect demonstrations: an expert tries episodes of a task, the successful ones are stored.

Attempt k = 0, 1, 2, ... has a world seed and a planner seed that depend on (seed, k) alone, and
attempts are stored in their order, whoever finishes first: the same seed gives the same store,
whatever the number of worker processes.

A stopped collection continues. Every attempt before the next one was either stored or discarded,
and discards are counted in ``extra["discarded"]`` the moment they happen, so the next attempt is
number (episodes + discarded): no further record is needed, and a kill at any moment loses at most
the attempt in flight.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path
from typing import cast

from rich.console import Console

from ambient_datasets.store import (
    JSON,
    Appender,
    Attributes,
    Episode,
    create_store,
    open_store,
    update_extra,
)
from ambient_envs import ALL_TASKS
from ambient_envs.experts import Attempt, World, attempt_episode, find_expert
from ambient_envs.layouts import layout_walls
from ambient_policy.errors import DataError, SettingsError, unknown
from ambient_policy.files import clear_leftovers, hold
from ambient_policy.jobs import Jobs, JobSettings, Where, open_jobs
from ambient_policy.progress import progress
from ambient_policy.seeding import integer
from ambient_policy.settings import TaskSettings
from ambient_policy.settings.checks import Word, word, words_to_enums
from ambient_policy.terminal import Screen

AHEAD = 16  # attempts of each worker beyond the oldest one that is not finished
FRUITLESS = 200  # attempts in a row without a success: then something is wrong


class Goals(Enum):
    """Which goal is recorded with an episode."""

    own = "own"  # the one that was pursued
    another = "another"  # of another episode, drawn alike: right motions, wrong task


@dataclass
class CollectSettings:
    """What to collect, and where to."""

    # folder of the store: a new one, or one begun with the same settings
    path: str = "data/demonstrations.zarr"
    # who demonstrates: gcs (trusted) or rrt (suboptimal)
    expert: str = "???"
    # successful episodes to hold in the end
    episodes: int = 100
    # of worlds and planners
    seed: int = 0
    # which goal is recorded; another makes demonstrations of the wrong task, for studying them
    goals: Word[Goals] = word(Goals.own)
    # cameras of the task to store pictures of (maze: top, tilted), and their side [px]
    cameras: list[str] = field(default_factory=list)
    image_size: int = 96
    task: TaskSettings = field(default_factory=TaskSettings)
    # how many collect at once, and where; the store does not depend on it
    jobs: JobSettings = field(default_factory=JobSettings)

    def __post_init__(self) -> None:
        words_to_enums(self)
        if self.goals is Goals.another and self.cameras:
            raise SettingsError(
                f"goals = another with cameras = {self.cameras}: pictures show the goal that was "
                "pursued. Leave cameras out, or record goals=own."
            )
        if self.task.id not in ALL_TASKS:
            raise unknown("task", self.task.id, ALL_TASKS)
        for name in sorted({*self.task.kwargs} - {"layout"}):
            refusal = unknown("task.kwargs", name, ["layout"])
            raise SettingsError(f"{refusal} Cameras are chosen by cameras=[top] image_size=96.")
        find_expert(self.expert)
        layout_walls(self.layout)
        if self.episodes < 1:
            raise SettingsError(f"episodes = {self.episodes} must be at least 1.")
        if self.jobs.where is Where.slurm:
            raise SettingsError(
                "jobs.where = slurm: an attempt takes seconds, too short for a job of Slurm. Give "
                "jobs.where=here or ray."
            )

    @property
    def layout(self) -> str:
        """The name of the task's layout."""
        return str(self.task.kwargs.get("layout", ""))

    @property
    def world(self) -> World:
        """The world in which the expert tries."""
        return World(self.task.id, self.layout, tuple(self.cameras), self.image_size)


@dataclass(frozen=True)
class Collection:
    """What lies in the store after collecting.

    Attributes:
        episodes: successful attempts, stored.
        discarded: failed attempts by reason ("wall", "time", "no plan", "diverged").
    """

    episodes: int
    discarded: dict[str, int]

    @property
    def attempts(self) -> int:
        """Stored and discarded."""
        return self.episodes + sum(self.discarded.values())

    def __str__(self) -> str:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(self.discarded.items()))
        discarded = self.attempts - self.episodes
        share = discarded / max(1, self.attempts)
        return (
            f"{self.episodes} episodes from {self.attempts} attempts, {discarded} discarded "
            f"({share:.1%}{': ' + reasons if reasons else ''})"
        )


def collect(settings: CollectSettings, console: Console | None = None) -> Collection:
    """Fill a store until it holds as many successful episodes as the settings say.

    Args:
        settings: what to collect, and where to.
        console: where progress and summary appear; None is the standard error.

    Raises:
        SettingsError: for pictures that cannot be drawn here, or while another process collects
            into the same store.
        DataError: if another collection lies at the path; if the expert always fails.
    """
    console = Screen(stderr=True) if console is None else console
    path, title = Path(settings.path), f"collect {settings.expert} {settings.layout}"
    attributes = _attributes(settings)
    with hold(path):
        held = _resume(path, attributes, settings)
        clear_leftovers(path)
        if held.episodes < settings.episodes:
            with (
                progress(title, settings.episodes, held.episodes, console) as bar,
                open_jobs(settings.jobs) as jobs,
            ):
                for collection in _fill(path, held, settings, jobs):
                    bar.update(collection.episodes)
                    held = collection
    console.print(f"{path}: {held}")
    return held


def _fill(
    path: Path, held: Collection, settings: CollectSettings, jobs: Jobs
) -> Iterator[Collection]:
    """Attempt after attempt until the store is full; yields what it holds after each."""
    appender, fruitless = Appender(path), 0
    for attempt in _attempts(settings, jobs, held.attempts):
        held = _record(path, appender, held, attempt)
        fruitless = fruitless + 1 if attempt.failure else 0
        _check_fruitful(fruitless, held, settings)
        yield held
        if held.episodes == settings.episodes:
            return


def _attributes(settings: CollectSettings) -> Attributes:
    world, expert = settings.world, settings.expert
    task = world.make()
    task.reset(seed=0)  # pictures that cannot be drawn are refused before anything is written
    task.close()
    return Attributes(
        task=world.task_id,
        source=expert,
        control_rate=1.0 / task.dt,
        observation_names=task.observation_names,
        observation_units=task.observation_units,
        action_names=task.action_names,
        action_units=task.action_units,
        extra={
            "planner": expert,
            "layout": settings.layout,
            "seed": settings.seed,
            "goals": settings.goals.value,
            "discarded": {},
        },
    )


def _resume(path: Path, attributes: Attributes, settings: CollectSettings) -> Collection:
    """What the store holds already; creates it where there is none."""
    frames = settings.world.frames
    if not path.exists():
        create_store(path, attributes, frames)
        return Collection(0, {})
    store = open_store(path)
    before = {name: camera.shape for name, camera in store.cameras.items()}
    _check_same(path, _origin(store.attributes, before), _origin(attributes, frames))
    if len(store) > settings.episodes:
        raise DataError(
            f"{path}: holds {len(store)} episodes already, more than the {settings.episodes} asked "
            "for. Ask for at least as many, delete it or give another path."
        )
    discarded = cast(dict[str, int], store.attributes.extra["discarded"])
    return Collection(len(store), dict(discarded))


def _origin(
    attributes: Attributes, cameras: Mapping[str, tuple[int, int, int]]
) -> dict[str, object]:
    """What makes a collection this one and no other."""
    extra = attributes.extra
    return {
        "task": attributes.task,
        "expert": extra.get("planner"),
        "seed": extra.get("seed"),
        "layout": extra.get("layout"),
        "goals": extra.get("goals", Goals.own.value),
        "cameras": dict(cameras),
    }


def _check_same(path: Path, before: dict[str, object], now: dict[str, object]) -> None:
    """Refuse to continue a store that another collection began."""
    names = [name for name in now if before[name] != now[name]]
    if names:
        holds, asked = (
            ", ".join(f"{name} = {values[name]}" for name in names) for values in (before, now)
        )
        raise DataError(
            f"{path}: this store holds {holds}, but {asked} was asked for. Ask for the same, "
            "delete the store or give another path."
        )


def _attempts(settings: CollectSettings, jobs: Jobs, first: int) -> Iterator[Attempt]:
    """Attempts first, first + 1, ... in order."""
    orders = (_order(settings, k) for k in count(first))
    return jobs.in_order(attempt_episode, orders, AHEAD * settings.jobs.cores)


def _order(settings: CollectSettings, k: int) -> tuple[World, str, int, int, int | None]:
    """What attempt k is made of: world, expert and seeds."""
    purposes = ("collect world", "collect plan", "collect goal")
    world, plan, goal = (integer(settings.seed, purpose, k) for purpose in purposes)
    recorded = goal if settings.goals is Goals.another else None
    return settings.world, settings.expert, world, plan, recorded


def _record(path: Path, appender: Appender, held: Collection, attempt: Attempt) -> Collection:
    """Store a success, count a failure; either is one commit on disk."""
    if not attempt.failure:
        appender.append(Episode(attempt.observations, attempt.actions, attempt.images))
        return Collection(held.episodes + 1, held.discarded)
    reason = attempt.failure
    discarded = {**held.discarded, reason: held.discarded.get(reason, 0) + 1}
    update_extra(path, discarded=cast(dict[str, JSON], discarded))
    return Collection(held.episodes, discarded)


def _check_fruitful(fruitless: int, held: Collection, settings: CollectSettings) -> None:
    if fruitless >= FRUITLESS:
        raise DataError(
            f"expert '{settings.expert}' failed {fruitless} times in a row in layout "
            f"'{settings.layout}': {held}. Check the layout: can a robot pass, and are start and "
            "goal connected?"
        )
