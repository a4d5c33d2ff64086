"""BatchedTask: W worlds of one task stepped in one call on native threads (``mujoco.rollout``).

World i equals the single task under the same seed, bit for bit. A world that has ended holds still:
its physics stop, its pictures stay, and it returns its last observation, reward 0, and neither
terminated nor truncated.
"""

import os
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from ambient_envs.task import Floats, MujocoTask, Observation, Parts
from ambient_policy.errors import SettingsError

Step = tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class BatchedTask(VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """W worlds (``num_envs``) of one task; autoreset is disabled."""

    def __init__(self, task: MujocoTask, num_envs: int, threads: int | None = None) -> None:
        if num_envs < 1:
            raise SettingsError(f"num_envs = {num_envs} must be at least 1.")
        self.task = task
        self.num_envs = num_envs
        self.metadata = {**task.metadata, "autoreset_mode": AutoresetMode.DISABLED}
        self.render_mode = task.render_mode
        self.single_observation_space = task.observation_space
        self.single_action_space = task.action_space
        self.observation_space = batch_space(task.observation_space, num_envs)
        self.action_space = batch_space(task.action_space, num_envs)
        threads = min(threads or os.cpu_count() or 1, num_envs)
        self._rollout = Rollout(nthread=threads if threads > 1 else 0)
        self._data = [mujoco.MjData(task.model) for _ in range(threads)]
        self._randoms = [seeding.np_random(None)[0] for _ in range(num_envs)]
        self._states = np.zeros((num_envs, task.state_size))
        self._seen: Parts = {}
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._live = np.zeros(num_envs, dtype=bool)
        self._success = np.zeros(num_envs, dtype=bool)
        self._failure = np.full(num_envs, "", dtype=object)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset worlds; ``seed`` is one per world, or s for s, s+1, ...

        ``options={"reset_mask": (W,) bool}`` resets only some, as gymnasium's vectors do.
        """
        chosen = np.flatnonzero((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        seeds = self._seeds(seed)
        for i in chosen:
            if seeds[i] is not None:
                self._randoms[i] = seeding.np_random(seeds[i])[0]
            self._states[i] = self.task.new_state(self._randoms[i])
        self._steps[chosen], self._live[chosen] = 0, True
        self._success[chosen], self._failure[chosen] = False, ""
        rows = {"state": self._states.copy(), **self.task.facts(self._states)}
        return self._look(chosen), _infos(rows)

    def _look(self, changed: NDArray[np.int64]) -> Observation:
        """Return the observation of all worlds; look again at the ``changed`` ones (L,) only."""
        parts = self.task.parts(self._states[changed]) if len(changed) else {}
        for name, rows in parts.items():
            whole = self._seen.setdefault(
                name, np.zeros((self.num_envs, *rows.shape[1:]), rows.dtype)
            )
            whole[changed] = rows
        return self.task.observation({name: rows.copy() for name, rows in self._seen.items()})

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise SettingsError(
                f"{len(seed)} seeds for {self.num_envs} worlds; give one seed for each world."
            )
        return [None if s is None else int(s) for s in seed]

    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one control step of every live world under absolute targets (W,A).

        Raises:
            ResetNeeded: before the first reset.
        """
        if not self._seen:
            raise ResetNeeded("these worlds never began: call reset() before step()")
        live = np.flatnonzero(self._live)
        success = np.zeros(self.num_envs, dtype=bool)
        ended, late = success.copy(), success.copy()
        if len(live):
            success[live], failure = self._advance(live, self.task.controls(actions[live]))
            late[live] = failure == "time"
            ended[live] = success[live] | ((failure != "") & (failure != "time"))
            self._success[live], self._failure[live] = success[live], failure
        self._live &= ~(ended | late)
        outcome = {"is_success": self._success.copy(), "failure": self._failure.copy()}
        infos = _infos({**outcome, "state": self._states.copy()})
        return self._look(live), success.astype(np.float64), ended, late, infos

    def _advance(
        self, live: NDArray[np.int64], controls: Floats
    ) -> tuple[NDArray[np.bool_], NDArray[np.object_]]:
        """Step the live worlds (L,) under controls (L,A): success and failure, both (L,)."""
        task, size = self.task, self.task.physics_size
        before = self._states[live, :size]
        physics, sensors = self._rollout.rollout(
            task.model, self._data, before, controls[:, None], nstep=task.substeps
        )
        # A diverged world repeats one state: its time falls behind by at least a physics step.
        behind = before[:, 0] + task.dt - physics[:, -1, 0]
        diverged = ~(behind < task.model.opt.timestep / 2)
        self._states[live[~diverged], :size] = physics[~diverged, -1]
        self._steps[live] += 1
        return task.judge(self._states[live], sensors, diverged, self._steps[live])

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Draw one picture (H,W,3) of each world."""
        if self.render_mode is None:
            return None
        return tuple(self.task.render(state) for state in self._states)

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads and free the renderer."""
        self._rollout.close()
        self.task.close()


def _infos(rows: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Add gymnasium's masks to rows (W,...): key ``_name`` says which worlds have ``name``."""
    masks = {f"_{name}": np.ones(len(values), dtype=bool) for name, values in rows.items()}
    return {**rows, **masks}
