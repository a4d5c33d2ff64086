"""Normalisers of represented actions: the same as taking every window's chunk by hand."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets import normalizers
from ambient_datasets.normalizers import Normalizers, build_normalizers
from ambient_datasets.store import Attributes, Episode, Store
from ambient_policy.actions import Representation
from ambient_policy.errors import DataError, SettingsError
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
from tests.datasets.mixtures import make_source
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
    sources = [make_source(name, store) for name in ("one", "two")]
    fitted = build_normalizers(settings, sources).of_source
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


def hardly_moves(path: Path, noise: float, rare: float = 0.0) -> Store:
    """Sines, beside a locked joint with noise that moves in 0.5 % of the rows."""
    random, t = np.random.default_rng(0), np.arange(4000)
    values = np.stack([np.sin(t / 9), 0.3 + noise * random.standard_normal(4000)], axis=1)
    values[100:120, 1] += rare
    attributes = Attributes("toy", "test", 10.0, ("x", "lock"), ("", ""), ("a", "b"), ("", ""))
    part = values.astype(np.float32)
    episodes = [Episode(part[i : i + 1000], part[i : i + 1000]) for i in range(0, 4000, 1000)]
    return write_store(path / f"{noise}-{rare}.zarr", attributes, episodes)


def build(store: Store, kind: str, source: dict[str, Any] | None = None, **of: Any) -> Normalizers:
    settings = DataSettings(normalizer=NormalizerSettings(kind, **of), horizons=HORIZONS)
    return build_normalizers(settings, [make_source("one", store, **source or {})])


@pytest.mark.parametrize("kind", ["range", "quantiles", "moments"])
def test_what_hardly_moves_keeps_its_unit_and_is_named(tmp_path: Path, kind: str) -> None:
    store = hardly_moves(tmp_path, 1e-6)
    built = build(store, kind)
    seen = built.of_source["one"].observations
    assert seen.scale[1] == 1.0 and seen.center[1] == pytest.approx(0.3, abs=1e-5)
    width = "deviation" if kind == "moments" else "range"
    assert [text.split(" (")[0] for text in built.remarks] == ["observations lock", "actions b"]
    assert f"({width} " in built.remarks[0] and "smallest_range = 0.0001" in built.remarks[0]
    if kind != "quantiles":  # whose histogram is too coarse for them
        scaled = build(store, kind, smallest_range=0.0)
        assert scaled.of_source["one"].observations.scale[1] < 1e-5 and not scaled.remarks


def test_a_floor_is_a_number_in_the_unit_of_the_column() -> None:
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(SettingsError, match=r"smallest_range = .* at least 0"):
            NormalizerSettings(smallest_range=wrong)


def test_extremes_far_outside_of_the_quantiles_are_told(tmp_path: Path) -> None:
    """Noise of 1e-4 and a rare motion of 0.5: 1000 units, so squares of 1e6 in the loss."""
    store = hardly_moves(tmp_path, 1e-4, rare=0.5)
    told = build(store, "quantiles").remarks[1]
    assert re.match(r"actions b \(2\d\d\d units\): extremes far outside of the quantiles", told)
    assert "squares up to 4." in told and "normalizer.kind=range" in told
    assert not build(store, "range").remarks
    assert "of the deviation" in build(store, "moments").remarks[0]
    with pytest.raises(DataError, match=r"of 'lock' the quantiles .* though its values go from"):
        build(hardly_moves(tmp_path, 1e-6, rare=0.5), "quantiles")


@pytest.mark.parametrize("kind", [Representation.absolute, Representation.relative])
@pytest.mark.parametrize(
    "source", [{"max_episodes": 2}, {"max_train_episodes": 1}, {"val_ratio": 0.4}]
)
def test_only_what_teaches_is_counted(
    store: Store, kind: Representation, source: dict[str, Any], tmp_path: Path
) -> None:
    origin = [] if kind is Representation.absolute else ["x", "y"]
    actions = ActionSettings(kind, origin)
    normalizer = NormalizerSettings("moments", StatisticsOf.joint)
    settings = DataSettings(normalizer=normalizer, horizons=HORIZONS, actions=actions)
    chosen = make_source("one", store, **source)
    few = [e for e, taught in enumerate(chosen.taught) if taught]
    assert 0 < len(few) < 3
    spans = [
        slice(*e) for e in np.stack([[0, *store.episode_ends[:-1]], store.episode_ends]).T[few]
    ]
    episodes = [Episode(store.observations()[s], store.actions()[s]) for s in spans]
    alone = write_store(tmp_path / "alone.zarr", store.attributes, episodes)
    fits = [build_normalizers(settings, [s]) for s in (chosen, make_source("one", alone))]
    for part in ("observations", "actions"):
        one, two = (getattr(fit.of_source["one"], part) for fit in fits)
        np.testing.assert_allclose(one.center, two.center, rtol=1e-12)
        np.testing.assert_allclose(one.scale, two.scale, rtol=1e-12)
