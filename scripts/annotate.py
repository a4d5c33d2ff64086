"""Write into a store what each episode may teach, bound to the normaliser of its data config.

``python scripts/annotate.py source=suboptimal sigma_min=0.27 sigma_max=0``: for all episodes;
``sigma_min={step:3}`` and ``{vp:0.074}`` are other ways to write a level.
``python scripts/annotate.py source=suboptimal table=thresholds.csv``: a line
``sigma_min,sigma_max`` for each, in order; ``inf`` is a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console

from ambient_datasets.normalizing import build_normalizer
from ambient_datasets.store import Annotation, annotate_store
from ambient_policy.errors import unknown
from ambient_policy.horizons import Horizons
from ambient_policy.settings import ActionSettings, NormalizerSettings, SourceSettings
from assemble import open_source
from compose import compose, register, run
from thresholds import ThresholdSettings, resolve_thresholds


@dataclass
class AnnotateSettings(ThresholdSettings):
    """Which store, which thresholds."""

    # one of the sources of the data config
    source: str = "???"
    sources: dict[str, SourceSettings] = field(default_factory=dict)
    normalizer: NormalizerSettings = field(default_factory=NormalizerSettings)
    # as in training: the normaliser is fitted on what the network learns
    horizons: Horizons = field(default_factory=Horizons)
    actions: ActionSettings = field(default_factory=ActionSettings)


register("annotate_settings", AnnotateSettings)


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
    low, high = resolve_thresholds(settings, settings.source, len(store)).T
    annotate_store(store.path, Annotation(low, high, normalizer.fingerprint))
    Console().print(
        f"{store.path}: {len(store)} episodes annotated under normaliser {normalizer.fingerprint}; "
        f"use them with sources.{settings.source}.trust=annotated",
        highlight=False,
    )


if __name__ == "__main__":
    run(main)
