"""Pictures of stored states, independent of the world that they come from."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import SettingsError, unknown

PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS


class WorldRenderer:
    """Draw states of one model; the (headless) graphics context opens at the first picture.

    Args:
        model: the model to draw.
        size: of the square pictures [px].
        shadows: whether lights cast them; they cost most of the time of a small picture.
    """

    def __init__(self, model: mujoco.MjModel, size: int, shadows: bool = True) -> None:
        self._model = model
        self._size = size
        self._shadows = shadows
        self._data = mujoco.MjData(model)
        self._renderer: mujoco.Renderer | None = None

    @property
    def cameras(self) -> list[str]:
        """Names of the model's cameras."""
        return [self._model.camera(i).name for i in range(self._model.ncam)]

    def check_camera(self, camera: str) -> None:
        """Refuse a camera that the model does not have.

        Raises:
            SettingsError: with the cameras that it has.
        """
        if camera not in self.cameras:
            raise unknown("camera", camera, self.cameras)

    def picture(
        self, physics: NDArray[np.float64], mocap: NDArray[np.float64], camera: str
    ) -> NDArray[np.uint8]:
        """Draw a picture (size, size, 3) of a physics state, with mocap bodies at (nmocap,3) [m].

        Raises:
            SettingsError: for a camera the model does not have, or where nothing can be drawn.
        """
        self.check_camera(camera)
        if self._renderer is None:
            self._renderer = self._open()
        mujoco.mj_setState(self._model, self._data, physics, PHYSICS)
        self._data.mocap_pos[:] = mocap
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera)
        return np.asarray(self._renderer.render(), dtype=np.uint8)

    def _open(self) -> mujoco.Renderer:
        try:
            renderer = mujoco.Renderer(self._model, self._size, self._size)
        except (mujoco.FatalError, RuntimeError, AttributeError, ImportError) as error:
            raise SettingsError(
                f"MuJoCo cannot draw here ({error}). On a machine without a display set "
                "MUJOCO_GL=egl (or osmesa) before Python starts."
            ) from error
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._shadows
        return renderer

    def close(self) -> None:
        """Free the graphics context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
