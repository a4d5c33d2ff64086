"""Laws that hold for every registered task, whatever it is about."""

import re
import warnings
from typing import Any, cast

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import ambient_envs
from ambient_envs.batched import BatchedTask
from ambient_envs.experts import EXPERTS, run_episode
from ambient_envs.maze import MazeTask
from ambient_envs.task import MujocoTask

every_task = pytest.mark.parametrize("task_id", ambient_envs.ALL_TASKS)


def make_task(task_id: str, **settings: Any) -> MujocoTask:
    return cast(MujocoTask, gymnasium.make(task_id, **settings).unwrapped)


def standing_still(task: MujocoTask, observation: Any) -> Any:
    """The action that targets where the robot is: target_<d> = agent_<d>."""
    names = [name.replace("target", "agent") for name in task.action_names]
    return observation[[task.observation_names.index(name) for name in names]]


def test_the_maze_is_registered() -> None:
    assert "ambient_envs/Maze-v0" in ambient_envs.ALL_TASKS


@every_task
def test_gymnasium_accepts_it(task_id: str) -> None:
    task = make_task(task_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about normalised spaces; ours have units
        check_env(task, skip_render_check=True)
    assert task.metadata["render_fps"] == round(1 / task.dt)


@every_task
def test_every_dimension_has_a_name_and_a_unit(task_id: str) -> None:
    task = make_task(task_id)
    for names, units, space in (
        (task.observation_names, task.observation_units, task.state_space),
        (task.action_names, task.action_units, task.action_space),
    ):
        assert len(set(names)) == len(names) == len(units) == space.shape[0]


@every_task
def test_every_element_of_the_model_has_a_name(task_id: str) -> None:
    model = make_task(task_id).model
    kinds = {"BODY": "nbody", "GEOM": "ngeom", "SITE": "nsite", "JOINT": "njnt"}
    kinds |= {"ACTUATOR": "nu", "CAMERA": "ncam", "SENSOR": "nsensor"}
    for kind, count in kinds.items():
        code = getattr(mujoco.mjtObj, f"mjOBJ_{kind}")
        names = [mujoco.mj_id2name(model, code, i) for i in range(getattr(model, count))]
        assert all(names), f"{task_id}: {kind} without a name in {names}"
        assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)


@every_task
def test_equal_seeds_give_equal_worlds(task_id: str) -> None:
    first, second, other = (make_task(task_id) for _ in range(3))
    seen = [task.reset(seed=seed)[0] for task, seed in ((first, 3), (second, 3), (other, 4))]
    assert np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[0], seen[2])
    for k in range(20):
        action = standing_still(first, seen[0]) + np.float32(0.01 * k)
        (a, *rest_a, info_a), (b, *rest_b, info_b) = first.step(action), second.step(action)
        assert np.array_equal(a, b) and rest_a == rest_b
        assert np.array_equal(info_a["state"], info_b["state"])
        assert np.isfinite(a).all()


@every_task
def test_doing_nothing_fails_at_the_time_limit(task_id: str) -> None:
    task = make_task(task_id)
    observation, _ = task.reset(seed=0)
    still = standing_still(task, observation)
    for step in range(1, task.step_limit + 1):
        _, reward, terminated, truncated, info = task.step(still)
        assert (reward, terminated) == (0.0, False) and not info["is_success"]
        assert truncated == (step == task.step_limit)
    assert info["failure"] == "time"
    assert task.data.time == pytest.approx(task.time_limit)


@every_task
def test_a_stored_state_continues_bit_for_bit(task_id: str) -> None:
    task, copy = make_task(task_id), make_task(task_id)
    observation, _ = task.reset(seed=1)
    move = standing_still(task, observation) + np.float32(0.05)
    info = [task.step(move)[-1] for _ in range(3)][-1]
    copy.reset(seed=2)
    copy.set_state(info["state"])
    for _ in range(3):
        ahead, behind = task.step(move), copy.step(move)
        assert np.array_equal(ahead[-1]["state"], behind[-1]["state"])


