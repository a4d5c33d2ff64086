"""Videos of chosen episodes, rendered afterwards: from stored states, else by replaying actions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from rich.console import Console

from ambient_envs.task import MujocoTask
from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.records import Motion, read_motions
from ambient_policy.evaluation.video import write_video
from ambient_policy.evaluation.worlds import find_spec
from ambient_policy.policy import PolicySpec

# of an evaluation's folder
VIDEOS = "videos"


def _replay(env: gymnasium.Env[Any, Any], seed: int, motion: Motion) -> Iterator[Any]:
    """Frames of a deterministic world whose states are not known."""
    env.reset(seed=seed)
    yield env.render()
    for action in motion.actions:
        env.step(action)
        yield env.render()


def _frames(env: gymnasium.Env[Any, Any], seed: int, motion: Motion) -> list[Any]:
    if motion.states is None or not isinstance(env.unwrapped, MujocoTask):
        return list(_replay(env, seed, motion))
    env.reset(seed=seed)
    world = env.unwrapped
    return [world.render(state=state) for state in motion.states]


def film(
    folder: Path, spec: PolicySpec, seeds: Sequence[int], suffix: str, console: Console
) -> None:
    """Write folder/videos/<seed>.<suffix> for the episodes of an evaluation."""
    if not seeds:
        return
    motions = read_motions(folder / "motions.npz")
    missing = sorted(set(seeds) - set(motions))
    if missing:
        raise SettingsError(
            f"videos: no episode of seed {missing[0]} was evaluated; choose among "
            f"{min(motions)} to {max(motions)}."
        )
    env = gymnasium.make(find_spec(spec.task), render_mode="rgb_array", **spec.task_kwargs)
    (folder / VIDEOS).mkdir(exist_ok=True)
    for seed in seeds:
        target = folder / VIDEOS / f"{seed}.{suffix}"
        write_video(_frames(env, seed, motions[seed]), target, spec.control_rate)
        console.print(f"wrote {target}")
    env.close()
