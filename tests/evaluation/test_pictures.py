"""Worlds with a Dict observation: parts by name, histories of pictures, holding, messages."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict

import ambient_envs
from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.rollout import rollout
from ambient_policy.evaluation.worlds import HoldAfterEnd, check_shapes, make_worlds
from ambient_policy.horizons import Horizons
from ambient_policy.interface import Interface

PARTS = {"state": "pose", "eye": "view"}


class Film(gymnasium.Env[Any, Any]):
    """Shows the number of steps so far, as a number and as a grey picture; ends at its seed."""

    observation_space = Dict(
        {
            "pose": Box(-np.inf, np.inf, (2,), np.float64),
            "view": Box(0, 255, (4, 6, 3), np.uint8),
            "text": Box(0, 255, (4, 6), np.uint8),
        }
    )
    action_space = Box(-5.0, 5.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.start, self.steps = seed or 0, 0
        return self._observe(), {}

    def _observe(self) -> dict[str, Any]:
        grey = np.full((4, 6, 3), 10 * self.start + self.steps, np.uint8)
        pose = np.array([self.start, self.steps if self.start != 9 else np.nan])
        return {"pose": pose, "view": grey, "text": grey[..., 0]}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._observe(), 0.0, self.steps == self.start, False, {}


gymnasium.register("ambient_toys/Film-v0", entry_point=lambda **_: Film())


class Watcher:
    """Keeps the histories it was given; plans to rest."""

    horizons = Horizons(obs=2, pred=4, act=2)
    noises = 1

    def __init__(self, observations: int = 2, **cameras: tuple[int, int, int]) -> None:
        names = tuple(f"number_{i}" for i in range(observations))
        self.interface = Interface(names, ("first", "second"), cameras)
        self.seen: list[dict[str, Any]] = []

    def plan(self, history: Any, noise: Any) -> Any:
        self.seen.append(dict(history))
        return np.zeros_like(noise[0])


def test_a_policy_sees_the_parts_under_its_own_names() -> None:
    policy, worlds = Watcher(eye=(4, 6, 3)), make_worlds("ambient_toys/Film-v0", 2, PARTS)
    assert worlds.single_observation_space == Dict(
        {"state": Film.observation_space["pose"], "eye": Film.observation_space["view"]}
    )
    assert worlds.observation_space.contains(worlds.reset(seed=[3, 5])[0])  # type: ignore[arg-type]
    three, five = rollout(policy, worlds, [3, 5], seed=0, max_steps=9)
    assert [set(history) for history in policy.seen] == [{"state", "eye"}] * 3
    assert {(h["state"].dtype.name, h["eye"].dtype.name) for h in policy.seen} == {
        ("float32", "uint8")
    }
    assert [h["eye"].shape for h in policy.seen] == [(2, 2, 4, 6, 3)] * 2 + [(1, 2, 4, 6, 3)]
    greys = [h["eye"][:, :, 0, 0, 0].tolist() for h in policy.seen]
    assert greys == [[[30, 30], [50, 50]], [[31, 32], [51, 52]], [[53, 54]]]
    assert [h["state"][-1, :, 1].tolist() for h in policy.seen] == [[0, 0], [1, 2], [3, 4]]
    assert three.observations.shape == (4, 2) and five.observations.shape == (6, 2)


def test_a_world_holds_all_of_its_parts() -> None:
    env = HoldAfterEnd(Film())
    env.reset(seed=1)
    last, *_ = env.step(np.zeros(2))
    held, *rest = env.step(np.zeros(2))
    assert rest == [0.0, False, False, {}]
    assert all(np.array_equal(held[name], last[name]) for name in last)
    env.reset(seed=9)  # a pose that is no number is an end too
    env.step(np.zeros(2))
    assert env.step(np.zeros(2))[1:] == (0.0, False, False, {})


def test_the_maze_through_its_camera_is_the_maze() -> None:
    """A policy that ignores the pictures acts alike with and without them."""
    settings = {"cameras": ["top"], "image_size": 24}
    seeing, blind = Watcher(4, top=(24, 24, 3)), Watcher(4)
    parts = {"state": "state", "top": "top"}
    (maze,) = ambient_envs.ALL_TASKS
    worlds = make_worlds(maze, 2, parts, **settings), make_worlds(maze, 2)
    first = rollout(seeing, worlds[0], [1, 2, 3], seed=0, max_steps=6)
    second = rollout(blind, worlds[1], [1, 2, 3], seed=0, max_steps=6)
    for a, b in zip(first, second, strict=True):
        assert a.states is not None and b.states is not None
        assert np.array_equal(a.states, b.states)
        assert np.array_equal(a.observations, b.observations) and a.failure == b.failure
    assert seeing.seen[0]["top"].shape == (2, 2, 24, 24, 3) and seeing.seen[0]["top"].std() > 10
    for together in worlds:
        together.close()


def test_push_t_through_its_camera() -> None:
    pytest.importorskip("gym_pusht")
    parts = {"state": "agent_pos", "pixels": "pixels"}
    policy = Watcher(pixels=(96, 96, 3))
    worlds = make_worlds("gym_pusht/PushT-v0", 2, parts, obs_type="pixels_agent_pos")
    episodes = rollout(policy, worlds, [0, 1], seed=0, max_steps=3)
    assert all(episode.observations.shape == (4, 2) for episode in episodes)
    assert policy.seen[0]["pixels"].shape == (2, 2, 96, 96, 3)
    assert policy.seen[0]["pixels"].dtype == np.uint8 and policy.seen[0]["pixels"].std() > 10


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"state": "state"}, "unknown part .*'ambient_toys/Film-v0'.*known: pose, text, view.*obs"),
        ({"state": "view"}, "the part 'view' of environment .* one-dimensional Box"),
        ({"state": "pose", "eye": "pose"}, "the part 'pose' of .*, but a picture, a Box"),
        ({"state": "pose", "eye": "text"}, "the part 'text' of .*, but a picture, a Box"),
        ({"state": "pose", "eye": "veiw"}, "Did you mean 'view'.*task.observation.eye="),
    ],
)
def test_parts_that_are_not_there(parts: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        make_worlds("ambient_toys/Film-v0", 1, parts)


def test_a_camera_of_a_world_that_shows_none() -> None:
    (maze,) = ambient_envs.ALL_TASKS
    with pytest.raises(SettingsError, match=r"shows no 'top', only a state.*kwargs.cameras=\[top"):
        make_worlds(maze, 1, {"state": "state", "top": "top"})


def test_shapes_that_were_not_learned() -> None:
    worlds = make_worlds("ambient_toys/Film-v0", 1, PARTS)
    check_shapes(worlds, {"state": (2,), "eye": (4, 6, 3)})
    with pytest.raises(
        SettingsError, match=r"shows 'eye' in shape \(4, 6, 3\), but .* \(6, 4, 3\)"
    ):
        check_shapes(worlds, {"state": (2,), "eye": (6, 4, 3)})
    (maze,) = ambient_envs.ALL_TASKS
    with pytest.raises(SettingsError, match=r"'ambient_envs/Maze-v0' shows 'state' .* have \(5,\)"):
        check_shapes(make_worlds(maze, 1), {"state": (5,)})