@every_task
@pytest.mark.parametrize("expert", sorted(EXPERTS))
def test_the_expert_succeeds(task_id: str, expert: str) -> None:
    pytest.importorskip({"gcs": "pydrake", "rrt": "ompl"}[expert])
    task = cast(MazeTask, make_task(task_id))
    attempts = [run_episode(task, EXPERTS[expert], seed, seed) for seed in range(4)]
    assert [attempt.failure for attempt in attempts] == [""] * 4
    for attempt in attempts:
        assert attempt.observations.shape[1:] == task.state_space.shape
        assert attempt.actions.shape[1:] == task.action_space.shape
        assert len(attempt.observations) == len(attempt.actions) < task.step_limit
        assert all(task.action_space.contains(action) for action in attempt.actions)


@every_task
@pytest.mark.parametrize("cameras", [(), ("top",)])
def test_worlds_that_have_all_ended_hold_still(task_id: str, cameras: tuple[str, ...]) -> None:
    worlds = gymnasium.make_vec(
        task_id, num_envs=2, vectorization_mode="vector_entry_point", cameras=cameras
    )
    assert isinstance(worlds, BatchedTask)
    with pytest.raises(ResetNeeded, match="call reset"):
        worlds.step(np.zeros((2, 2), np.float32))
    worlds.reset(seed=0)
    targets = np.tile(worlds.task.action_space.low, (2, 1))  # through every wall
    for _ in range(worlds.task.step_limit):
        last, *_, infos = worlds.step(targets)
        if not worlds._live.any():
            break
    again, rewards, *ends, after = worlds.step(targets)
    parts = zip(last.values(), again.values(), strict=True) if cameras else [(last, again)]
    assert all(np.array_equal(before, now) for before, now in parts)
    assert not rewards.any() and not np.any(ends)
    assert np.array_equal(infos["state"], after["state"])
    assert list(infos["failure"]) == list(after["failure"])
    worlds.close()


@every_task
def test_batched_equals_single_bit_for_bit(task_id: str) -> None:
    """Worlds that end at different times, as successes and as failures, and some that go on."""
    seeds = [11, 5, 8, 2, 3, 20, 1, 6]
    worlds = gymnasium.make_vec(
        task_id, num_envs=len(seeds), vectorization_mode="vector_entry_point", threads=2
    )
    assert isinstance(worlds, BatchedTask)
    singles = [make_task(task_id) for _ in seeds]
    starts = [task.reset(seed=seed) for task, seed in zip(singles, seeds, strict=True)]
    seen, infos = worlds.reset(seed=seeds)
    assert np.array_equal(seen, [observation for observation, _ in starts])
    assert np.array_equal(infos["state"], [info["state"] for _, info in starts])
    assert np.array_equal(infos["goal"], [info["goal"] for _, info in starts])

    running = [True] * len(seeds)
    ended_at = {}
    for step in range(40):
        ahead = seen[:, 2:4] - seen[:, :2]  # straight to the goal, and through what is between
        ahead *= 0.12 / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 0.12)
        ahead[0] = 0.0  # one stands still
        last, (seen, rewards, ends, late, infos) = seen, worlds.step(seen[:, :2] + ahead)
        for i, task in enumerate(singles):
            if not running[i]:
                assert np.array_equal(seen[i], last[i])
                assert (rewards[i], ends[i], late[i]) == (0.0, False, False)
                continue
            observation, reward, terminated, truncated, info = task.step(last[i, :2] + ahead[i])
            assert np.array_equal(observation, seen[i])
            assert (reward, terminated, truncated) == (rewards[i], ends[i], late[i])
            assert np.array_equal(info["state"], infos["state"][i])
            assert info["is_success"] == infos["is_success"][i]
            assert info["failure"] == infos["failure"][i]
            if terminated:
                running[i], ended_at[i] = False, step
    worlds.close()
    assert running[0] and len(set(ended_at.values())) > 1
    assert infos["is_success"].any() and (infos["failure"] != "").any()
