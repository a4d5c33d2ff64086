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


def join_sources(
    sources: Sequence[Source], fingerprint: str = "1234", arm: Any = None, **settings: Any
) -> Mixture:
    """Their mixture under an arm (ambient_locality where none is said) of a run."""
    run = RunSettings(
        sources={source.name: source.settings for source in sources},
        normalizer=NormalizerSettings(statistics=StatisticsOf.joint),
        arm=ArmSettings(**(LOCALITY if arm is None else arm)),
        **settings,
    )
    return Mixture.join(sources, run, [fingerprint] * len(sources))
