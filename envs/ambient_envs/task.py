"""MujocoTask: one physical world as a Gymnasium environment, and the laws its batched twin shares.

A task is a model and four hooks: ``reset_world`` places things, ``observe``, ``success`` and
``failure`` read them. The last three see W worlds at once, as plain arrays, so that one world
stepped here and many stepped by ``batched.BatchedTask`` are judged by the same code.

Order in a control step: physics (dt / time step of the model, sensor readings after each), then
divergence, failure, success, time limit. Every control step starts from a zero solver warm start:
a world is then a function of its state alone, whoever steps it.

What is seen is the state part (O,) alone, or, with cameras, a dictionary: "state" (O,) float32 and
for each camera a picture (H,W,3) uint8, drawn without shadows. All of it is a function of the
world's state.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, SupportsFloat, TypeAlias

import gymnasium
import mujoco
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from ambient_envs.renderer import WorldRenderer
from ambient_policy.errors import DataError, SettingsError

Floats = NDArray[np.float64]
Parts: TypeAlias = dict[str, NDArray[Any]]
Observation: TypeAlias = Any
"""(...,O) float32; with cameras a dictionary of parts."""

STATE = "state"  # the part of a dictionary that is not a picture
FILM_SIZE = 480  # side of the pictures that render() draws [px]
PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS
MOCAP = mujoco.mjtState.mjSTATE_MOCAP_POS
DIVERGED = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)


class MujocoTask(gymnasium.Env[Observation, NDArray[np.float32]], ABC):
    """A world in MuJoCo, controlled at 1 / dt.

    A world's state is a row of S numbers: full physics (time, positions, velocities, ...), then
    the positions of mocap bodies (goals), which physics leaves alone.

    Args:
        model: the world.
        state_space: of the state part (O,).
        render_mode, camera: of ``render``.
        cameras: names of the model's cameras that are observed.
        image_size: side of their square pictures [px].

    Attributes:
        dt: control period [s].
        time_limit: the episode is truncated after this time [s].
        observation_names, observation_units, action_names, action_units: of every dimension.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    state_space: Box[np.float32]
    action_space: Box[np.float32]
    dt: float = 0.1
    time_limit: float = 30.0
    observation_names: tuple[str, ...]
    observation_units: tuple[str, ...]
    action_names: tuple[str, ...]
    action_units: tuple[str, ...]

    def __init__(
        self,
        model: mujoco.MjModel,
        state_space: Box[np.float32],
        *,
        render_mode: str | None = None,
        camera: str = "top",
        cameras: Sequence[str] = (),
        image_size: int = 96,
    ) -> None:
        self.model = model
        self.data = mujoco.MjData(model)
        self.render_mode = render_mode
        self.camera = camera
        self.renderer = WorldRenderer(model, FILM_SIZE)
        self.eyes = WorldRenderer(model, image_size, shadows=False)
        self._check_cameras(cameras, image_size)
        self.cameras, self.image_size = tuple(cameras), image_size
        self.state_space = state_space
        self.observation_space = self._space()
        self.substeps = round(self.dt / model.opt.timestep)
        self.step_limit = round(self.time_limit / self.dt)
        self.physics_size = mujoco.mj_stateSize(model, PHYSICS)
        self.state_size = self.physics_size + 3 * model.nmocap
        self._steps = 0
        self._running = False

    def _check_cameras(self, cameras: Sequence[str], image_size: int) -> None:
        if isinstance(cameras, str) or len(set(cameras)) < len(cameras) or STATE in cameras:
            raise SettingsError(
                f"cameras = {cameras!r}: give a list of different names other than '{STATE}', "
                "e.g. [top]."
            )
        for camera in cameras:
            self.eyes.check_camera(camera)
        buffer = self.model.vis.global_
        largest = min(buffer.offwidth, buffer.offheight)
        if not 1 <= image_size <= largest:
            raise SettingsError(
                f"image_size = {image_size} px must be from 1 to {largest}, the size of the "
                "model's offscreen buffer."
            )

    def _space(self) -> Box[np.float32] | Dict:
        if not self.cameras:
            return self.state_space
        picture = Box(0, 255, (self.image_size, self.image_size, 3), np.uint8)
        return Dict({STATE: self.state_space, **dict.fromkeys(self.cameras, picture)})

    # ------------------------------------------------------------------ hooks of a task

    @abstractmethod
    def reset_world(self, data: mujoco.MjData, random: np.random.Generator) -> None:
        """Place everything in ``data``, which is at the model's defaults, by the reset law."""

    @abstractmethod
    def observe(self, states: Floats) -> NDArray[np.float32]:
        """(W,S) -> (W,O): the state part."""

    @abstractmethod
    def success(self, states: Floats) -> NDArray[np.bool_]:
        """(W,S) -> (W,)."""

    @abstractmethod
    def failure(self, states: Floats, sensors: Floats) -> NDArray[np.object_]:
        """(W,S) and sensor readings (W,substeps,N) -> (W,) why it failed, "" where it did not."""

    def facts(self, states: Floats) -> dict[str, Floats]:
        """(W,S) -> what reset reports beside the state, one row for each world."""
        return {}

    # ------------------------------------------------------------------ reading a state

    def positions(self, states: Floats) -> Floats:
        """(W,S) -> generalised positions (W,nq)."""
        return states[:, 1 : 1 + self.model.nq]

    def mocap_positions(self, states: Floats) -> Floats:
        """(W,S) -> (W,nmocap,3) [m]."""
        return states[:, self.physics_size :].reshape(len(states), self.model.nmocap, 3)

    # ------------------------------------------------------------------ what the twin shares

    def parts(self, states: Floats) -> Parts:
        """(W,S) -> all that is seen: "state" (W,O) and a picture (W,H,W,3) of every camera."""
        pictures = {camera: self._pictures(states, camera) for camera in self.cameras}
        return {STATE: self.observe(states), **pictures}

    def _pictures(self, states: Floats, camera: str) -> NDArray[np.uint8]:
        """(W,S) -> (W,H,W,3)."""
        pictures = np.empty((len(states), self.image_size, self.image_size, 3), np.uint8)
        for picture, state in zip(pictures, states, strict=True):
            picture[:] = self._draw(self.eyes, state, camera)
        return pictures

    def observation(self, parts: Parts) -> Observation:
        """Parts as the observation space has them: without cameras, the state part alone."""
        return parts if self.cameras else parts[STATE]

    def new_state(self, random: np.random.Generator) -> Floats:
        """Draw a world (S,) by the reset law; ``data`` holds it afterwards."""
        mujoco.mj_resetData(self.model, self.data)
        self.reset_world(self.data, random)
        return self._get_state()

    def controls(self, actions: NDArray[Any]) -> Floats:
        """(W,A) actions -> (W,A) controls inside the action space.

        Raises:
            DataError: if an action is not finite.
        """
        if not np.isfinite(actions).all():
            worlds = np.flatnonzero(~np.isfinite(actions).all(axis=-1)).tolist()
            raise DataError(
                f"the action of world {worlds} is not finite; actions must be numbers between "
                f"{self.action_space.low} and {self.action_space.high}. Check the policy's output."
            )
        clipped = np.clip(actions, self.action_space.low, self.action_space.high)
        return np.asarray(clipped, dtype=np.float64)

    def judge(
        self, states: Floats, sensors: Floats, diverged: NDArray[np.bool_], steps: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.object_]]:
        """Success (W,) and why it failed (W,): "", "diverged", "time" or a word of the task."""
        failure = self.failure(states, sensors)
        failure[diverged] = "diverged"
        success = self.success(states) & (failure == "")
        failure[(steps >= self.step_limit) & ~success & (failure == "")] = "time"
        return success, failure

    # ------------------------------------------------------------------ gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode; equal seeds give equal worlds."""
        super().reset(seed=seed)
        state = self.new_state(self.np_random)
        self._steps, self._running = 0, True
        facts = {name: rows[0] for name, rows in self.facts(state[None]).items()}
        return self._see(state), {"state": state, **facts}

    def set_state(self, state: Floats) -> Observation:
        """Continue from a stored state (S,); returns what is seen there."""
        self._put_state(state)
        self._steps, self._running = round(self.data.time / self.dt), True
        return self._see(state)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take one control step of dt under an absolute target (A,).

        Raises:
            ResetNeeded: after the end of the episode, or before the first one.
        """
        if not self._running:
            raise ResetNeeded("this episode has ended (or never began): call reset() before step()")
        sensors, diverged = self._advance(self.controls(np.asarray(action)[None])[0])
        state = self._get_state()
        self._steps += 1
        success, failure = (
            rows[0]
            for rows in self.judge(
                state[None], sensors[None], np.array([diverged]), np.array([self._steps])
            )
        )
        truncated = failure == "time"
        terminated = bool(success) or failure not in ("", "time")
        self._running = not (terminated or truncated)
        info = {"is_success": bool(success), "failure": failure, "state": state}
        return self._see(state), float(success), terminated, truncated, info

    def _see(self, state: Floats) -> Observation:
        """(S,) -> the observation of one world."""
        return self.observation({name: rows[0] for name, rows in self.parts(state[None]).items()})

    def _advance(self, control: Floats) -> tuple[Floats, bool]:
        """Physics of one control step: sensors (substeps,N), and whether the world diverged.

        A diverged world is put back to where this control step began.
        """
        before = self._get_state()
        sensors = np.empty((self.substeps, self.model.nsensordata))
        self.data.ctrl[:] = control
        self.data.qacc_warmstart[:] = 0.0
        for row in sensors:
            mujoco.mj_step(self.model, self.data)
            row[:] = self.data.sensordata
        diverged = any(self.data.warning[kind].number for kind in DIVERGED)
        if diverged:
            self._put_state(before)
        return sensors, diverged

    def _get_state(self) -> Floats:
        state = np.empty(self.state_size)
        mujoco.mj_getState(self.model, self.data, state[: self.physics_size], PHYSICS)
        state[self.physics_size :] = self.data.mocap_pos.ravel()
        return state

    def _put_state(self, state: Floats) -> None:
        mujoco.mj_resetData(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, state[: self.physics_size], PHYSICS)
        self.data.mocap_pos[:] = state[self.physics_size :].reshape(-1, 3)

    def render(self, state: Floats | None = None, camera: str | None = None) -> NDArray[np.uint8]:
        """Draw the world as it is, or a stored state (S,), from a camera: a picture (H,W,3)."""
        state = self._get_state() if state is None else state
        return self._draw(self.renderer, state, camera or self.camera)

    def _draw(self, renderer: WorldRenderer, state: Floats, camera: str) -> NDArray[np.uint8]:
        split = self.physics_size
        return renderer.picture(state[:split], state[split:].reshape(-1, 3), camera)

    def close(self) -> None:
        """Free the graphics contexts."""
        self.renderer.close()
        self.eyes.close()
