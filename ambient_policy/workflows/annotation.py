"""Write into stores what each episode may teach, bound to the normaliser of their data config.

The data config is that of the training; where the training's experiment or command line changes
``normalizer``, ``dimensions``, ``horizons``, ``actions`` or which episodes teach (``max_episodes``,
``max_train_episodes``, ``val_ratio``), say the same here: the normaliser depends on them, and
training refuses an annotation made under another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.normalizers import build_normalizers
from ambient_datasets.source import Source
from ambient_datasets.store import Annotation, Store, annotate_store
from ambient_policy.diffusion.noise import INFINITE, resolve_sigma
from ambient_policy.errors import SettingsError, unknown
from ambient_policy.jobs import JobSettings, open_jobs
from ambient_policy.settings import DataSettings, NormalizerKind, SourceSettings
from ambient_policy.terminal import Screen
from ambient_policy.workflows.preparation import open_stores


@dataclass
class AnnotateSettings(DataSettings):
    """Which stores, which thresholds."""

    # of the sources of the data config one, a list, or all
    source: Any = "???"
    # for all episodes: sigma [normalised action], or {vp: 0.074}, {flow: 0.07}, {log_snr: 5.2},
    # {step: 3}; sigma_max = 0 switches locality off
    sigma_min: Any = None
    sigma_max: Any = None
    # or a file with one line "sigma_min,sigma_max" per episode
    table: str | None = None
    # how many are written at once, and where
    jobs: JobSettings = field(default_factory=lambda: JobSettings(workers=1))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sources:  # before the numbers: a name misspelt is the first thing to mend
            choose_sources(self.source, list(self.sources))
        pair = self.sigma_min, self.sigma_max
        if sum(number is not None for number in pair) != (2 if self.table is None else 0):
            raise SettingsError(
                f"sigma_min = {pair[0]}, sigma_max = {pair[1]}, table = {self.table}: give both "
                "numbers (sigma_max=0 switches locality off), or a table, not a part of each."
            )


def annotate(settings: AnnotateSettings) -> None:
    """Write per-episode thresholds into stores, all checked before the first is written."""
    stores = open_stores(settings)
    names = choose_sources(settings.source, list(stores))
    check_apart({name: stores[name] for name in names}, settings)
    normalizers = build_normalizers(settings, counted_sources(settings, stores)).of_source
    tasks = []
    for name in names:
        low, high = thresholds_of(settings, name, len(stores[name])).T
        annotation = Annotation(low, high, normalizers[name].fingerprint)
        tasks.append((stores[name].path.absolute(), annotation))
    with open_jobs(settings.jobs) as jobs:
        for k, _ in jobs.each(annotate_store, tasks):
            Screen().print(
                f"{stores[names[k]].path}: {len(stores[names[k]])} episodes annotated under "
                f"normaliser {normalizers[names[k]].fingerprint}; trainings use it where the "
                f"source is suboptimal and says no threshold of its own",
            )


def counted_sources(settings: DataSettings, stores: Mapping[str, Store]) -> list[Source]:
    """What the normalisers are made of; bounds look at no numbers, whichever episodes teach."""
    if settings.normalizer.kind is NormalizerKind.bounds:
        return [Source(name, SourceSettings(str(s.path)), s) for name, s in stores.items()]
    return [Source(name, settings.sources[name], store) for name, store in stores.items()]


def choose_sources(source: Any, names: Sequence[str]) -> list[str]:
    """The names of the sources to annotate."""
    chosen = [source] if isinstance(source, str) else source
    if chosen == ["all"] and "all" not in names:
        return list(names)
    if not isinstance(chosen, list) or not chosen or len({*map(str, chosen)}) < len(chosen):
        raise SettingsError(f"source = {source}: give a name, a list of different names, or all.")
    for name in chosen:
        if name not in names:
            raise unknown("source", str(name), names)
    return chosen


def check_apart(stores: Mapping[str, Store], settings: AnnotateSettings) -> None:
    """Refuse what cannot be said of several stores at once."""
    if len({store.path.resolve() for store in stores.values()}) < len(stores):
        raise SettingsError(f"{', '.join(stores)} share a store: annotate it as one of them.")
    if settings.table is not None and len(stores) > 1:
        raise SettingsError(
            f"table = {settings.table} is of one store, and source names {', '.join(stores)}: "
            "annotate one at a time."
        )


def thresholds_of(settings: AnnotateSettings, source: str, episodes: int) -> NDArray[np.float64]:
    """(E,2) sigma_min and sigma_max of a source's episodes.

    Raises:
        SettingsError: naming what cannot be read or does not fit the store.
    """
    if settings.table is not None:
        return _read(settings.table, source, episodes)
    levels = settings.noise.schedule_levels()
    pair = [resolve_sigma(k, getattr(settings, k), levels) for k in ("sigma_min", "sigma_max")]
    return np.tile(pair, (episodes, 1))


def _cell(text: str) -> float:
    return float(INFINITE.get(text.strip().lower(), text))


def _read(file: str, source: str, episodes: int) -> NDArray[np.float64]:
    try:
        table = np.loadtxt(file, delimiter=",", ndmin=2, encoding="utf-8", converters=_cell)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"table = {file} cannot be read: {str(error).rstrip('.')}. Write one line per episode "
            "and no heading: sigma_min, a comma, sigma_max."
        ) from error
    if table.shape != (episodes, 2):
        raise SettingsError(
            f"table = {file} has shape {table.shape}, but the store of '{source}' has {episodes} "
            "episodes: give one line of two numbers for each."
        )
    return table
