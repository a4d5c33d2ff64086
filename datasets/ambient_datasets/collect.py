"""Collect demonstrations: an expert tries episodes of a task, the successful ones are stored.

Attempt k = 0, 1, 2, ... has a world seed and a planner seed that depend on (seed, k) alone, and
attempts are stored in their order, whoever finishes first: the same seed gives the same store,
whatever the number of worker processes.

A stopped collection continues. Every attempt before the next one was either stored or discarded,
and discards are counted in ``extra["discarded"]`` the moment they happen, so the next attempt is
number (episodes + discarded): no further record is needed, and a kill at any moment loses at most
the attempt in flight.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
from ambient_policy.seeding import integer

AHEAD = 16  # attempts given to each worker before the oldest is awaited
FRUITLESS = 200  # attempts in a row without a success: then something is wrong


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


def collect(
    path: str | Path,
    *,
    task_id: str,
    expert: str,
    episodes: int,
    seed: int,
    workers: int,
    layout: str,
    cameras: Sequence[str] = (),
    image_size: int = 96,
    progress: bool = True,
) -> Collection:
    """Fill the store at ``path`` until it holds ``episodes`` successful episodes.

    Args:
        path: a new store, or one begun with the same task, expert, seed, layout and cameras.
        task_id: one of ``ambient_envs.ALL_TASKS``.
        expert: one of ``ambient_envs.experts.EXPERTS``.
        episodes: to hold in the end.
        seed: of worlds and planners.
        workers: processes; 1 works in this one.
        layout: one of ``ambient_envs.layouts.LAYOUTS``.
        cameras: of the task, to store the pictures of beside the state.
        image_size: side of those square pictures [px].
        progress: show a bar, and how many attempts were discarded.

    Raises:
        SettingsError: for an unknown name, numbers that make no sense, or pictures that cannot be
            drawn here.
        DataError: if another collection lies at ``path``.
    """
    _check(task_id, expert, layout, episodes, workers)
    world = World(task_id, layout, tuple(cameras), image_size)
    path = Path(path)
    held = _resume(path, _attributes(world, expert, seed), world, episodes)
    appender = Appender(path) if held.episodes < episodes else None
    with ExitStack() as stack:
        console = Console(stderr=True, quiet=not progress)
        bar = stack.enter_context(_bar(console))
        shown = bar.add_task(f"collect {expert} {layout}", total=episodes, completed=held.episodes)
        attempts = _attempts(stack, world, expert, seed, workers, held.attempts)
        fruitless = 0
        while appender is not None and held.episodes < episodes:
            attempt = next(attempts)
            held = _keep(path, appender, held, attempt)
            fruitless = fruitless + 1 if attempt.failure else 0
            _check_fruitful(fruitless, held, expert, layout)
            bar.update(shown, completed=held.episodes)
        console.print(f"{path}: {held}", highlight=False)
    return held


def _check(task_id: str, expert: str, layout: str, episodes: int, workers: int) -> None:
    if task_id not in ALL_TASKS:
        raise unknown("task", task_id, ALL_TASKS)
    find_expert(expert)
    layout_walls(layout)
    if episodes < 1 or workers < 1:
        raise SettingsError(
            f"episodes = {episodes}, workers = {workers}: both must be at least 1 "
            "(workers = 1 collects in this process)."
        )


def _attributes(world: World, expert: str, seed: int) -> Attributes:
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
        extra={"planner": expert, "layout": world.layout, "seed": seed, "discarded": {}},
    )


def _resume(path: Path, attributes: Attributes, world: World, episodes: int) -> Collection:
    """What the store holds already; makes it where there is none."""
    if not path.exists():
        create_store(path, attributes, world.frames)
        return Collection(0, {})
    store = open_store(path)
    found = {name: frames.shape for name, frames in store.cameras.items()}
    _check_same(path, _origin(store.attributes, found), _origin(attributes, world.frames))
    if len(store) > episodes:
        raise DataError(
            f"{path}: holds {len(store)} episodes already, more than the {episodes} asked for. "
            "Ask for at least as many, delete it or give another path."
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
        "cameras": dict(cameras),
    }


def _check_same(path: Path, found: dict[str, object], asked: dict[str, object]) -> None:
    """Refuse to continue a store that another collection began."""
    if found != asked:
        raise DataError(
            f"{path}: this store holds {found}, but {asked} was asked for. "
            "Ask for the same, delete the store or give another path."
        )


def _attempts(
    stack: ExitStack, world: World, expert: str, seed: int, workers: int, first: int
) -> Iterator[Attempt]:
    """Attempts first, first + 1, ... in order, from this process or from workers."""
    orders = (
        (world, expert, integer(seed, "collect world", k), integer(seed, "collect plan", k))
        for k in count(first)
    )
    if workers == 1:
        return (attempt_episode(*order) for order in orders)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    stack.callback(pool.shutdown, cancel_futures=True)
    return _in_order(pool, orders, workers * AHEAD)


def _in_order(
    pool: ProcessPoolExecutor, orders: Iterator[tuple[World, str, int, int]], ahead: int
) -> Iterator[Attempt]:
    """Results in the order of the orders, ``ahead`` of them under way."""
    waiting: deque[Future[Attempt]] = deque()
    for order in orders:
        waiting.append(pool.submit(attempt_episode, *order))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()


def _keep(path: Path, appender: Appender, held: Collection, attempt: Attempt) -> Collection:
    """Store a success, count a failure; either is one commit on disk."""
    if not attempt.failure:
        appender.append(Episode(attempt.observations, attempt.actions, attempt.images))
        return Collection(held.episodes + 1, held.discarded)
    reason = attempt.failure
    discarded = {**held.discarded, reason: held.discarded.get(reason, 0) + 1}
    update_extra(path, discarded=cast(dict[str, JSON], discarded))
    return Collection(held.episodes, discarded)


def _check_fruitful(fruitless: int, held: Collection, expert: str, layout: str) -> None:
    if fruitless >= FRUITLESS:
        raise DataError(
            f"expert '{expert}' failed {fruitless} times in a row in layout '{layout}': {held}. "
            "Check the layout: can a robot pass, and are start and goal connected?"
        )


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=console.quiet)
