"""Convert demonstrations of others into a store of ours (docs/data.md has an example of each)::

    ambient-policy convert recipe=pusht path=pusht_cchi_v7_replay.zarr out=data/pusht.zarr

The same command continues a conversion that was stopped; ``jobs.workers=4`` converts in four
processes.
"""

from ambient_datasets.conversion import convert as conversion
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_policy.terminal import Screen

__all__ = ["ConvertSettings", "convert"]


def convert(settings: ConvertSettings) -> None:
    """Convert demonstrations of others into a store of ours."""
    report = conversion.convert(settings)
    Screen(soft_wrap=True).print(str(report))
