"""The normalisers that the settings ask for, fitted on what the network will learn.

Only episodes that teach are counted: none beyond ``max_episodes`` or ``max_train_episodes``, none
held out, so that a validation is of numbers that nothing of the training has seen.

Absolute actions are fitted as they lie in the stores, one value for each control step. Relative
and delta actions exist only within windows: they are fitted over the chunks of all windows, block
by block, so that memory does not grow with the data. Nor does it with the number of stores: what
is counted of one is merged into that of all, or made a map, before the next is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray

from ambient_datasets.source import Source
from ambient_datasets.statistics import Statistics, table_statistics
from ambient_datasets.store import Attributes, Store
from ambient_datasets.union import unite
from ambient_datasets.units import Units, remarks, side_by_side, units_of
from ambient_policy.actions import Representation, origin_columns, own_origin_columns, represent
from ambient_policy.horizons import Horizons
from ambient_policy.normalize import Affine, Normalizer, check_bounds
from ambient_policy.settings import (
    ActionSettings,
    DataSettings,
    NormalizerKind,
    NormalizerSettings,
    StatisticsOf,
)

BLOCK = 65536  # windows at a time
Columns = Mapping[str, tuple[str, ...]]  # the names of each source's own, by its name
Count = Callable[[str], Statistics]  # by the name of a source


@dataclass(frozen=True)
class Normalizers:
    """Those of a mixture.

    Attributes:
        of_source: by the name of the source.
        remarks: on columns that hardly move, or whose extremes lie far outside of their unit.
    """

    of_source: dict[str, Normalizer]
    remarks: tuple[str, ...] = ()


def build_normalizers(settings: DataSettings, sources: Sequence[Source]) -> Normalizers:
    """The maps of each source's own observations and represented actions, of episodes that teach.

    Bounds of relative and delta actions are a unit: half their width, around 0.

    Args:
        settings: which maps, of windows of which horizons, of actions represented how; bounds and
            origins are for the columns of all sources together.
        sources: all of other names.

    Raises:
        SettingsError: for bounds or an origin that do not fit the data, or if it is not said whose
            statistics count.
        DataError: for a column whose quantiles make no map.
    """
    kinds, representation = settings.normalizer, settings.actions.representation
    stores = {source.name: source.store for source in sources}
    kinds.check_sources(list(stores))
    whole = unite(stores, settings.dimensions)
    origins = _origins(settings.actions, stores, whole)
    own = [
        {name: getattr(store.attributes, part) for name, store in stores.items()}
        for part in ("observation_names", "action_names")
    ]
    if kinds.kind is NormalizerKind.bounds:
        seen = _bounded(kinds, "observations", whole.observation_names, own[0])
        learned = _bounded(kinds, "actions", whole.action_names, own[1])
        if representation is not Representation.absolute:
            learned = {name: Affine((0.0,) * len(a.scale), a.scale) for name, a in learned.items()}
        return Normalizers(_together(representation, seen, learned))
    counts = _counts(settings, sources, origins)
    fits = [_fitted(kinds, *part) for part in zip(own, counts, strict=True)]
    seen, learned = ({name: units.affine for name, units in fit.items()} for fit in fits)
    return Normalizers(_together(representation, seen, learned), tuple(_remarks(kinds, *fits)))


def _together(
    representation: Representation, seen: Mapping[str, Affine], learned: Mapping[str, Affine]
) -> dict[str, Normalizer]:
    return {name: Normalizer(seen[name], learned[name], representation) for name in seen}


def _remarks(
    settings: NormalizerSettings, seen: Mapping[str, Units], learned: Mapping[str, Units]
) -> Iterator[str]:
    """Once for all sources, or for each, as their statistics are."""
    for part, fit in (("observations", seen), ("actions", learned)):
        if settings.statistics is not StatisticsOf.source:
            yield from (f"{part} {text}" for text in remarks(settings, list(fit.values())))
            continue
        for name, units in fit.items():
            yield from (f"{part} of {name}: {text}" for text in remarks(settings, [units]))


def _origins(
    actions: ActionSettings, stores: Mapping[str, Store], whole: Attributes
) -> dict[str, list[int]]:
    """Among each source's own observations, what its own actions are counted from."""
    kind, origin = actions.representation, actions.origin
    origin_columns(kind, origin, whole.observation_names, whole.action_names)
    return {
        name: own_origin_columns(
            kind,
            origin,
            whole.action_names,
            store.attributes.observation_names,
            store.attributes.action_names,
            name,
        )
        for name, store in stores.items()
    }


