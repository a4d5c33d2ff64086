"""A policy in W worlds at once: one planning call per chunk for all worlds that still run.

What an episode is depends on (seed, episode seed) alone, never on the worlds beside it, up to the
rounding of a network that multiplies batches of different sizes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ambient_policy.actor import Actor, Planner
from ambient_policy.batch import STATE
from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.trajectory import Recording, Trajectory
from ambient_policy.evaluation.worlds import Worlds, check_spaces

# of an observation: a policy reads float32
LARGEST = np.finfo(np.float32).max


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
    _check(policy, worlds, seeds, max_steps)
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
    starts = seeds + seeds[-1:] * spare
    observations, infos = worlds.reset(seed=starts)  # type: ignore[arg-type]
    parts = _parts(observations)
    recording = Recording(seeds, parts[STATE], infos)
    actor = Actor(policy, seed, starts)
    running = len(seeds)
    for step in range(max_steps):
        if recording.live.any():
            actions = _actions(actor, parts, recording, worlds)
        if recording.live.any():
            observations, *outcome = worlds.step(actions)
            parts = _parts(observations)
            recording.add(actions, parts[STATE], *outcome)
        if step == max_steps - 1:
            recording.stop()
        running = _report(progress, running, int(recording.live.sum()))
        if not running:
            break
    return recording.trajectories()


def _actions(
    actor: Actor, parts: dict[str, NDArray[Any]], recording: Recording, worlds: Worlds
) -> NDArray[Any]:
    """(W,A), clipped to the action space; a plan that is not finite ends its own episode."""
    fits = np.abs(parts[STATE]).max(axis=1) <= LARGEST
    recording.fail(recording.live & ~fits, "diverged")
    plans = actor.plans_next
    actions = actor.act(parts, recording.live)
    if plans:
        recording.planned(actor.planning_seconds)
    finite: NDArray[np.bool_] = np.all(np.isfinite(actions), axis=1)
    recording.fail(recording.live & ~finite, "diverged")
    box = _action_box(worlds)
    clipped: NDArray[Any] = np.clip(np.where(finite[:, None], actions, 0), box.low, box.high)
    return clipped.astype(box.dtype)


def _parts(observations: Any) -> dict[str, NDArray[Any]]:
    """Named parts (W,...): of a Box the state alone."""
    return observations if isinstance(observations, dict) else {STATE: observations}


def _action_box(worlds: Worlds) -> Box:
    box = worlds.single_action_space
    assert isinstance(box, Box)  # check_spaces has said so
    return box


def _report(progress: Callable[[int], object] | None, before: int, now: int) -> int:
    if progress is not None and now < before:
        progress(before - now)
    return now


def _check(policy: Planner, worlds: Worlds, seeds: Sequence[int], max_steps: int) -> None:
    mode = worlds.metadata.get("autoreset_mode")
    if mode is not AutoresetMode.DISABLED:
        raise SettingsError(
            f"a rollout needs worlds that hold after their end, but autoreset_mode is {mode}: "
            "build them with ambient_policy.evaluation.worlds.make_worlds."
        )
    if len(set(seeds)) < len(seeds) or any(s < 0 for s in seeds):
        raise SettingsError(
            f"episode seeds must be different and >= 0, got {sorted(seeds)}: episodes are "
            "recorded and paired by their seed."
        )
    if max_steps < 1:
        raise SettingsError(f"max_steps = {max_steps}, but an episode needs at least 1 step.")
    name = getattr(worlds.spec, "id", type(worlds).__name__)
    check_spaces(name, worlds.single_action_space, worlds.single_observation_space)
    commands, takes = len(policy.interface.action_names), _action_box(worlds).shape
    if (commands,) != takes:
        raise SettingsError(
            f"the policy commands {commands} actions, but these worlds take {takes}: evaluate it "
            "in the task it was trained for."
        )
