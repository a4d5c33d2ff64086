"""Worlds with cameras: what they show, in one world and in many, and what is refused."""

import warnings
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

import ambient_envs
from ambient_envs.batched import BatchedTask
from ambient_envs.experts import Attempt, Expert, World, run_episode
from ambient_envs.experts.attempt import task_in
from ambient_envs.maze import MazeTask
from ambient_envs.task import MujocoTask
from ambient_policy.errors import SettingsError

SIZE = 32
every_task = pytest.mark.parametrize("task_id", ambient_envs.ALL_TASKS)


def make_task(task_id: str) -> MujocoTask:
    """The task seen by all of its cameras."""
    plain = cast(MujocoTask, gymnasium.make(task_id).unwrapped)
    settings: dict[str, Any] = {"cameras": plain.eyes.cameras, "image_size": SIZE}
    return cast(MujocoTask, gymnasium.make(task_id, **settings).unwrapped)


def same(first: dict[str, NDArray[Any]], second: dict[str, NDArray[Any]]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


@every_task
def test_gymnasium_accepts_it_with_cameras(task_id: str) -> None:
    task = make_task(task_id)
    assert isinstance(task.observation_space, Dict)
    assert set(task.observation_space) == {"state", *task.cameras}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about normalised spaces; ours have units
        check_env(task, skip_render_check=True)


@every_task
def test_pictures_are_a_function_of_the_state_and_cost_it_nothing(task_id: str) -> None:
    task, copy, plain = make_task(task_id), make_task(task_id), gymnasium.make(task_id)
    seen, info = task.reset(seed=3)
    alone, _ = plain.reset(seed=3)
    for k in range(4):
        assert np.array_equal(seen["state"], alone)
        assert same(copy.set_state(info["state"]), seen)
        for camera in task.cameras:
            assert seen[camera].shape == (SIZE, SIZE, 3) and seen[camera].std() > 10
        action = task.action_space.low + np.float32(0.3 * k)
        before, (seen, *_, info) = seen, task.step(action)
        assert not any(np.array_equal(before[camera], seen[camera]) for camera in task.cameras)
        alone = plain.step(action)[0]


def test_the_picture_shows_the_robot_where_it_is() -> None:
    """The top camera hangs at (2.5, 2.5, 12.6) m with 24 degrees from side to side."""
    size = 128
    task = MazeTask(cameras=["top"], image_size=size)
    task.reset(seed=0)
    half = (12.6 - 0.1) * np.tan(np.radians(12))  # of the width seen at the robot's height [m]
    for x, y in ((0.5, 0.5), (1.5, 3.5), (4.5, 2.5)):
        state = np.zeros(task.state_size)
        state[1:3], state[5:7] = (x, y), (3.5, 4.5)
        picture = task.set_state(state)["top"].astype(int)
        blue = picture[..., 2] - picture[..., 0] > 60
        row, column = np.argwhere(blue).mean(axis=0)
        assert column == pytest.approx(size / 2 * (1 + (x - 2.5) / half) - 0.5, abs=1)
        assert row == pytest.approx(size / 2 * (1 - (y - 2.5) / half) - 0.5, abs=1)


@every_task
def test_batched_worlds_show_what_single_ones_show(
    task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = [2, 5, 9]
    singles, task = [make_task(task_id) for _ in seeds], make_task(task_id)
    worlds = BatchedTask(task, len(seeds), threads=2)
    drawn: list[int] = []
    pictures = task._pictures

    def count(states: Any, camera: str) -> Any:
        drawn.append(len(states))
        return pictures(states, camera)

    monkeypatch.setattr(task, "_pictures", count)
    expected = [single.reset(seed=seed)[0] for single, seed in zip(singles, seeds, strict=True)]
    seen, _ = worlds.reset(seed=seeds)
    assert worlds.observation_space.contains(seen)
    running = [True] * len(seeds)
    for _ in range(40):
        for i, one in enumerate(expected):
            assert same({name: rows[i] for name, rows in seen.items()}, one)
        ahead = seen["state"][:, 2:4] - seen["state"][:, :2]  # through whatever is between
        ahead *= 0.12 / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 0.12)
        ahead[0] = 0.0  # one stands still
        actions = seen["state"][:, :2] + ahead
        drawn.clear()
        last, (seen, *_) = seen, worlds.step(actions)
        assert drawn == [sum(running)] * len(task.cameras)
        assert not np.shares_memory(last["top"], seen["top"])
        for i in np.flatnonzero(running).tolist():
            expected[i], _, terminated, truncated, _ = singles[i].step(actions[i])
            running[i] = not (terminated or truncated)
    worlds.close()
    assert running == [True, False, False]


def test_an_expert_is_recorded_from_its_cameras() -> None:
    def attempt(task: MazeTask) -> Attempt:
        return run_episode(task, _Straight(lambda *_: None), 7, 0)

    with_cameras, without = (
        World("ambient_envs/Maze-v0", "rooms", ("top",), SIZE),
        World("ambient_envs/Maze-v0", "rooms"),
    )
    seen, blind = attempt(with_cameras.make()), attempt(without.make())
    assert np.array_equal(seen.observations, blind.observations)
    assert np.array_equal(seen.actions, blind.actions) and seen.failure == blind.failure
    assert blind.images == {} and list(seen.images) == ["top"]
    frames = seen.images["top"]
    assert frames.shape == (len(seen.actions), SIZE, SIZE, 3) and frames.dtype == np.uint8
    task = with_cameras.make()
    assert np.array_equal(frames[0], task.reset(seed=7)[0]["top"])
    assert np.array_equal(frames[1], task.step(seen.actions[0])[0]["top"])
    assert task_in(with_cameras) is task_in(with_cameras) and task_in(without).cameras == ()


class _Straight(Expert):
    """Heads for the goal whatever is between."""

    def actions(self, task: MazeTask, observation: Any, seed: int) -> Any:
        start, goal = observation[:2], observation[2:]
        way = (goal - start) / np.linalg.norm(goal - start)
        return (np.float32(start + 0.1 * (k + 1) * way) for k in range(300))


def test_without_cameras_only_the_state_is_seen() -> None:
    task = MazeTask()
    assert isinstance(task.observation_space, Box) and task.observation_space == task.state_space
    assert task.observation_space.contains(task.reset(seed=0)[0])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"cameras": ["toop"]}, "unknown camera 'toop'; known: tilted, top. Did you mean 'top'"),
        ({"cameras": "top"}, r"cameras = 'top': give a list of different names"),
        ({"cameras": ["top", "top"]}, r"cameras = \['top', 'top'\]: give a list of different"),
        ({"cameras": ["state"]}, "different names other than 'state'"),
        ({"cameras": ["top"], "image_size": 0}, "image_size = 0 px must be from 1 to 1280"),
        ({"cameras": ["top"], "image_size": 1281}, "image_size = 1281 px must be from 1 to 1280"),
    ],
)
def test_messages(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        MazeTask(**settings)
