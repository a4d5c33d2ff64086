"""What demonstrations say otherwise than their world: its rate, its spaces, its goal."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from ambient_datasets.source import Source
from ambient_datasets.store import Attributes, Episode
from ambient_policy.errors import SettingsError
from ambient_policy.settings import TaskSettings
from ambient_policy.workflows.fit import remarks_on_world, stated_rate
from ambient_policy.workflows.world import worlds_of
from tests.datasets.mixtures import make_source
from tests.datasets.stores import write_store

WORLD = "ambient_toys/Board-v0"
TASK = TaskSettings(id=WORLD)


class Board(gymnasium.Env[Any, Any]):
    """A block of two coordinates and an angle on a board; its goal is (5, 5)."""

    observation_space = Box(np.zeros(3), np.array([10.0, 10.0, 2 * np.pi]), dtype=np.float64)
    action_space = Box(0.0, 10.0, (1,), np.float32)

    def __init__(self, hz: float | None = 10, fps: float = 10, broken: bool = False) -> None:
        assert not broken, "no screen"
        self.metadata = {"render_fps": fps}
        if hz is not None:
            self.control_hz = hz

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        pose = np.array([3.0, 4.0, 1.0])
        return pose, {"block_pose": pose - [0, 0, 2 * np.pi], "goal_pose": np.array([5, 5, 0.8])}


gymnasium.register(WORLD, entry_point=lambda **kwargs: Board(**kwargs))


def walks(
    path: Path, *, rate: float = 10.0, end: float = 5.0, angle: float = 1.0, action: float = 1.0
) -> Source:
    """Three episodes of a block that goes from (1, 1) to (end, end)."""
    names, units = ("block_x", "block_y", "block_angle"), ("m", "m", "rad")
    attributes = Attributes(WORLD, "test", rate, names, units, ("push",), ("m",))
    way = np.linspace(1, end, 20)
    seen = np.stack([way, way, np.linspace(0, angle, 20)], axis=1).astype(np.float32)
    episode = Episode(seen, np.full((20, 1), action, np.float32))
    return make_source("one", write_store(path / "a.zarr", attributes, [episode] * 3))


def remarks(source: Source, **kwargs: Any) -> list[str]:
    return list(remarks_on_world(WORLD, TaskSettings(id=WORLD, kwargs=kwargs), source))


def test_demonstrations_that_fit_need_no_word(tmp_path: Path) -> None:
    assert not remarks(walks(tmp_path))


def test_another_rate_than_the_world_states_is_refused(tmp_path: Path) -> None:
    source = walks(tmp_path, rate=5.0)
    text = r"is 5 Hz, but .*Board-v0 runs at 10 Hz: .* 2 times as fast .* recipe.resample.rate=10 "
    with pytest.raises(SettingsError, match=text):
        remarks(source)
    spec: Any = SimpleNamespace(
        task=WORLD, task_kwargs={}, own_observations=("x", "y", "a"), cameras={}, control_rate=5.0
    )
    with pytest.raises(SettingsError, match=text):
        worlds_of(spec, TASK, 2)
    spec.control_rate = 10.0
    worlds_of(spec, TASK, 2).close()


def test_a_rate_that_only_pictures_have_is_told(tmp_path: Path) -> None:
    source = walks(tmp_path, rate=5.0)
    (told,) = remarks(source, hz=None)
    assert "is 5 Hz, and" in told and "shows 10 pictures a second" in told
    assert not remarks(source, hz=None, fps=5)


def test_worlds_state_their_rate_in_several_ways() -> None:
    pendulum = gymnasium.make("Pendulum-v1")  # dt of an integrator says nothing of control
    assert stated_rate(pendulum) is None
    mujoco: Any = SimpleNamespace(unwrapped=SimpleNamespace(frame_skip=5, dt=0.05))
    robosuite: Any = SimpleNamespace(unwrapped=SimpleNamespace(control_freq=20))
    assert [stated_rate(world) for world in (mujoco, robosuite)] == [20, 20]


def test_numbers_outside_of_the_worlds_spaces_are_told(tmp_path: Path) -> None:
    seen, acted = remarks(walks(tmp_path, angle=-18.8, action=12))
    assert "block_angle (-18.8 to 0, not 0 to 6.283)" in seen and "wrap_from" in seen
    assert "block_x" not in seen
    assert "actions outside of what ambient_toys/Board-v0 takes: push (12 to 12" in acted


def test_another_goal_than_the_worlds_is_told(tmp_path: Path) -> None:
    (told,) = remarks(walks(tmp_path, end=9.0))
    assert "end with block_x, block_y at (9, 9) (median), and the goal of" in told
    assert "is (5, 5)" in told and "task.id" in told


def test_a_world_that_is_not_here_is_no_fault(tmp_path: Path) -> None:
    source = walks(tmp_path)
    (told,) = remarks(source, broken=True)
    assert "cannot be made here (AssertionError: no screen)" in told
    assert not list(remarks_on_world("no_such/World-v0", TaskSettings(), source))
