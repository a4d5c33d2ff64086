"""Imported before the tests import MuJoCo, so that pictures are drawn without a display."""

import ambient_envs  # noqa: F401  (sets MUJOCO_GL where there is no display)
