"""Normalisers of represented actions: the same as taking every window's chunk by hand."""

from pathlib import Path

import numpy as np
import pytest

from ambient_datasets import normalizers
from ambient_datasets.normalizers import build_normalizers
from ambient_datasets.store import Attributes, Episode, Store
from ambient_policy.actions import Representation
from ambient_policy.errors import SettingsError
from ambient_policy.horizons import Horizons
from ambient_policy.normalize import Normalizer
from ambient_policy.settings import (
    ActionSettings,
    BoundsSettings,
    DataSettings,
    NormalizerKind,
    NormalizerSettings,
    StatisticsOf,
)
from tests.datasets.stores import write_store

HORIZONS = Horizons(obs=2, pred=4, act=2)
BOUNDS = BoundsSettings(low=[0, -2], high=[4, 2])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    names, units = ("x", "y"), ("m", "m")
    attributes = Attributes("toy", "test", 10.0, names, units, ("a", "b"), units)
    random, episodes = np.random.default_rng(0), []
    for length in (1, 3, 9):
        seen = random.normal(size=(length, 2)).astype(np.float32)
        commanded = np.stack([seen[:, 0] + 1, np.full(length, 0.1)], axis=1)
        episodes.append(Episode(observations=seen, actions=commanded))
    return write_store(tmp_path / "store.zarr", attributes, episodes)


def chunks(store: Store, kind: Representation) -> np.ndarray:
    """(N Tp, A), window by window."""
    collected = []
    for first, last in zip([0, *store.episode_ends[:-1]], store.episode_ends, strict=True):
        for t in range(first, last):
            before = store.observations()[t].astype(np.float64)
            for k in range(HORIZONS.pred):
                action = store.actions()[min(t + k, last - 1)].astype(np.float64)
                collected.append(action - before)
                before = action if kind is Representation.delta else before
    return np.array(collected)


def fit(
    store: Store, kind: Representation, normalizer: NormalizerKind, bounds: BoundsSettings = BOUNDS
) -> Normalizer:
    origin = [] if kind is Representation.absolute else ["x", "y"]
    statistics = None if normalizer is NormalizerKind.bounds else StatisticsOf.joint
    settings = DataSettings(
        normalizer=NormalizerSettings(normalizer, statistics, BOUNDS, bounds),
        horizons=HORIZONS,
        actions=ActionSettings(kind, origin),
    )
    fitted = build_normalizers(settings, {"one": store, "two": store})
    assert fitted["one"] == fitted["two"]
    return fitted["one"]


@pytest.mark.parametrize("kind", [Representation.relative, Representation.delta])
def test_fits_what_the_network_learns(
    store: Store, kind: Representation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalizers, "BLOCK", 4)  # several blocks, episodes across them
    values = chunks(store, kind)
    moments = fit(store, kind, NormalizerKind.moments).actions
    np.testing.assert_allclose(moments.center, values.mean(0), atol=1e-6)
    np.testing.assert_allclose(moments.scale, values.std(0), rtol=1e-5)
    extent = fit(store, kind, NormalizerKind.range).actions
    np.testing.assert_allclose(extent.center, (values.min(0) + values.max(0)) / 2, atol=1e-6)
    np.testing.assert_allclose(extent.scale, (values.max(0) - values.min(0)) / 2, rtol=1e-5)


def test_absolute_actions_are_fitted_as_they_lie(store: Store) -> None:
    moments = fit(store, Representation.absolute, NormalizerKind.moments).actions
    np.testing.assert_allclose(moments.center, store.actions().mean(0), atol=1e-6)
    np.testing.assert_allclose(moments.scale[0], store.actions()[:, 0].std(), rtol=1e-5)
    assert moments.scale[1] == 1.0  # 0.1 throughout: rounding must not become a deviation


def test_bounds_of_counted_actions_are_a_unit(store: Store) -> None:
    assert fit(store, Representation.absolute, NormalizerKind.bounds).actions.center == (2.0, 0.0)
    relative = fit(store, Representation.relative, NormalizerKind.bounds).actions
    assert relative.center == (0.0, 0.0)
    assert relative.scale == (2.0, 2.0)


def test_refusals(store: Store) -> None:
    short = BoundsSettings(low=[0], high=[1])
    with pytest.raises(SettingsError, match=r"normalizer.actions: low has 1 and high 1 numbers"):
        fit(store, Representation.delta, NormalizerKind.bounds, short)
