"""Collect demonstrations: ``python scripts/collect.py expert=gcs episodes=100``, with pictures
``cameras=[top] image_size=96``. Continues a collection that was stopped."""

from dataclasses import dataclass, field

from ambient_datasets import collect as collecting
from ambient_envs import ALL_TASKS
from ambient_policy.errors import SettingsError, unknown
from ambient_policy.settings import TaskSettings


@dataclass
class CollectSettings:
    """What to collect, and where to."""

    # folder of the store
    path: str = "data/demonstrations.zarr"
    # who demonstrates: gcs (trusted) or rrt (suboptimal)
    expert: str = "???"
    # successful episodes to hold in the end
    episodes: int = 100
    # of worlds and planners
    seed: int = 0
    # processes; the store does not depend on it
    workers: int = 2
    # cameras of the task to store pictures of (maze: top, tilted), and their side [px]
    cameras: list[str] = field(default_factory=list)
    image_size: int = 96
    task: TaskSettings = field(default_factory=TaskSettings)


def collect(settings: CollectSettings) -> None:
    """Collect."""
    task = settings.task
    if task.id not in ALL_TASKS:
        raise unknown("task", task.id, ALL_TASKS)
    for name in sorted({*task.kwargs} - {"layout"}):
        refusal = unknown("task.kwargs", name, ["layout"])
        raise SettingsError(f"{refusal} Cameras are given as cameras=[top] image_size=96.")
    collecting.collect(
        settings.path,
        task_id=task.id,
        expert=settings.expert,
        episodes=settings.episodes,
        seed=settings.seed,
        workers=settings.workers,
        layout=task.kwargs.get("layout", ""),  # an empty name is refused with those that exist
        cameras=settings.cameras,
        image_size=settings.image_size,
    )
