"""A policy in W worlds at once: one planning call per chunk for all worlds that still run.

What an episode is depends on (seed, episode seed) alone, never on the worlds beside it, up to the
rounding of a network that multiplies batches of different sizes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ambient_policy import seeding
from ambient_policy.batch import STATE
from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.trajectory import Recording, Trajectory
from ambient_policy.evaluation.worlds import Worlds, check_spaces
from ambient_policy.horizons import Horizons


class Planner(Protocol):
    """What a rollout needs of a policy."""

    @property
    def horizons(self) -> Horizons:
        """To, Tp and Ta in control steps."""
        ...

    @property
    def noises(self) -> int:
        """K, standard normal chunks one plan consumes (1 for DDIM)."""
        ...

    def plan(
        self, history: Mapping[str, NDArray[Any]], noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Histories (W,To,...) by part and noise (K,W,Tp,A) -> actions (W,Tp,A), in their units."""
        ...


def rollout(
    policy: Planner,
    worlds: Worlds,
    seeds: Sequence[int],
    *,
    seed: int,
    max_steps: int,
    progress: Callable[[int], object] | None = None,
) -> list[Trajectory]:
    """One episode for each of ``seeds``, in groups of as many as there are worlds.

    Args:
        policy: plans chunks of Tp actions, of which Ta are executed before planning again.
        worlds: from ``make_worlds``; ended worlds must hold (autoreset disabled).
        seeds: one per episode, all different, >= 0: the start of the episode, and its noise.
        seed: of the denoising noise; chunk c of episode s uses (seed, "rollout", s, c).
        max_steps: control steps after which an episode fails for "time".
        progress: called with the number of episodes that just ended.

    Raises:
        SettingsError: for worlds that reset themselves, seeds that repeat, no step to run, or a
            policy whose actions do not fit the worlds.
    """
    _check(worlds, seeds, max_steps)
    trajectories: list[Trajectory] = []
    for first in range(0, len(seeds), worlds.num_envs):
        group = [int(s) for s in seeds[first : first + worlds.num_envs]]
        trajectories += _run_group(policy, worlds, group, seed, max_steps, progress)
    return trajectories


def _run_group(
    policy: Planner,
    worlds: Worlds,
    seeds: list[int],
    seed: int,
    max_steps: int,
    progress: Callable[[int], object] | None,
) -> list[Trajectory]:
    """Episodes side by side; worlds left over run along unrecorded on a copy of the last seed."""
    spare = worlds.num_envs - len(seeds)
    observations, infos = worlds.reset(seed=seeds + seeds[-1:] * spare)  # type: ignore[arg-type]
    parts = _parts(observations)
    recording = Recording(seeds, parts[STATE], infos)
    history = {name: np.stack([part] * policy.horizons.obs, 1) for name, part in parts.items()}
    plan = _resting(worlds, policy.horizons.pred)
    running = len(seeds)
    for step in range(max_steps):
        chunk, within = divmod(step, policy.horizons.act)
        if within == 0 and recording.live.any():
            _replan(policy, plan, history, recording, worlds, seed, chunk)
        if recording.live.any():
            actions = plan[:, within]
            observations, *outcome = worlds.step(actions)
            parts = _parts(observations)
            recording.add(actions, parts[STATE], *outcome)
            history = {name: _shift(history[name], part) for name, part in parts.items()}
        if step == max_steps - 1:
            recording.stop()
        running = _tell(progress, running, int(recording.live.sum()))
        if not running:
            break
    return recording.trajectories()


def _parts(observations: Any) -> dict[str, NDArray[Any]]:
    """Named parts (W,...): of a Box the state alone."""
    return observations if isinstance(observations, dict) else {STATE: observations}


def _as_taught(part: NDArray[Any]) -> NDArray[Any]:
    """Images stay bytes, all else becomes float32."""
    return part if part.dtype == np.uint8 else part.astype(np.float32)


def _shift(history: NDArray[Any], part: NDArray[Any]) -> NDArray[Any]:
    """(W,To,...) one control step later."""
    return np.concatenate([history[:, 1:], part[:, None]], axis=1)


def _replan(
    policy: Planner,
    plan: NDArray[Any],
    history: dict[str, NDArray[Any]],
    recording: Recording,
    worlds: Worlds,
    seed: int,
    chunk: int,
) -> None:
    """Fill the rows of ``plan`` (W,Tp,A) that still run; a plan that is not finite ends its own."""
    live = np.flatnonzero(recording.live)
    shape = (policy.noises, *plan.shape[1:])
    noise = np.stack(
        [
            seeding.generator(seed, "rollout", recording.seeds[world], chunk).standard_normal(
                shape, dtype=np.float32
            )
            for world in live
        ],
        axis=1,
    )
    start = time.perf_counter()
    planned = policy.plan({name: _as_taught(part[live]) for name, part in history.items()}, noise)
    recording.planned(time.perf_counter() - start)
    _check_plan(planned.shape, (len(live), *plan.shape[1:]))
    finite = np.isfinite(planned[:, : policy.horizons.act]).all(axis=(1, 2))
    box = _action_box(worlds)
    plan[live[finite]] = np.clip(planned[finite], box.low, box.high)
    broken = np.zeros(len(plan), bool)
    broken[live[~finite]] = True
    recording.fail(broken, "diverged")


def _action_box(worlds: Worlds) -> Box:
    box = worlds.single_action_space
    assert isinstance(box, Box)  # check_spaces has said so
    return box


def _resting(worlds: Worlds, pred: int) -> NDArray[Any]:
    """(W,Tp,A) of the action nearest to zero: for worlds nobody plans for."""
    box = _action_box(worlds)
    rest = np.clip(np.zeros(box.shape), box.low, box.high).astype(box.dtype)
    return np.tile(rest, (worlds.num_envs, pred, 1))


def _tell(progress: Callable[[int], object] | None, before: int, now: int) -> int:
    if progress is not None and now < before:
        progress(before - now)
    return now


def _check(worlds: Worlds, seeds: Sequence[int], max_steps: int) -> None:
    mode = worlds.metadata.get("autoreset_mode")
    if mode is not AutoresetMode.DISABLED:
        raise SettingsError(
            f"a rollout needs worlds that hold after their end, but autoreset_mode is {mode}: "
            "build them with ambient_policy.evaluation.worlds.make_worlds."
        )
    if len(set(seeds)) < len(seeds) or any(s < 0 for s in seeds):
        raise SettingsError(
            f"episode seeds must be different and >= 0, got {sorted(seeds)}: episodes are kept and "
            "paired by their seed."
        )
    if max_steps < 1:
        raise SettingsError(f"max_steps = {max_steps}, but an episode needs at least 1 step.")
    name = getattr(worlds.spec, "id", type(worlds).__name__)
    check_spaces(name, worlds.single_action_space, worlds.single_observation_space)


def _check_plan(planned: tuple[int, ...], needed: tuple[int, ...]) -> None:
    if planned != needed:
        raise SettingsError(
            f"the policy planned actions of shape {planned}, but these worlds need (worlds, Tp, A) "
            f"= {needed}: evaluate it in the task it was trained for."
        )
