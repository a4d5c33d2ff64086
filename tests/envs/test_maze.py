"""The maze's own laws: the robot's motion, contact, success, pictures."""

import mujoco
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from ambient_envs.batched import BatchedTask
from ambient_envs.layouts import ARENA, LAYOUTS
from ambient_envs.maze import GOAL_RADIUS, RADIUS, START_DISTANCE, MazeTask
from ambient_policy.errors import DataError, SettingsError


def world_at(task: MazeTask, agent: tuple[float, float], goal: tuple[float, float]) -> None:
    """Put the robot at rest and the goal where the test wants them [m]."""
    task.reset(seed=0)
    state = np.zeros(task.state_size)
    state[1:3], state[5:7] = agent, goal
    task.set_state(state)


def target(x: float, y: float) -> NDArray[np.float32]:
    return np.array([x, y], dtype=np.float32)


def test_a_step_of_the_target_is_followed_as_a_critically_damped_spring_would() -> None:
    """x(t) = 1 - (1 + w t) exp(-w t) of the way, w = 20 rad/s: no overshoot."""
    task = MazeTask()
    world_at(task, (0.5, 0.5), (4.5, 4.5))
    for k in range(1, 11):
        observation, *_ = task.step(target(0.5, 0.7))
        wt = 20.0 * k * task.dt
        assert observation[1] == pytest.approx(0.7 - 0.2 * (1 + wt) * np.exp(-wt), abs=0.01)
        assert observation[1] <= 0.7 + 1e-5
        assert observation[0] == pytest.approx(0.5, abs=1e-6)


def test_a_target_moving_at_one_metre_a_second_is_followed_with_small_lag() -> None:
    task = MazeTask()
    world_at(task, (0.5, 0.3), (4.5, 4.5))
    for k in range(1, 21):
        observation, *_ = task.step(target(0.5, 0.3 + 0.1 * k))
    assert 0.0 < 0.3 + 0.1 * 20 - observation[1] < 0.1


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_starts_and_goals_are_apart_and_clear_of_walls(layout: str) -> None:
    task = MazeTask(layout)
    for seed in range(30):
        observation, info = task.reset(seed=seed)
        assert np.hypot(*(observation[2:] - observation[:2])) >= START_DISTANCE - 1e-6
        assert np.array_equal(info["goal"].astype(np.float32), observation[2:])
        for place in (observation[:2], observation[2:]):
            world_at(task, tuple(place), (0.0, 0.0))
            assert task.step(place)[-1]["failure"] == ""


@pytest.mark.parametrize(("gap", "failure"), [(-0.004, "wall"), (0.004, "")])
def test_touching_is_what_contact_says(gap: float, failure: str) -> None:
    """The outer wall's face lies at x = 0; the floor never counts as touched."""
    task = MazeTask()
    world_at(task, (RADIUS + gap, 0.5), (4.5, 4.5))
    _, _, terminated, truncated, info = task.step(target(RADIUS + gap, 0.5))
    assert info["failure"] == failure and terminated == (failure == "wall") and not truncated


def test_driving_into_a_wall_ends_the_episode() -> None:
    task = MazeTask()
    world_at(task, (0.5, 0.5), (4.5, 4.5))
    for k in range(1, 20):
        observation, reward, terminated, _, info = task.step(target(0.5 - 0.05 * k, 0.5))
        if terminated:
            break
    assert (info["failure"], reward, info["is_success"]) == ("wall", 0.0, False)
    assert observation[0] == pytest.approx(RADIUS, abs=0.03)
    with pytest.raises(ResetNeeded, match="call reset"):
        task.step(target(0.5, 0.5))


def test_a_touch_between_control_steps_counts() -> None:
    """The robot hits the wall and is pushed back before the control step is over."""
    task = MazeTask()
    world_at(task, (RADIUS + 0.005, 0.5), (4.5, 4.5))
    state = task.step(target(RADIUS + 0.005, 0.5))[-1]["state"]
    state[3] = -5.0  # towards the wall [m/s], while the target is away from it
    task.set_state(state)
    observation, *_, info = task.step(target(0.5, 0.5))
    assert observation[0] > RADIUS + 0.05 and info["failure"] == "wall"


@pytest.mark.parametrize(("distance", "success"), [(0.14, True), (0.16, False)])
def test_success_is_nearness_to_the_goal(distance: float, success: bool) -> None:
    task = MazeTask()
    world_at(task, (0.5, 0.5), (0.5, 0.5 + distance))
    _, reward, terminated, _, info = task.step(target(0.5, 0.5))
    assert (reward, terminated, info["is_success"]) == (float(success), success, success)
    assert distance < GOAL_RADIUS or info["failure"] == ""


