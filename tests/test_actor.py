"""An actor: what it answers is what ``plan`` says, alone or side by side, and what it refuses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ambient_policy.actor import Actor
from ambient_policy.errors import DataError, DivergenceError, SettingsError
from ambient_policy.horizons import Horizons
from ambient_policy.interface import Interface
from ambient_policy.policy import Policy
from ambient_policy.seeding import generator
from tests.test_policy import SEEING, SPEC

SPEC3 = replace(SPEC, horizons=Horizons(obs=2, pred=4, act=3))
POLICY = Policy(SPEC3, seed=1).eval()
CAMERAS = Policy(SEEING, seed=1).eval()


def states(steps: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((steps, 3)).astype(np.float32)


def picture(shape: tuple[int, ...], value: int = 7) -> Any:
    return np.full(shape, value, np.uint8)


def noise_of(policy: Policy, seed: int, episode: int, chunk: int) -> Any:
    shape = (policy.noises, policy.horizons.pred, 2)
    stream = generator(seed, "rollout", episode, chunk)
    return stream.standard_normal(shape, dtype=np.float32)[:, None]


def test_actions_are_the_chunks_that_plan_answers() -> None:
    actor, shown = POLICY.actor(seed=3), states(7)
    actions = [actor.act(state) for state in shown]
    for chunk in range(3):
        start = 3 * chunk
        history = np.stack([shown[max(0, start - 1)], shown[start]])[None]
        plan = POLICY.plan({"state": history}, noise_of(POLICY, 3, 0, chunk))[0]
        for k, action in enumerate(actions[start : start + 3]):
            np.testing.assert_array_equal(action, plan[k])
    assert actions[0].shape == (2,) and actions[0].dtype == np.float32


def test_a_reset_begins_the_next_episode() -> None:
    actor, shown = POLICY.actor(), states(4)
    actor.reset()  # nothing was seen: still episode 0
    first = [actor.act(state) for state in shown]
    actor.reset()
    second = [actor.act(state) for state in shown]
    assert not np.array_equal(first, second)
    actor.reset(episodes=0)
    np.testing.assert_array_equal([actor.act(state) for state in shown], first)
    other = POLICY.actor(episodes=1)
    np.testing.assert_array_equal([other.act(state) for state in shown], second)


def test_worlds_side_by_side_are_single_ones() -> None:
    together = POLICY.actor(seed=2, episodes=[4, 9, 1])
    alone = [POLICY.actor(seed=2, episodes=episode) for episode in (4, 9, 1)]
    for _ in range(2):
        shown = np.stack([states(5, seed) for seed in range(3)])
        for step in range(5):
            actions = together.act({"state": shown[:, step]})
            for world, actor in enumerate(alone):
                single = actor.act(shown[world, step])
                np.testing.assert_allclose(actions[world], single, rtol=1e-5, atol=1e-6)
        together.reset([5, 10, 2])
        for actor in alone:
            actor.reset()


def test_worlds_go_on_by_as_many_as_there_are() -> None:
    worlds, other = POLICY.actor(episodes=[0, 1]), POLICY.actor(episodes=[2, 3])
    shown = states(2)
    first = worlds.act(shown)
    worlds.reset()
    np.testing.assert_array_equal(worlds.act(shown), other.act(shown))
    assert not np.array_equal(first, worlds.act(shown))


def test_only_live_worlds_are_looked_at() -> None:
    actor, shown = POLICY.actor(episodes=[0, 1]), states(2)
    shown[1] = np.nan
    actions = actor.act(shown, np.array([True, False]))
    assert np.isfinite(actions[0]).all() and (actions[1] == 0).all()
    with pytest.raises(DataError, match="'x' of world 1 is nan, and a finite number is needed"):
        actor.act(shown)


def test_the_state_by_its_columns_and_pictures_by_their_cameras() -> None:
    state = states(1)[0]
    by_name = dict(zip(("x", "y", "angle"), state.tolist(), strict=True))
    alone = POLICY.actor().act(state)
    for observation in ({"state": state}, by_name, {**by_name, "battery": 0.5}, state.tolist()):
        np.testing.assert_array_equal(POLICY.actor().act(observation), alone)
    views = {"top": picture((20, 24, 3)), "wrist": picture((18, 18, 3))}
    seen = CAMERAS.actor().act({"state": state, **views})
    np.testing.assert_array_equal(CAMERAS.actor().act({**by_name, **views}), seen)
    views["top"][:10] = 200
    assert not np.array_equal(CAMERAS.actor().act({"state": state, **views}), seen)


def test_what_was_shown_may_be_written_over() -> None:
    first, second = CAMERAS.actor(), CAMERAS.actor()
    buffer = {
        "state": states(1)[0],
        "top": picture((20, 24, 3)),
        "wrist": picture((18, 18, 3)),
    }
    for step in range(3):
        buffer["state"][:] = states(3)[step]
        buffer["top"][:] = 40 * step
        first.act(buffer)
        second.act({name: part.copy() for name, part in buffer.items()})
    np.testing.assert_array_equal(first.act(buffer), second.act(buffer))


STATE = {"state": np.zeros(3)}
VIEWS = {"top": picture((20, 24, 3)), "wrist": picture((18, 18, 3))}


@pytest.mark.parametrize(
    ("observation", "text"),
    [
        (np.zeros(4), r"'state' \(x, y, angle\) has shape \(4,\), and \(3,\) is needed"),
        (np.zeros((1, 3)), r"has shape \(1, 3\), and \(3,\) is needed"),
        (np.zeros(3, complex), r"is an array \(3,\) of complex128, and real numbers are needed"),
        (["a", "b", "c"], r"'state' .* is an array \(3,\) of <U1"),
        ([[1, 2], 3, 4], r"'state' .* is no array of numbers"),
        ("abc", r"is an array \(\) of <U3"),
        ({"x": 0.0, "y": 1.0}, r"has no 'angle': it holds x, y. Give 'state' \(3,\), or each"),
        ({"x": 0.0, "y": 1.0, "angel": 1.0}, r"has no 'angle': it holds x, y, angel"),
        ({}, r"has no 'x': it holds nothing"),
        ({"x": 0.0, "y": [1.0], "angle": 0.0}, r"'y' has shape \(1,\), and \(\) is needed"),
        ([0.0, np.inf, 0.0], r"'y' is inf, and a finite number is needed. Stop the robot"),
        ([0.0, 1e300, 0.0], r"'y' is inf, and a finite"),
        ({"x": 0.0, "y": 1.0, "angle": np.nan}, r"'angle' is nan"),
    ],
)
def test_a_state_that_is_none(observation: Any, text: str) -> None:
    actor = POLICY.actor()
    with pytest.raises(DataError, match=text):
        actor.act(observation)
    np.testing.assert_array_equal(actor.act(np.zeros(3)), POLICY.actor().act(np.zeros(3)))


@pytest.mark.parametrize(
    ("observation", "text"),
    [
        (
            np.zeros(3),
            r"is an array \(3,\) of float64, but the policy also looks through top, wrist",
        ),
        ({**STATE, "top": VIEWS["top"]}, r"has no 'wrist': .*known: state, top.*needs state, top"),
        ({**STATE, "wirst": 0, **{"top": VIEWS["top"]}}, r"Did you mean 'wirst'"),
        (
            {**STATE, **VIEWS, "top": picture((24, 20, 3))},
            r"'top' is an array \(24, 20, 3\) of uint8, and a picture \(20, 24, 3\) of uint8",
        ),
        (
            {**STATE, **VIEWS, "wrist": np.zeros((18, 18, 3))},
            r"'wrist' is an array \(18, 18, 3\) of float64, and a picture \(18, 18, 3\) of uint8",
        ),
    ],
)
def test_pictures_that_are_none(observation: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        CAMERAS.actor().act(observation)


class Broken:
    """Plans zeros; in the world that shows 1, something that is not finite at step ``at``."""

    horizons = Horizons(obs=1, pred=4, act=2)
    interface = Interface(("x",), ("speed",))
    noises = 1

    def __init__(self, at: int) -> None:
        self.at = at

    def plan(self, history: Any, noise: Any) -> Any:
        chunks = np.zeros_like(noise[0])
        chunks[history["state"][:, -1, 0] == 1, self.at] = np.nan
        return chunks


def test_a_plan_that_is_not_finite() -> None:
    alone = Actor(Broken(at=1))
    assert alone.act([0.0]) == 0 and alone.act([0.0]) == 0
    with pytest.raises(DivergenceError, match="plan of chunk 1 in episode 0 is not finite. Stop"):
        alone.act([1.0])
    worlds = Actor(Broken(at=1), episodes=[0, 1])
    actions = worlds.act({"x": [0.0, 1.0]})
    assert actions[0] == 0 and np.isnan(actions[1])
    assert Actor(Broken(at=2)).act([1.0]) == 0  # never executed


def test_episodes_are_numbers_of_worlds() -> None:
    for episodes in ([], -1, [0, -2]):
        with pytest.raises(SettingsError, match="give numbers >= 0, one for each"):
            POLICY.actor(episodes=episodes)
    with pytest.raises(SettingsError, match="there are 2"):
        POLICY.actor(episodes=[0, 1]).reset([1, 2, 3])
    actor = POLICY.actor()
    assert actor.plans_next
    actor.act(np.zeros(3))
    assert not actor.plans_next and actor.planning_seconds > 0


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (np.full((2, 2, 3), np.nan), "'x' of world 0 is nan, and a finite number is needed"),
        (np.zeros((2, 2, 4)), r"has shape \(2, 2, 4\), and \(2, 2, 3\) is needed"),
        (np.zeros((2, 1, 3)), r"has shape \(2, 1, 3\), and \(2, 2, 3\) is needed"),
        (np.zeros(3), r"has shape \(3,\), and \(3, 2, 3\) is needed"),
    ],
)
def test_a_plan_for_histories_that_are_none(state: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        POLICY.plan({"state": state}, noise_of(POLICY, 3, 0, 0))
