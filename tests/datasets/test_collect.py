"""Collecting: the same store whoever works, continued where it stopped."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ambient_datasets import collect as collecting
from ambient_datasets.collect import Collection, CollectSettings, Goals, collect
from ambient_datasets.store import open_store
from ambient_envs.experts import Attempt, World
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.jobs import JobSettings, Where
from ambient_policy.settings import TaskSettings

MAZE: dict[str, Any] = {"expert": "rrt", "seed": 5}


def collected(
    path: Path,
    episodes: int,
    *,
    layout: str = "rooms",
    workers: int = 1,
    console: Console | None = None,
    **choices: Any,
) -> Collection:
    """Collect in the maze; quietly, unless there is a console."""
    task = TaskSettings(id="ambient_envs/Maze-v0", kwargs={"layout": layout})
    settings = CollectSettings(
        path=str(path),
        episodes=episodes,
        **{"task": task, "jobs": JobSettings(workers=workers), **choices},
    )
    return collect(settings, console or Console(quiet=True))


def files(store: Path) -> dict[str, bytes]:
    """Every file of a store by its path."""
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in store.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Attempts that take no time: numbers from the seeds, every third fails by the given word."""

    def install(failure: str) -> None:
        def attempt(
            world: World, expert: str, world_seed: int, planner_seed: int, goal_seed: int | None
        ) -> Attempt:
            numbers = np.random.default_rng([world_seed, planner_seed])
            steps = int(numbers.integers(3, 9))
            rows = numbers.normal(size=(steps, 6)).astype(np.float32)
            return Attempt(rows[:, :4], rows[:, 4:], failure if world_seed % 3 == 0 else "")

        monkeypatch.setattr(collecting, "attempt_episode", attempt)

    return install


def test_the_store_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    pytest.importorskip("ompl")
    seen = {**MAZE, "cameras": ["top"], "image_size": 8}
    for workers in (1, 2):
        collected(tmp_path / f"{workers}.zarr", episodes=5, **{**seen, "workers": workers})
    assert files(tmp_path / "1.zarr") == files(tmp_path / "2.zarr")


def test_what_a_collected_store_says_and_holds(tmp_path: Path) -> None:
    pytest.importorskip("ompl")
    held = collected(tmp_path / "store.zarr", episodes=3, **MAZE)
    store = open_store(tmp_path / "store.zarr")
    said = store.attributes
    assert (said.task, said.source, said.control_rate) == ("ambient_envs/Maze-v0", "rrt", 10.0)
    assert said.observation_names == ("agent_x", "agent_y", "goal_x", "goal_y")
    assert said.action_names == ("target_x", "target_y") and set(said.action_units) == {"m"}
    assert said.extra == {
        "planner": "rrt",
        "layout": "rooms",
        "seed": 5,
        "goals": "own",
        "discarded": held.discarded,
    }
    assert len(store) == held.episodes == 3 and store.annotation is None
    for first, end in zip([0, *store.episode_ends[:-1]], store.episode_ends, strict=True):
        rows, commands = store.observations()[first:end], store.actions()[first:end]
        assert (rows[:, 2:] == rows[0, 2:]).all()  # one goal an episode
        assert np.hypot(*(rows[-1, :2] - rows[0, 2:])) < 0.35  # the last step before success
        assert np.hypot(*(commands[0] - rows[0, :2])) < 0.11  # a tenth of a second ahead


def test_wrong_goals_change_the_goals_alone(tmp_path: Path) -> None:
    """Right motions, wrong task: a goal drawn alike, one an episode, and not where it ends."""
    pytest.importorskip("ompl")
    stores = {}
    for goals in Goals:
        collected(tmp_path / goals.value, episodes=4, **MAZE, goals=goals)
        stores[goals] = open_store(tmp_path / goals.value)
    own, another = stores[Goals.own], stores[Goals.another]
    assert np.array_equal(own.actions(), another.actions())
    assert np.array_equal(own.observations()[:, :2], another.observations()[:, :2])
    ends = another.observations()[np.asarray(another.episode_ends) - 1]
    assert (np.hypot(*(ends[:, :2] - ends[:, 2:]).T) > 0.5).any()
    first = np.asarray([0, *another.episode_ends[:-1]])
    assert np.array_equal(another.observations()[first, 2:], ends[:, 2:])
    with pytest.raises(DataError, match="goals"):
        collected(tmp_path / "own", episodes=4, **MAZE, goals=Goals.another)


def test_pictures_are_stored_beside_the_states_they_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ompl")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # for the unpacked frames
    seen = {**MAZE, "cameras": ("top", "tilted"), "image_size": 24}
    collected(tmp_path / "seen.zarr", episodes=2, **seen)
    collected(tmp_path / "blind.zarr", episodes=2, **MAZE)
    store, blind = open_store(tmp_path / "seen.zarr"), open_store(tmp_path / "blind.zarr")
    assert np.array_equal(store.observations(), blind.observations())
    assert np.array_equal(store.actions(), blind.actions()) and not blind.cameras
    assert {name: frames.shape for name, frames in store.cameras.items()} == {
        "top": (24, 24, 3),
        "tilted": (24, 24, 3),
    }
    task = World("ambient_envs/Maze-v0", "rooms", ("top", "tilted"), 24).make()
    task.reset(seed=0)
    rows = np.array([0, 3, len(store.observations()) - 1])
    for row, observed in zip(rows, store.observations()[rows].astype(float), strict=True):
        state = np.zeros(task.state_size)
        state[1:3], state[5:7] = observed[:2], observed[2:]
        for camera, shown in task.set_state(state).items():
            if camera != "state":  # what is stored in single precision is drawn almost alike
                stored = store.cameras[camera].read(np.array([row]))[0]
                assert np.abs(stored.astype(int) - shown).mean() < 0.1


