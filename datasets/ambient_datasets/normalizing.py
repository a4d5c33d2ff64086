"""The normaliser that the settings ask for, fitted on what the network will learn.

Absolute actions are fitted as they lie in the stores, one value for each control step. Relative
and delta actions exist only within windows: they are fitted over the chunks of all windows, block
by block, so that memory does not grow with the data.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ambient_datasets.store import Store
from ambient_policy.actions import Representation, origin_columns, represent
from ambient_policy.horizons import Horizons
from ambient_policy.normalize import Affine, Normalizer, check_bounds
from ambient_policy.settings import (
    ActionSettings,
    BoundsSettings,
    NormalizerKind,
    NormalizerSettings,
)

BLOCK = 65536  # windows at a time
Table = NDArray[np.floating[Any]]


def build_normalizer(
    settings: NormalizerSettings,
    stores: Sequence[Store],
    horizons: Horizons,
    actions: ActionSettings,
) -> Normalizer:
    """The maps of observations and represented actions, over all episodes of all stores.

    Bounds of relative and delta actions are a unit: half their width, around 0.

    Raises:
        SettingsError: for bounds or an origin that do not fit the data.
    """
    observations = np.concatenate([store.observations() for store in stores])
    seen = _affine(settings.kind, settings.observations, [observations], "observations")
    if actions.representation is Representation.absolute:
        commanded = np.concatenate([store.actions() for store in stores])
        return Normalizer(seen, _affine(settings.kind, settings.actions, [commanded], "actions"))
    learned = _Chunks(stores, horizons, actions)
    unit = _affine(settings.kind, settings.actions, learned, "actions")
    if settings.kind is NormalizerKind.bounds:
        unit = Affine((0.0,) * len(unit.scale), unit.scale)
    return Normalizer(seen, unit, actions.representation)


class _Chunks:
    """Represented actions of every window, (n Tp, A) at a time; iterable again and again."""

    def __init__(self, stores: Sequence[Store], horizons: Horizons, actions: ActionSettings):
        self._stores, self._horizons, self._actions = stores, horizons, actions

    def __iter__(self) -> Iterator[Table]:
        for store in self._stores:
            for first in range(0, len(store.actions()), BLOCK):
                yield self._block(store, first)

    def _block(self, store: Store, first: int) -> Table:
        kind, names = self._actions.representation, store.attributes
        columns = origin_columns(
            kind, self._actions.origin, names.observation_names, names.action_names
        )
        t = np.arange(first, min(first + BLOCK, len(store.actions())))
        last = store.episode_ends[np.searchsorted(store.episode_ends, t, side="right")] - 1
        rows = np.minimum(t[:, None] + self._horizons.predicted, last[:, None])
        origin = torch.from_numpy(store.observations()[t[:, None], columns][:, None])
        chunks = represent(kind, torch.from_numpy(store.actions()[rows]), origin)
        return chunks.flatten(0, 1).numpy()


def _affine(
    kind: NormalizerKind, bounds: BoundsSettings, blocks: Iterable[Table], name: str
) -> Affine:
    if kind is NormalizerKind.bounds:
        dimensions = next(iter(blocks)).shape[1]
        check_bounds(bounds.low, bounds.high, dimensions, name)
        return Affine.from_range(bounds.low, bounds.high)
    low = np.min([block.min(axis=0) for block in blocks], axis=0)
    high = np.max([block.max(axis=0) for block in blocks], axis=0)
    if kind is NormalizerKind.range:
        return Affine.from_range(low, high)
    mean, deviation = _moments(blocks)
    return Affine.from_moments(mean, np.where(low < high, deviation, 0.0))


def _moments(blocks: Iterable[Table]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation in two passes: the second measures around the first's mean."""
    count = sum(len(block) for block in blocks)
    mean = np.sum([block.sum(axis=0, dtype=np.float64) for block in blocks], axis=0) / count
    square = np.sum([((block - mean) ** 2).sum(axis=0) for block in blocks], axis=0) / count
    return mean, np.sqrt(square)
