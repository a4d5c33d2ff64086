"""Write into a store what each episode may teach, bound to the normaliser of its data config.

``python scripts/annotate.py source=suboptimal sigma_min=0.27 sigma_max=0``: for all episodes;
``sigma_min={step:3}`` and ``{vp:0.074}`` are other ways to write a level.
``python scripts/annotate.py source=suboptimal table=thresholds.csv``: a line
``sigma_min,sigma_max`` for each, in order; ``inf`` is a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ambient_datasets.normalizing import build_normalizer
from ambient_datasets.store import Annotation, annotate_store
from ambient_policy.diffusion.noise import resolve_sigma
from ambient_policy.errors import SettingsError, unknown
from ambient_policy.horizons import Horizons
from ambient_policy.settings import (
    ActionSettings,
    NoiseSettings,
    NormalizerSettings,
    SourceSettings,
)
from assemble import open_source
from compose import compose, register, run


@dataclass
class AnnotateSettings:
    """Which store, which thresholds."""

    # one of the sources of the data config
    source: str = "???"
    # for all episodes: sigma [normalised action], or {vp: 0.074}, {flow: 0.07}, {log_snr: 5.2},
    # {step: 3}; sigma_max = 0 switches locality off
    sigma_min: Any = None
    sigma_max: Any = None
    # or a file with one line "sigma_min,sigma_max" per episode
    table: str | None = None
    sources: dict[str, SourceSettings] = field(default_factory=dict)
    normalizer: NormalizerSettings = field(default_factory=NormalizerSettings)
    # as in training: the normaliser is fitted on what the network learns
    horizons: Horizons = field(default_factory=Horizons)
    actions: ActionSettings = field(default_factory=ActionSettings)
    # the schedule that steps belong to
    noise: NoiseSettings = field(default_factory=NoiseSettings)


register("annotate_settings", AnnotateSettings)


def thresholds(settings: AnnotateSettings, episodes: int) -> NDArray[np.float64]:
    """(E,2) sigma_min and sigma_max."""
    pair = settings.sigma_min, settings.sigma_max
    if (settings.table is None) == (None in pair):
        raise SettingsError(
            f"sigma_min = {pair[0]}, sigma_max = {pair[1]}, table = {settings.table}: give both "
            "numbers (sigma_max=0 switches locality off), or a table, not a part of each."
        )
    if settings.table is None:
        levels = settings.noise.schedule_levels()
        low = resolve_sigma("sigma_min", settings.sigma_min, levels)
        high = resolve_sigma("sigma_max", settings.sigma_max, levels)
        return np.tile([low, high], (episodes, 1))
    try:
        table = np.loadtxt(settings.table, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"table = {settings.table} cannot be read: {error}. Write one line "
            "'sigma_min,sigma_max' per episode."
        ) from error
    if table.shape != (episodes, 2):
        raise SettingsError(
            f"table = {settings.table} has shape {table.shape}, but the store of "
            f"'{settings.source}' has {episodes} episodes: give one line of two numbers for each."
        )
    return table


def main(overrides: Sequence[str]) -> None:
    """Compose, check, write."""
    settings: AnnotateSettings = compose("annotate", overrides)
    if settings.source not in settings.sources:
        raise unknown("source", settings.source, settings.sources)
    stores = {name: open_source(name, source) for name, source in settings.sources.items()}
    store = stores[settings.source]
    normalizer = build_normalizer(
        settings.normalizer, list(stores.values()), settings.horizons, settings.actions
    )
    low, high = thresholds(settings, len(store)).T
    annotate_store(store.path, Annotation(low, high, normalizer.fingerprint))
    Console().print(
        f"{store.path}: {len(store)} episodes annotated under normaliser {normalizer.fingerprint}; "
        f"use them with sources.{settings.source}.trust=annotated",
        highlight=False,
    )


if __name__ == "__main__":
    run(main)
