"""Rollouts: hold after end, history and chunk timing, independence, groups, reasons, messages."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import SyncVectorEnv

from ambient_policy import seeding
from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.rollout import rollout
from ambient_policy.evaluation.trajectory import Trajectory
from ambient_policy.evaluation.worlds import HoldAfterEnd, make_worlds
from ambient_policy.horizons import Horizons
from ambient_policy.interface import Interface

HORIZONS = Horizons(obs=2, pred=6, act=3)
LONG = 1000


class Counter(gymnasium.Env[Any, Any]):
    """Observes (seed, steps so far, last action); ends as its seed says."""

    observation_space = Box(-np.inf, np.inf, (3,), np.float64)
    action_space = Box(-5.0, 5.0, (2,), np.float32)
    calls = 0

    def __init__(self, lengths: dict[int, int] | None = None, ending: str = "success") -> None:
        self.lengths, self.ending = lengths or {}, ending

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.start, self.steps = float(seed or 0), 0
        return np.array([self.start, 0.0, 0.0]), self._info()

    def _info(self) -> dict[str, Any]:
        state = np.array([self.start, self.steps], np.float64)
        return {
            "state": state,
            "goal": np.array([self.start, 1.0]),
            "coverage": -abs(2.0 - self.steps),
        }

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Counter.calls += 1
        self.steps += 1
        over = self.steps >= self.lengths.get(int(self.start), LONG)
        observation = np.array([self.start, self.steps, action[0]], np.float64)
        if over and self.ending == "nan":
            observation[1] = np.nan
        info = self._info() | {"is_success": over and self.ending == "success"}
        info["failure"] = "wall" if over and self.ending == "wall" else ""
        terminated = over and self.ending in ("success", "wall", "silent")
        return observation, float(self.steps), terminated, over and self.ending == "time", info


gymnasium.register("ambient_toys/Counter-v0", entry_point=lambda **kwargs: Counter(**kwargs))


class Scripted:
    """Plans a_j = (step observed last / 100 + j, noise); keeps what it was given."""

    horizons = HORIZONS
    interface = Interface(("start", "steps", "last"), ("first", "second"))
    noises = 2

    def __init__(self) -> None:
        self.seen: list[tuple[Any, Any]] = []

    def plan(self, history: Any, noise: Any) -> Any:
        history = history["state"]
        assert history.dtype == noise.dtype == np.float32
        assert noise.shape == (2, len(history), HORIZONS.pred, 2)
        self.seen.append((history, noise))
        plan = noise.mean(axis=0)
        plan[..., 0] = history[:, -1, 1, None] / 100 + np.arange(HORIZONS.pred)
        return plan


def run(seeds: list[int], worlds: int, max_steps: int = 20, **kwargs: Any) -> list[Trajectory]:
    envs = make_worlds("ambient_toys/Counter-v0", worlds, **kwargs)
    return rollout(Scripted(), envs, seeds, seed=0, max_steps=max_steps)


def same(a: Trajectory, b: Trajectory) -> None:
    assert (a.seed, a.success, a.failure, a.final) == (b.seed, b.success, b.failure, b.final)
    for part in ("observations", "actions", "states", "goal", "rewards"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


def test_hold_after_end_touches_nothing() -> None:
    env = HoldAfterEnd(Counter({7: 2}))
    env.reset(seed=7)
    env.step(np.ones(2))
    last, _, terminated, _, _ = env.step(np.ones(2))
    before = Counter.calls
    observation, *rest = env.step(np.zeros(2))
    assert terminated and Counter.calls == before and rest == [0.0, False, False, {}]
    np.testing.assert_array_equal(observation, last)
    assert env.reset(seed=7)[0][1] == 0 and env.step(np.ones(2))[0][1] == 1


def test_batched_worlds_hold_after_their_end() -> None:
    worlds = make_worlds("ambient_toys/Counter-v0", 2, lengths={1: 1, 2: 3})
    worlds.reset(seed=[1, 2])  # type: ignore[arg-type]
    ends = [worlds.step(np.zeros((2, 2), np.float32)) for _ in range(3)]
    assert [list(step[2]) for step in ends] == [[True, False], [False, False], [False, True]]
    assert [step[0][0, 1] for step in ends] == [1, 1, 1] and ends[2][1][0] == 0


def test_each_plan_sees_the_last_two_observations_and_runs_three_actions() -> None:
    policy = Scripted()
    worlds = make_worlds("ambient_toys/Counter-v0", 1)
    (episode,) = rollout(policy, worlds, [5], seed=0, max_steps=8)
    steps = [history[0, :, 1].tolist() for history, _ in policy.seen]
    assert steps == [[0, 0], [2, 3], [5, 6]]
    np.testing.assert_allclose(
        episode.actions[:, 0], [0, 1, 2, 0.03, 1.03, 2.03, 0.06, 1.06], rtol=1e-6
    )
    np.testing.assert_array_equal(episode.observations[1:, 2], episode.actions[:, 0])
    assert episode.observations.shape == (9, 3) and episode.states is not None
    np.testing.assert_array_equal(episode.states[:, 1], np.arange(9))
    assert len(episode.inference_seconds) == 3 and episode.failure == "time"


def test_history_is_filled_inside_chunks_and_actions_are_clipped() -> None:
    class Loud(Scripted):
        def plan(self, history: Any, noise: Any) -> Any:
            return super().plan(history, noise) + 100

    policy = Loud()
    worlds = make_worlds("ambient_toys/Counter-v0", 1)
    (episode,) = rollout(policy, worlds, [5], seed=0, max_steps=4)
    assert (episode.actions == 5).all() and (policy.seen[1][0][0, :, 2] == 5).all()


def test_noise_is_a_function_of_seed_episode_and_chunk() -> None:
    policy = Scripted()
    worlds = make_worlds("ambient_toys/Counter-v0", 2)
    rollout(policy, worlds, [5, 9], seed=3, max_steps=4)
    for chunk, (_, noise) in enumerate(policy.seen):
        for world, episode in enumerate((5, 9)):
            expected = seeding.generator(3, "rollout", episode, chunk)
            np.testing.assert_array_equal(
                noise[:, world], expected.standard_normal((2, 6, 2), dtype=np.float32)
            )


def test_only_live_worlds_are_planned_for() -> None:
    policy = Scripted()
    worlds = make_worlds("ambient_toys/Counter-v0", 4, lengths={1: 2, 2: 4, 3: 7})
    ended: list[int] = []
    rollout(policy, worlds, [1, 2, 3], seed=0, max_steps=20, progress=ended.append)
    assert [history[:, 0, 0].tolist() for history, _ in policy.seen] == [[1, 2, 3], [2, 3], [3]]
    assert ended == [1, 1, 1]


@pytest.mark.parametrize("worlds", [1, 2, 3, 5, 8])
def test_an_episode_does_not_depend_on_its_company(worlds: int) -> None:
    lengths = {3: 2, 4: 9, 5: 5, 6: 1, 7: 12}
    together = run([3, 4, 5, 6, 7], 5, lengths=lengths)
    for a, b in zip(together, run([3, 4, 5, 6, 7], worlds, lengths=lengths), strict=True):
        same(a, b)
    for a, b in zip(reversed(together), run([7, 6, 5, 4, 3], worlds, lengths=lengths), strict=True):
        same(a, b)
    assert [len(episode.actions) for episode in together] == [2, 9, 5, 1, 12]


@pytest.mark.parametrize(
    ("ending", "success", "failure"),
    [
        ("success", True, ""),
        ("wall", False, "wall"),
        ("silent", False, "terminated"),
        ("time", False, "time"),
        ("nan", False, "diverged"),
    ],
)
def test_outcomes_and_reasons(ending: str, success: bool, failure: str) -> None:
    ended, running = run([1, 2], 2, max_steps=6, lengths={1: 4}, ending=ending)
    assert (ended.success, ended.failure, len(ended.actions)) == (success, failure, 4)
    assert (running.success, running.failure, len(running.actions)) == (False, "time", 6)


def test_success_in_the_very_last_step_counts() -> None:
    (episode,) = run([1], 1, max_steps=4, lengths={1: 4})
    assert episode.success and episode.failure == ""


def test_numbers_of_the_world_at_the_end_and_at_best() -> None:
    (episode, _) = run([1, 2], 2, max_steps=6, lengths={1: 5})
    assert episode.final == {"coverage": -3.0} and episode.best == {"coverage": 0.0}
    np.testing.assert_array_equal(episode.rewards, [1, 2, 3, 4, 5])
    assert episode.goal is not None and episode.goal.tolist() == [1, 1]


def test_a_plan_that_is_not_finite_ends_its_own_episode() -> None:
    class Broken(Scripted):
        def plan(self, history: Any, noise: Any) -> Any:
            plan = super().plan(history, noise)
            now = history["state"][:, -1]
            plan[(now[:, 0] == 1) & (now[:, 1] == 3)] = np.nan
            return plan

    worlds = make_worlds("ambient_toys/Counter-v0", 2)
    broken, other = rollout(Broken(), worlds, [1, 2], seed=0, max_steps=8)
    assert (broken.failure, len(broken.actions)) == ("diverged", 3)
    assert np.isfinite(broken.actions).all() and (other.failure, len(other.actions)) == ("time", 8)


def test_every_plan_broken_ends_the_rollout() -> None:
    class Broken(Scripted):
        def plan(self, history: Any, noise: Any) -> Any:
            return np.full_like(super().plan(history, noise), np.nan)

    worlds = make_worlds("ambient_toys/Counter-v0", 1)
    (episode,) = rollout(Broken(), worlds, [1], seed=0, max_steps=8)
    assert episode.failure == "diverged" and episode.observations.shape == (1, 3)


def test_a_world_without_state_or_goal() -> None:
    gymnasium.register("ambient_toys/Pendulum-v0", "gymnasium.envs.classic_control:PendulumEnv")

    class Rest(Scripted):
        interface = Interface(("cosine", "sine", "speed"), ("torque",))
        noises = 1

        def plan(self, history: Any, noise: Any) -> Any:
            return noise[0]

    worlds = make_worlds("ambient_toys/Pendulum-v0", 2)
    episodes = rollout(Rest(), worlds, [0, 1, 2], seed=0, max_steps=5)
    assert [e.states for e in episodes] == [None] * 3 and episodes[0].goal is None
    assert episodes[0].observations.dtype == np.float32


def test_push_t_reports_coverage() -> None:
    pytest.importorskip("gym_pusht")

    class Stay(Scripted):
        interface = Interface(("x", "y", "block_x", "block_y", "angle"), ("x", "y"))

        def plan(self, history: Any, noise: Any) -> Any:
            return np.repeat(history["state"][:, -1:, :2], HORIZONS.pred, axis=1)

    worlds = make_worlds("gym_pusht:gym_pusht/PushT-v0", 2)
    episodes = rollout(Stay(), worlds, [0, 1], seed=0, max_steps=4)
    assert all(0 <= e.final["coverage"] <= e.best["coverage"] <= 1 for e in episodes)
    assert [e.failure for e in episodes] == ["time", "time"]


def test_unregistered_id_lists_its_namespace_and_what_was_meant() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'ambient_toys/Counter-v0'.*package:"):
        make_worlds("ambient_toys/Countr-v0", 1)
    with pytest.raises(SettingsError, match="no package 'no_such_package' is installed"):
        make_worlds("no_such_package:Some-v0", 1)
    with pytest.raises(SettingsError, match="num_envs = 0"):
        make_worlds("ambient_toys/Counter-v0", 0)


def test_spaces_no_chunk_fits() -> None:
    with pytest.raises(SettingsError, match="CartPole-v1.*Discrete.*one-dimensional Box"):
        make_worlds("CartPole-v1", 1)

    class Picture(Counter):
        observation_space = Box(0, 255, (4, 4, 3), np.uint8)

    gymnasium.register("ambient_toys/Picture-v0", entry_point=lambda **kwargs: Picture(**kwargs))
    with pytest.raises(SettingsError, match="observes Box.*FlattenObservation"):
        make_worlds("ambient_toys/Picture-v0", 1)


def test_worlds_that_reset_themselves_are_refused() -> None:
    with pytest.raises(SettingsError, match="hold after their end.*make_worlds"):
        rollout(Scripted(), SyncVectorEnv([Counter]), [0], seed=0, max_steps=1)


def test_seeds_steps_and_shapes_are_checked() -> None:
    worlds = make_worlds("ambient_toys/Counter-v0", 1)
    with pytest.raises(SettingsError, match="different and >= 0"):
        rollout(Scripted(), worlds, [1, 1], seed=0, max_steps=1)
    with pytest.raises(SettingsError, match="max_steps = 0"):
        rollout(Scripted(), worlds, [1], seed=0, max_steps=0)

    class Narrow(Scripted):
        def plan(self, history: Any, noise: Any) -> Any:
            return super().plan(history, noise)[..., :1]

    with pytest.raises(SettingsError, match=r"shape \(1, 6, 1\).*\(1, 6, 2\)"):
        rollout(Narrow(), worlds, [1], seed=0, max_steps=1)

    class Armless(Scripted):
        interface = Interface(("start", "steps", "last"), ("only",))

    with pytest.raises(SettingsError, match=r"commands 1 actions, but these worlds take \(2,\)"):
        rollout(Armless(), worlds, [1], seed=0, max_steps=1)


def test_an_observation_too_large_for_float32_ends_its_own_episode() -> None:
    class Far(Scripted):
        def plan(self, history: Any, noise: Any) -> Any:
            assert np.isfinite(history["state"]).all()
            return super().plan(history, noise)

    class Leaping(Counter):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, *outcome = super().step(action)
            observation[2] = 1e300 if self.steps == 2 and self.start == 1 else 0.0
            return observation, *outcome

    gymnasium.register("ambient_toys/Leaping-v0", entry_point=lambda **kwargs: Leaping(**kwargs))
    worlds = make_worlds("ambient_toys/Leaping-v0", 2)
    far, near = rollout(Far(), worlds, [1, 2], seed=0, max_steps=8)
    assert (far.failure, len(far.actions)) == ("diverged", 2)
    assert (near.failure, len(near.actions)) == ("time", 8)
