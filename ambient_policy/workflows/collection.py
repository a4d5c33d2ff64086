"""Collect demonstrations: ``ambient-policy collect expert=gcs episodes=100``, with pictures
``cameras=[top] image_size=96``. Continues a collection that was stopped."""

from ambient_datasets import collect as collection
from ambient_datasets.collect import CollectSettings


def collect(settings: CollectSettings) -> None:
    """Collect demonstrations of a planner, executed in MuJoCo."""
    collection.collect(settings)
