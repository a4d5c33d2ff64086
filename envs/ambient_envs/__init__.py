"""Worlds: MuJoCo tasks behind Gymnasium. Importing this package registers them."""

import gymnasium

gymnasium.register(
    id="ambient_envs/Maze-v0",
    entry_point="ambient_envs.maze:MazeTask",
    vector_entry_point="ambient_envs.maze:batched_maze",
)

ALL_TASKS: tuple[str, ...] = tuple(
    sorted(id for id, spec in gymnasium.registry.items() if spec.namespace == __name__)
)
"""Every id this package registers."""
