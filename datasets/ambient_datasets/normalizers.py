"""The normalisers that the settings ask for, fitted on what the network will learn.

Absolute actions are fitted as they lie in the stores, one value for each control step. Relative
and delta actions exist only within windows: they are fitted over the chunks of all windows, block
by block, so that memory does not grow with the data. Nor does it with the number of stores: what
is counted of one is merged into that of all, or made a map, before the next is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray

from ambient_datasets.statistics import Statistics, table_statistics
from ambient_datasets.store import Attributes, Store
from ambient_datasets.union import unite
from ambient_policy.actions import Representation, origin_columns, own_origin_columns, represent
from ambient_policy.errors import DataError
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


def build_normalizers(settings: DataSettings, stores: Mapping[str, Store]) -> dict[str, Normalizer]:
    """The maps of each source's own observations and represented actions, over all its episodes.

    Bounds of relative and delta actions are a unit: half their width, around 0.

    Args:
        settings: which maps, of windows of which horizons, of actions represented how; bounds and
            origins are for the columns of all sources together.
        stores: by the name of their source.

    Raises:
        SettingsError: for bounds or an origin that do not fit the data, or if it is not said whose
            statistics count.
        DataError: for a column whose quantiles make no map.
    """
    kinds, representation = settings.normalizer, settings.actions.representation
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
    else:
        _check_filled(stores)
        counts = _counts(settings, stores, origins)
        seen, learned = (_fitted(kinds, *part) for part in zip(own, counts, strict=True))
    return {name: Normalizer(seen[name], learned[name], representation) for name in stores}


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
    settings: DataSettings, stores: Mapping[str, Store], origins: Mapping[str, list[int]]
) -> tuple[Count, Count]:
    """What counts a source's observations, and what its represented actions."""
    kind, sketch = (
        settings.actions.representation,
        settings.normalizer.kind is NormalizerKind.quantiles,
    )

    def observed(name: str) -> Statistics:
        return table_statistics(stores[name].observation_table, sketch=sketch)

    def acted(name: str) -> Statistics:
        if kind is Representation.absolute:
            return table_statistics(stores[name].action_table, sketch=sketch)
        chunks = _chunks(stores[name], origins[name], settings.horizons, kind)
        return Statistics.of_blocks(chunks, sketch=sketch)

    return observed, acted


def _check_filled(stores: Mapping[str, Store]) -> None:
    for store in stores.values():
        if not len(store):
            raise DataError(f"{store.path}: no episodes yet. Collect some first.")


def _chunks(
    store: Store, origin: list[int], horizons: Horizons, kind: Representation
) -> Iterator[NDArray[np.float32]]:
    """Represented actions of every window, (n Tp, A) at a time."""
    observations, actions = store.observation_table, store.action_table
    for first in range(0, actions.shape[0], BLOCK):
        t = np.arange(first, min(first + BLOCK, actions.shape[0]))
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


def _fitted(settings: NormalizerSettings, own: Columns, count: Count) -> dict[str, Affine]:
    """Of each source the map that its own, or everyone's, numbers make of its own columns.

    Args:
        settings: which map, and whose numbers.
        own: the columns of each source.
        count: the statistics of one; asked once for each, and no longer held than needed.
    """
    if settings.statistics is StatisticsOf.source:
        return {name: _affine(settings, count(name), columns) for name, columns in own.items()}
    alike: dict[tuple[str, ...], Statistics] = {}  # merged whole where the columns are the same
    for name, columns in own.items():
        known = alike.get(columns)
        alike[columns] = count(name) if known is None else known.merge(count(name))
    if len(alike) == 1:
        ((columns, merged),) = alike.items()
        return dict.fromkeys(own, _affine(settings, merged, columns))
    maps = {c: _affine(settings, _of_column(alike, c), [c]) for group in alike for c in group}
    return {name: _side_by_side([maps[c] for c in columns]) for name, columns in own.items()}


def _of_column(groups: Mapping[tuple[str, ...], Statistics], column: str) -> Statistics:
    """Merged over all that have it."""
    parts = (s.take([names.index(column)]) for names, s in groups.items() if column in names)
    return reduce(Statistics.merge, parts)


def _side_by_side(maps: Sequence[Affine]) -> Affine:
    return Affine(
        tuple(number for each in maps for number in each.center),
        tuple(number for each in maps for number in each.scale),
    )


def _affine(settings: NormalizerSettings, statistics: Statistics, names: Sequence[str]) -> Affine:
    if settings.kind is NormalizerKind.moments:
        return Affine.from_moments(statistics.mean, statistics.deviation)
    low, high = statistics.low.tolist(), statistics.high.tolist()
    if settings.kind is NormalizerKind.range:
        return Affine.from_range(low, high)
    shares = settings.low_quantile, settings.high_quantile
    below, above = (statistics.quantile(share).tolist() for share in shares)
    for i, name in enumerate(names):
        if below[i] == above[i] and low[i] < high[i]:
            raise DataError(
                f"normalizer.kind = quantiles: of '{name}' the quantiles {shares[0]} and "
                f"{shares[1]} are both {below[i]:g}, though its values go from {low[i]:g} to "
                f"{high[i]:g}: they make no unit. Choose normalizer.kind=range, or other quantiles."
            )
    return Affine.from_range(below, above)
