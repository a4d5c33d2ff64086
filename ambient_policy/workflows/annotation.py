"""Write into stores what each episode may teach, bound to the normaliser of their data config.

``python scripts/annotate.py source=suboptimal sigma_min=0.27 sigma_max=0``: for all episodes;
``sigma_min={step:3}`` and ``{vp:0.074}`` are other ways to write a level.
``python scripts/annotate.py source=suboptimal table=thresholds.csv``: a line
``sigma_min,sigma_max`` for each, in order; ``inf`` is a number.
``source=[a,b]`` or ``source=all``: several stores, with ``jobs.workers=4`` at once, with
``jobs.where=ray`` on a Ray cluster. Whatever is wrong with any of them is said before the first is
written.

``data=`` is that of the training, with its ``mixture`` if it has one; where the training's
experiment or command line changes ``normalizer``, ``dimensions``, ``horizons`` or ``actions``, say
the same here: the normaliser depends on them, and training refuses an annotation under another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from ambient_datasets.normalizing import build_normalizers
from ambient_datasets.store import Annotation, Store, annotate_store
from ambient_datasets.union import unite
from ambient_policy.errors import SettingsError, unknown
from ambient_policy.horizons import Horizons
from ambient_policy.jobs import JobSettings, open_jobs
from ambient_policy.settings import (
    ActionSettings,
    Tables,
)
from ambient_policy.workflows.data_config import DataConfig
from ambient_policy.workflows.mixing import open_source
from ambient_policy.workflows.thresholds import ThresholdSettings, resolve_thresholds


@dataclass
class AnnotateSettings(ThresholdSettings, DataConfig):
    """Which stores, which thresholds."""

    # of the sources of the data config one, a list, or all
    source: Any = "???"
    # memory, or disk where the demonstrations are larger than it
    tables: Tables = Tables.memory
    # as in training: the normaliser is fitted on what the network learns
    horizons: Horizons = field(default_factory=Horizons)
    actions: ActionSettings = field(default_factory=ActionSettings)
    # how many are written at once, and where
    jobs: JobSettings = field(default_factory=lambda: JobSettings(workers=1))


def choose(given: Any, sources: Sequence[str]) -> list[str]:
    """The names of the sources to annotate."""
    names = [given] if isinstance(given, str) else given
    if names == ["all"] and "all" not in sources:
        return list(sources)
    if not isinstance(names, list) or not names or len({*map(str, names)}) < len(names):
        raise SettingsError(f"source = {given}: give a name, a list of different names, or all.")
    for name in names:
        if name not in sources:
            raise unknown("source", str(name), sources)
    return names


def check_apart(stores: Mapping[str, Store], settings: AnnotateSettings) -> None:
    """Refuse what cannot be said of several stores at once."""
    if len({store.path.resolve() for store in stores.values()}) < len(stores):
        raise SettingsError(f"{', '.join(stores)} share a store: annotate it as one of them.")
    if settings.table is not None and len(stores) > 1:
        raise SettingsError(
            f"table = {settings.table} is of one store, and {', '.join(stores)} were given: "
            "annotate one at a time."
        )


def tell_use(name: str, settings: AnnotateSettings) -> str:
    """What a training must say to heed the annotation of a source."""
    if name in settings.sources:
        return f"sources.{name}.trust=annotated"
    return "trust: annotated in its entry of mixture, without sigma_min and sigma_max"


def annotate(settings: AnnotateSettings) -> None:
    """Check, write."""
    sources = settings.all_sources()
    names = choose(settings.source, list(sources))
    stores = {name: open_source(name, source, settings.tables) for name, source in sources.items()}
    check_apart({name: stores[name] for name in names}, settings)
    normalizers = build_normalizers(
        settings.normalizer,
        stores,
        unite(stores, settings.dimensions),
        settings.horizons,
        settings.actions,
    )
    tasks = []
    for name in names:
        low, high = resolve_thresholds(settings, name, len(stores[name])).T
        annotation = Annotation(low, high, normalizers[name].fingerprint)
        tasks.append((stores[name].path.absolute(), annotation))
    with open_jobs(settings.jobs) as jobs:
        for k, _ in jobs.each(annotate_store, tasks):
            Console().print(
                f"{stores[names[k]].path}: {len(stores[names[k]])} episodes annotated under "
                f"normaliser {normalizers[names[k]].fingerprint}; use them with "
                f"{tell_use(names[k], settings)}",
                highlight=False,
            )