def _counts(
    settings: DataSettings, sources: Sequence[Source], origins: Mapping[str, list[int]]
) -> tuple[Count, Count]:
    """What counts a source's observations, and what its represented actions."""
    kind = settings.actions.representation
    sketch = settings.normalizer.kind is NormalizerKind.quantiles
    named = {source.name: source for source in sources}

    def observed(name: str) -> Statistics:
        source = named[name]
        return table_statistics(source.store.observation_table, source.taught_rows, sketch=sketch)

    def acted(name: str) -> Statistics:
        source = named[name]
        if kind is Representation.absolute:
            return table_statistics(source.store.action_table, source.taught_rows, sketch=sketch)
        chunks = _chunks(source, origins[name], settings.horizons, kind)
        return Statistics.of_blocks(chunks, sketch=sketch)

    return observed, acted


def _chunks(
    source: Source, origin: list[int], horizons: Horizons, kind: Representation
) -> Iterator[NDArray[np.float32]]:
    """Represented actions of every window that teaches, (n Tp, A) at a time."""
    store, taught = source.store, np.flatnonzero(source.taught_rows)
    observations, actions = store.observation_table, store.action_table
    for first in range(0, len(taught), BLOCK):
        t = taught[first : first + BLOCK]
        last = store.episode_ends[np.searchsorted(store.episode_ends, t, side="right")] - 1
        rows = np.minimum(t[:, None] + horizons.predicted, last[:, None])
        here = torch.from_numpy(observations.read(t)[:, None, origin])
        yield represent(kind, torch.from_numpy(actions.read(rows)), here).flatten(0, 1).numpy()


def _bounded(
    settings: NormalizerSettings, part: str, whole: Sequence[str], own: Columns
) -> dict[str, Affine]:
    """Of each source the bounds of its own columns."""
    bounds = settings.actions if part == "actions" else settings.observations
    check_bounds(bounds.low, bounds.high, whole, part)
    unit = Affine.from_range(bounds.low, bounds.high)
    position = {name: i for i, name in enumerate(whole)}
    return {name: unit.take([position[c] for c in columns]) for name, columns in own.items()}


def _fitted(settings: NormalizerSettings, own: Columns, count: Count) -> dict[str, Units]:
    """Of each source the units that its own, or everyone's, numbers make of its own columns.

    Args:
        settings: which map, and whose numbers.
        own: the columns of each source.
        count: the statistics of one; asked once for each, and no longer held than needed.
    """
    if settings.statistics is StatisticsOf.source:
        return {name: units_of(settings, count(name), columns) for name, columns in own.items()}
    alike: dict[tuple[str, ...], Statistics] = {}  # merged whole where the columns are the same
    for name, columns in own.items():
        known = alike.get(columns)
        alike[columns] = count(name) if known is None else known.merge(count(name))
    if len(alike) == 1:
        ((columns, merged),) = alike.items()
        return dict.fromkeys(own, units_of(settings, merged, columns))
    units = {c: units_of(settings, _of_column(alike, c), [c]) for group in alike for c in group}
    return {name: side_by_side([units[c] for c in columns]) for name, columns in own.items()}


def _of_column(groups: Mapping[tuple[str, ...], Statistics], column: str) -> Statistics:
    """Merged over all that have it."""
    parts = (s.take([names.index(column)]) for names, s in groups.items() if column in names)
    return reduce(Statistics.merge, parts)