def test_actions_outside_the_arena_are_clipped() -> None:
    inside, outside = MazeTask(), MazeTask()
    for task in (inside, outside):
        world_at(task, (0.5, 0.5), (4.5, 4.5))
    a = inside.step(target(0.6, ARENA))[-1]["state"]
    b = outside.step(target(0.6, 99.0))[-1]["state"]
    assert np.array_equal(a, b)


@pytest.mark.filterwarnings("ignore")
def test_a_diverged_world_fails_and_keeps_its_last_state(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))  # MuJoCo writes MUJOCO_LOG.TXT where it stands
    task, worlds = MazeTask(), BatchedTask(MazeTask(), 3, threads=2)
    seen, _ = worlds.reset(seed=[0, 1, 2])
    worlds._states[1, 3] = 1e13  # no public way leads to such a speed [m/s]
    state = worlds._states[1].copy()
    task.reset(seed=0)
    task.set_state(state)
    alone = task.step(seen[1, :2])
    seen, _, ended, late, infos = worlds.step(seen[:, :2])
    assert alone[2] and alone[-1]["failure"] == "diverged"
    assert infos["failure"].tolist() == ["", "diverged", ""]
    assert ended.tolist() == [False, True, False] and not late.any()
    assert np.array_equal(alone[-1]["state"], state)
    assert np.array_equal(infos["state"][1], state) and np.array_equal(seen[1], alone[0])


def test_batched_worlds_can_be_reset_one_by_one() -> None:
    worlds = BatchedTask(MazeTask(), 3, threads=1)
    before, _ = worlds.reset(seed=7)
    alone, _ = MazeTask().reset(seed=8)
    assert np.array_equal(before[1], alone)
    after, _ = worlds.reset(seed=[1, 2, 3], options={"reset_mask": np.array([True, False, False])})
    assert not np.array_equal(before[0], after[0]) and np.array_equal(before[1:], after[1:])
    again, _ = worlds.reset()
    assert not np.array_equal(again[1], after[1])


def test_batched_worlds_reach_the_time_limit_together() -> None:
    worlds = BatchedTask(MazeTask(), 2, threads=1)
    seen, _ = worlds.reset(seed=[0, 1])
    for _ in range(worlds.task.step_limit):
        seen, _, ended, late, infos = worlds.step(seen[:, :2])
    assert late.all() and not ended.any() and infos["failure"].tolist() == ["time", "time"]


def test_pictures_show_stored_states_and_leave_the_world_alone() -> None:
    task = MazeTask(render_mode="rgb_array")
    _, info = task.reset(seed=1)
    now = task.render()
    for _ in range(5):
        observation, *_ = task.step(target(*task.data.qpos + 0.05))
    assert now.shape == (480, 480, 3) and now.dtype == np.uint8 and now.std() > 10
    assert np.array_equal(task.render(state=info["state"]), now)
    assert not np.array_equal(task.render(), now)
    assert not np.array_equal(task.render(camera="tilted"), task.render(camera="top"))
    assert np.array_equal(observation[:2], task.data.qpos.astype(np.float32))
    with pytest.raises(SettingsError, match="unknown camera 'toop'; known: tilted, top"):
        task.render(camera="toop")
    worlds = BatchedTask(task, 2)
    worlds.reset(seed=[1, 2])
    pictures = worlds.render()
    assert pictures is not None and np.array_equal(pictures[0], now)
    worlds.close()
    assert BatchedTask(MazeTask(), 1).render() is None


def test_where_nothing_can_be_drawn_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise mujoco.FatalError("no context")

    monkeypatch.setattr(mujoco, "Renderer", fail)
    task = MazeTask()
    task.reset(seed=0)
    with pytest.raises(SettingsError, match=r"cannot draw here \(no context\).*MUJOCO_GL=egl"):
        task.render()


def test_messages() -> None:
    with pytest.raises(SettingsError, match="unknown layout 'room'; known: corridors, rooms. Did"):
        MazeTask("room")
    with pytest.raises(SettingsError, match="num_envs = 0 must be at least 1"):
        BatchedTask(MazeTask(), 0)
    worlds = BatchedTask(MazeTask(), 2)
    with pytest.raises(SettingsError, match="3 seeds for 2 worlds; give one seed"):
        worlds.reset(seed=[1, 2, 3])
    worlds.reset(seed=[1, 2])
    with pytest.raises(DataError, match=r"action of world \[1\] is not finite"):
        worlds.step(np.array([[1.0, 1.0], [np.nan, 1.0]], dtype=np.float32))