@pytest.mark.slow
def test_a_collection_with_pictures_continues_with_the_same_cameras(tmp_path: Path) -> None:
    pytest.importorskip("ompl")
    seen = {**MAZE, "cameras": ["top"], "image_size": 16}
    for parts in ((1, 2), (2,)):
        for episodes in parts:
            collected(tmp_path / f"{len(parts)}.zarr", episodes=episodes, **seen)
    assert files(tmp_path / "1.zarr") == files(tmp_path / "2.zarr")
    changes: list[dict[str, Any]] = [{"cameras": []}, {"cameras": ["tilted"]}, {"image_size": 17}]
    for change in changes:
        with pytest.raises(DataError, match=r"cameras = {'top': \(16, 16, 3\)}, but .* asked"):
            collected(tmp_path / "1.zarr", episodes=4, **{**seen, **change})


def test_failures_are_discarded_counted_and_told(
    tmp_path: Path, invented: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    invented("wall")
    held = collected(tmp_path / "store.zarr", episodes=20, **MAZE, console=Console(stderr=True))
    store = open_store(tmp_path / "store.zarr")
    assert len(store) == 20 and held.discarded["wall"] > 0
    assert store.attributes.extra["discarded"] == held.discarded
    assert "discarded" in capsys.readouterr().err


def test_a_stopped_collection_continues_as_if_it_had_not(
    tmp_path: Path, invented: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    invented("time")
    whole = collected(tmp_path / "whole.zarr", episodes=20, **MAZE)
    parts = [collected(tmp_path / "parts.zarr", episodes=n, **MAZE) for n in (1, 7, 7, 12)]
    assert [part.episodes for part in parts] == [1, 7, 7, 12]

    attempts = collecting._attempts

    def stopped(*arguments: Any) -> Iterator[Attempt]:
        yield from islice(attempts(*arguments), 4)
        raise KeyboardInterrupt

    monkeypatch.setattr(collecting, "_attempts", stopped)
    with pytest.raises(KeyboardInterrupt):
        collected(tmp_path / "parts.zarr", episodes=20, **MAZE)
    monkeypatch.setattr(collecting, "_attempts", attempts)
    assert 12 < len(open_store(tmp_path / "parts.zarr")) < 20
    assert collected(tmp_path / "parts.zarr", episodes=20, **MAZE) == whole
    assert files(tmp_path / "parts.zarr") == files(tmp_path / "whole.zarr")


@pytest.mark.parametrize(
    ("change", "holds", "asked"),
    [
        ({"seed": 6}, "seed = 5", "seed = 6"),
        ({"layout": "corridors"}, "layout = rooms", "layout = corridors"),
        (
            {"expert": "gcs", "seed": 6},
            "expert = rrt, seed = 5",
            "expert = gcs, seed = 6",
        ),
    ],
)
def test_another_collection_is_not_continued(
    tmp_path: Path,
    invented: Callable[[str], None],
    change: dict[str, Any],
    holds: str,
    asked: str,
) -> None:
    invented("wall")
    path = tmp_path / "store.zarr"
    collected(path, episodes=3, **MAZE)
    before = files(path)
    words = f"store.zarr: this store holds {holds}, but {asked} was asked for. Ask for the same"
    with pytest.raises(DataError, match=words):
        collected(path, episodes=3, **{**MAZE, **change})
    assert files(path) == before


def test_a_summary_names_the_reasons() -> None:
    assert str(Collection(8, {"wall": 1, "time": 1})) == (
        "8 episodes from 10 attempts, 2 discarded (20.0%: 1 time, 1 wall)"
    )
    assert str(Collection(3, {})) == "3 episodes from 3 attempts, 0 discarded (0.0%)"


def test_messages(
    tmp_path: Path, invented: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.zarr"
    for change, text in (
        (
            {"task": TaskSettings(id="ambient_envs/Mase-v0")},
            "unknown task 'ambient_envs/Mase-v0'; known: amb",
        ),
        ({"expert": "gsc"}, "unknown expert 'gsc'; known: gcs, rrt"),
        ({"layout": "room"}, "unknown layout 'room'; known: corridors, rooms"),
        ({"goals": Goals.another, "cameras": ["top"]}, "pictures show the goal that was pursued"),
        ({"episodes": 0}, "episodes = 0 must be at least 1"),
        ({"jobs": JobSettings(Where.slurm)}, "jobs.where = slurm: an attempt takes seconds"),
    ):
        with pytest.raises(SettingsError, match=text):
            collected(path, **{"episodes": 3, **MAZE, **change})
    with pytest.raises(SettingsError, match="unknown camera 'toop'; known: tilted, top"):
        collected(path, episodes=3, **MAZE, cameras=["toop"])
    with pytest.raises(SettingsError, match="image_size = 0 px must be from 1"):
        collected(path, episodes=3, **MAZE, cameras=["top"], image_size=0)
    assert not path.exists()

    invented("wall")
    collected(path, episodes=3, **MAZE)
    with pytest.raises(DataError, match="holds 3 episodes already, more than the 2 asked for"):
        collected(path, episodes=2, **MAZE)

    def never(*_: object) -> Attempt:
        return Attempt(np.empty((0, 4), np.float32), np.empty((0, 2), np.float32), "no plan")

    monkeypatch.setattr(collecting, "attempt_episode", never)
    with pytest.raises(DataError, match=r"'rrt' failed 200 times in a row in layout 'rooms': 0 ep"):
        collected(tmp_path / "other.zarr", episodes=1, **MAZE)
