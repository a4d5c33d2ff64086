"""Collect demonstrations: ``python scripts/collect.py expert=gcs episodes=100``.

Continues a collection that was stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ambient_datasets.collect import collect
from ambient_policy.settings import TaskSettings
from compose import compose, register, run


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
    task: TaskSettings = field(default_factory=TaskSettings)


def main(overrides: Sequence[str]) -> None:
    """Compose and collect."""
    settings: CollectSettings = compose("collect", overrides)
    collect(
        settings.path,
        task_id=settings.task.id,
        expert=settings.expert,
        episodes=settings.episodes,
        seed=settings.seed,
        workers=settings.workers,
        **settings.task.kwargs,
    )


if __name__ == "__main__":
    register("collect_settings", CollectSettings)
    run(main)
