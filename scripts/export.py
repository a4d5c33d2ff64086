"""Out of the project (docs/export.md)::

    python scripts/export.py store=data/maze/gcs.zarr format=lerobot out=data/gcs_lerobot
    python scripts/export.py store=data/maze/gcs.zarr format=diffusion_policy out=data/gcs.zarr.zip
    python scripts/export.py run=runs/maze/ambient/seed-0 out=policies/maze

The last writes config.json, model.safetensors and a model card; scripts/evaluate.py run= takes it.
"""

from collections.abc import Sequence

from rich.console import Console

from compose import compose, run
from exporting import ExportSettings, export_run, export_store


def main(overrides: Sequence[str]) -> None:
    """Compose, write, tell."""
    settings: ExportSettings = compose("export", overrides)
    write = export_store if settings.store is not None else export_run
    write(settings, Console(soft_wrap=True))


if __name__ == "__main__":
    run(main)
