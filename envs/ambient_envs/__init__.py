"""Worlds: MuJoCo tasks behind Gymnasium. Importing this package registers them.

On a Linux machine without a display this makes MuJoCo draw through EGL, unless ``MUJOCO_GL`` says
otherwise. MuJoCo reads that variable at its first import: import this package before MuJoCo.
"""

import os
import sys

import gymnasium

if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")

gymnasium.register(
    id="ambient_envs/Maze-v0",
    entry_point="ambient_envs.maze:MazeTask",
    vector_entry_point="ambient_envs.maze:batched_maze",
)

ALL_TASKS: tuple[str, ...] = tuple(
    sorted(id for id, spec in gymnasium.registry.items() if spec.namespace == __name__)
)
"""Every id this package registers."""
