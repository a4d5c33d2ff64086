"""Sources and mixtures of opened stores, for tests that need no run."""

from collections.abc import Sequence
from typing import Any

from ambient_datasets.mixture import Mixture
from ambient_datasets.source import Source
from ambient_datasets.store import Store
from ambient_policy.settings import (
    ArmSettings,
    NormalizerSettings,
    RunSettings,
    SourceSettings,
    StatisticsOf,
)

LOCALITY = {"suboptimal": "above_or_below"}


def make_source(name: str, store: Store, **settings: Any) -> Source:
    """A store as a source of the mixture; keywords are those of its settings."""
    return Source(name, SourceSettings(path=str(store.path), **settings), store)


def of_run(sources: Sequence[Source], arm: Any = None, **settings: Any) -> RunSettings:
    """A run on the sources under an arm, ambient_locality where none is named."""
    return RunSettings(
        sources={source.name: source.settings for source in sources},
        normalizer=NormalizerSettings(statistics=StatisticsOf.joint),
        arm=ArmSettings(**(LOCALITY if arm is None else arm)),
        **settings,
    )


def join_sources(
    sources: Sequence[Source], fingerprint: str = "1234", arm: Any = None, **settings: Any
) -> Mixture:
    """Their mixture in a run whose normalisers have this fingerprint."""
    return Mixture.join(sources, of_run(sources, arm, **settings), [fingerprint] * len(sources))
