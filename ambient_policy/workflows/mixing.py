"""From settings to demonstrations: stores, sources, mixture, sampler."""

import numpy as np

from ambient_datasets.formats import open_any
from ambient_datasets.mixture import Mixture
from ambient_datasets.normalizing import build_normalizers
from ambient_datasets.source import Source, resolve_source
from ambient_datasets.store import Store
from ambient_datasets.union import Bodies, embody, unite
from ambient_policy.ambient.admission import Admission, buffer_factor
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.diffusion.law import Law
from ambient_policy.errors import SettingsError
from ambient_policy.settings import (
    RunSettings,
    SourceSettings,
    Tables,
    Trust,
)


def open_source(name: str, source: SourceSettings, tables: Tables = Tables.memory) -> Store:
    """The store of a source, described by itself or by the settings."""
    if not source.path:
        raise SettingsError(f"sources.{name}.path is empty; name the folder of its store.")
    return open_any(source, tables)


def resolve_sources(settings: RunSettings) -> tuple[list[Source], Bodies]:
    """The sources, each trusted as the settings say, and whose dimensions they have."""
    if not settings.sources:
        raise SettingsError(
            "the config names no sources; choose a data config, e.g. data=maze, or give a list, "
            "e.g. mixture=[{path: data/maze/gcs.zarr, trust: trusted}]."
        )
    stores = {n: open_source(n, source, settings.tables) for n, source in settings.sources.items()}
    whole = unite(stores, settings.dimensions)
    normalizers = build_normalizers(
        settings.normalizer, stores, whole, settings.horizons, settings.actions
    )
    sources = [
        resolve_source(
            name,
            stores[name],
            trust=source.trust,
            fingerprint=normalizers[name].fingerprint,
            weight=source.weight,
            max_episodes=source.max_episodes,
            sigma_min=source.sigma_min,
            sigma_max=source.sigma_max,
            held_out=source.held_out,
            max_train_episodes=source.max_train_episodes,
        )
        for name, source in settings.sources.items()
    ]
    return sources, embody(stores, normalizers, whole)


def build_mixture(settings: RunSettings) -> tuple[Mixture, Bodies]:
    """The sources joined, each trusted as the settings say, and whose dimensions they have."""
    sources, bodies = resolve_sources(settings)
    return Mixture.join(sources, settings.cameras, settings.dimensions), bodies


def build_sampler(settings: RunSettings, mixture: Mixture) -> Sampler:
    """Sigma first, from the training law."""
    loss, law = settings.loss, settings.noise.training_law()
    check_reach(settings, law)
    return Sampler(
        Admission(mixture.sigma_min, mixture.sigma_max, loss.ambient, loss.s_max),
        mixture.episode_starts,
        mixture.episode_lengths,
        mixture.window_weight,
        law,
    )


def check_reach(settings: RunSettings, law: Law) -> None:
    """Refuse a threshold above which training never goes: that source would silently teach nothing.

    Raises:
        SettingsError: naming the source and the highest level of training.
    """
    loss = settings.loss
    factor = buffer_factor(loss.s_max) if loss.ambient else 1.0
    for name, source in settings.sources.items():
        low = source.sigma_min if source.trust is Trust.bounds else 0.0
        if law.sigma_hi <= low * factor < np.inf:
            buffered = f" (times {factor:.4g}, of loss.s_max)" if factor > 1 else ""
            raise SettingsError(
                f"sources.{name}.sigma_min = {low:g}{buffered} does not lie below {law.sigma_hi:g},"
                " the highest level of training, so it would never teach above it. Lower it, or "
                f"say so: sources.{name}.sigma_min=inf (to teach nothing at all: trust=rejected)."
            )
