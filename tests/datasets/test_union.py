"""Mixtures whose sources have columns of their own: none depends on what it is mixed with."""

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.mixture import Mixture
from ambient_datasets.normalizers import build_normalizers
from ambient_datasets.sketch import Sketch
from ambient_datasets.source import Source
from ambient_datasets.store import Attributes, Episode, Store
from ambient_datasets.union import embody, places, unite, unknown_units
from ambient_datasets.windows import Windows
from ambient_policy.actions import Representation
from ambient_policy.batch import EMBODIMENT, STATE, Batch, Draw
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.horizons import Horizons
from ambient_policy.normalize import Normalizer
from ambient_policy.settings import (
    ActionSettings,
    BoundsSettings,
    DataSettings,
    Dimensions,
    NormalizerKind,
    NormalizerSettings,
    StatisticsOf,
    Trust,
)
from tests.datasets.mixtures import join_sources, make_source
from tests.datasets.stores import write_store

HORIZONS = Horizons(obs=2, pred=4, act=2)
UNITS = {"x": "m", "y": "m", "angle": "rad", "grip": "1", "to_x": "m", "to_y": "m", "spin": "rad/s"}
COLUMNS = {
    "arm": (("x", "y", "grip"), ("to_x", "to_y", "grip")),
    "car": (("angle", "x"), ("spin", "to_x")),
    "other_car": (("angle", "x"), ("spin", "to_x")),
}


def make_store(folder: Path, name: str, seed: int, **changes: Any) -> Store:
    seen, acted = COLUMNS[name]
    values = {
        "task": f"world of {name}",
        "source": name,
        "control_rate": 10.0,
        "observation_names": seen,
        "observation_units": tuple(UNITS[n] for n in seen),
        "action_names": acted,
        "action_units": tuple(UNITS[n] for n in acted),
    }
    random, episodes = np.random.default_rng(seed), []
    for length in (3, 1, 7):
        observed, commanded = (
            random.normal(seed, seed + 1, (length, len(n))) for n in (seen, acted)
        )
        episodes.append(Episode(observed.astype(np.float32), commanded.astype(np.float32)))
    return write_store(folder / f"{name}.zarr", Attributes(**{**values, **changes}), episodes)


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Store]:
    return {name: make_store(tmp_path, name, seed) for seed, name in enumerate(COLUMNS)}


def mix(stores: Mapping[str, Store]) -> Mixture:
    sources = [
        make_source(name, store, trust=Trust.suboptimal, sigma_min=0.3, sigma_max=0.0)
        for name, store in stores.items()
    ]
    return join_sources(sources, dimensions=Dimensions.union)


def gather(mixture: Mixture, name: str) -> Batch:
    """Every window of a source, all of them with kept noise."""
    rows = np.arange(len(mixture))
    rows = rows[mixture.source_of_window(rows) == mixture.names.index(name)]
    draw = Draw(rows, np.full(len(rows), 1.0), np.full(len(rows), 0.3))
    return Windows(mixture, HORIZONS, seed=3).gather(draw)


def test_the_columns_are_the_union_by_name_in_order_of_appearance(stores: dict[str, Store]) -> None:
    whole = unite(stores, Dimensions.union)
    assert whole.observation_names == ("x", "y", "grip", "angle")
    assert whole.observation_units == ("m", "m", "1", "rad")
    assert whole.action_names == ("to_x", "to_y", "grip", "spin")
    assert places(("angle", "x"), whole.observation_names).tolist() == [3, 0]
    assert (whole.task, whole.source) == ("world of arm", "arm + car + other_car")


def test_a_union_of_equal_columns_is_what_it_was(tmp_path: Path) -> None:
    stores = {n: make_store(tmp_path, n, s) for s, n in ((1, "car"), (2, "other_car"))}
    assert unite(stores, Dimensions.union) == unite(stores, Dimensions.same)


@pytest.mark.parametrize("order", [("arm", "car", "other_car"), ("other_car", "car", "arm")])
def test_a_source_keeps_its_numbers_and_its_noise_whatever_it_is_mixed_with(
    stores: dict[str, Store], order: tuple[str, ...]
) -> None:
    mixture = mix({name: stores[name] for name in order})
    names = mixture.attributes.observation_names, mixture.attributes.action_names
    for name in order:
        own = [places(columns, whole) for columns, whole in zip(COLUMNS[name], names, strict=True)]
        within, alone = gather(mixture, name), gather(mix({name: stores[name]}), name)
        for inside, outside, columns in (
            (within.observations[STATE], alone.observations[STATE], own[0]),
            (within.actions, alone.actions, own[1]),
            (within.kept_noise, alone.kept_noise, own[1]),
        ):
            np.testing.assert_array_equal(inside[..., columns], outside)
            lacking = np.setdiff1d(np.arange(inside.shape[-1]), columns)
            assert not inside[..., lacking].any() and outside.all()
        assert np.array_equal(within.is_pad, alone.is_pad)


def test_labels_follow_their_episodes(stores: dict[str, Store]) -> None:
    mixture = mix(stores)
    labels = {EMBODIMENT: np.array([0, 1, 1])[mixture.source_of_episode]}
    windows = np.array([12, 3, 30, 0])
    draw = Draw(windows, np.ones(4), np.zeros(4))
    batch = Windows(mixture, HORIZONS, 0, labels=labels).gather(draw)
    assert batch.observations[EMBODIMENT].tolist() == [1, 0, 1, 0]
    assert batch.rows(slice(2)).observations[EMBODIMENT].tolist() == [1, 0]


def test_equal_embodiments_are_one_named_after_the_first(stores: dict[str, Store]) -> None:
    whole = unite(stores, Dimensions.union)
    for statistics, expected in (
        (StatisticsOf.joint, (["arm", "car"], [0, 1, 1])),
        (StatisticsOf.source, (["arm", "car", "other_car"], [0, 1, 2])),
    ):
        bodies = embody(stores, normalizers(stores, statistics), whole)
        assert (list(bodies.embodiments), bodies.of_source.tolist()) == expected
    assert bodies.embodiments["car"].action_columns == (3, 0)


def normalizers(
    stores: Mapping[str, Store],
    statistics: StatisticsOf,
    kind: NormalizerKind = NormalizerKind.range,
    actions: ActionSettings | None = None,
) -> dict[str, Normalizer]:
    settings = NormalizerSettings(kind, statistics, low_quantile=0.2, high_quantile=0.8)
    return build_normalizers(of_union(settings, actions), sources_of(stores)).of_source


def sources_of(stores: Mapping[str, Store]) -> list[Source]:
    return [make_source(name, store) for name, store in stores.items()]


def of_union(normalizer: NormalizerSettings, actions: ActionSettings | None = None) -> DataSettings:
    return DataSettings(
        dimensions=Dimensions.union,
        normalizer=normalizer,
        horizons=HORIZONS,
        actions=actions or ActionSettings(),
    )


@pytest.mark.parametrize("kind", [k for k in NormalizerKind if k is not NormalizerKind.bounds])
def test_statistics_of_a_source_are_those_it_has_alone(
    stores: dict[str, Store], kind: NormalizerKind
) -> None:
    fitted = normalizers(stores, StatisticsOf.source, kind)
    for name, store in stores.items():
        alone = normalizers({name: store}, StatisticsOf.joint, kind)[name]
        assert fitted[name] == alone and fitted[name].fingerprint == alone.fingerprint
        actions = fitted[name].actions
        scaled = (store.actions() - actions.center) / actions.scale
        if kind is NormalizerKind.range:
            np.testing.assert_allclose(scaled.min(0), -1, atol=1e-6)
            np.testing.assert_allclose(scaled.max(0), 1, atol=1e-6)
        if kind is NormalizerKind.quantiles:  # the ends lie beyond: nothing is clipped
            assert (scaled.min(0) < -1).all() and (scaled.max(0) > 1).all()
            inside = (np.abs(scaled) <= 1.001).mean()
            assert 0.5 < inside < 0.8


def column(stores: Mapping[str, Store], name: str) -> np.ndarray:
    """All numbers of an action, of all that have it."""
    having = [s for s in stores.values() if name in s.attributes.action_names]
    return np.concatenate([s.actions()[:, s.attributes.action_names.index(name)] for s in having])


def test_joint_statistics_are_of_everyone_who_has_the_column(stores: dict[str, Store]) -> None:
    ranges = normalizers(stores, StatisticsOf.joint)
    moments = normalizers(stores, StatisticsOf.joint, NormalizerKind.moments)
    shares = normalizers(stores, StatisticsOf.joint, NormalizerKind.quantiles)
    for name, store in stores.items():
        for i, action in enumerate(store.attributes.action_names):
            values = column(stores, action).astype(np.float64)
            extent, moved, share = (kind[name].actions for kind in (ranges, moments, shares))
            assert extent.center[i] == (values.min() + values.max()) / 2
            assert extent.scale[i] == (values.max() - values.min()) / 2
            assert moved.center[i] == pytest.approx(values.mean())
            assert moved.scale[i] == pytest.approx(values.std())
            low, high = np.quantile(values, [0.2, 0.8])
            assert share.center[i] == pytest.approx((low + high) / 2, abs=2e-3)
            assert share.scale[i] == pytest.approx((high - low) / 2, abs=2e-3)


@pytest.mark.parametrize("kind", [k for k in NormalizerKind if k is not NormalizerKind.bounds])
@pytest.mark.parametrize("statistics", list(StatisticsOf))
def test_no_more_is_held_of_a_hundred_stores_than_of_three(
    stores: dict[str, Store],
    statistics: StatisticsOf,
    kind: NormalizerKind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sketch is megabytes: it is merged or made a map before the next one is counted."""
    alive: weakref.WeakSet[Sketch] = weakref.WeakSet()
    held: list[int] = []

    make = Sketch.__init__

    def count(self: Sketch, *parts: Any) -> None:
        make(self, *parts)
        alive.add(self)
        held.append(len(alive))

    monkeypatch.setattr(Sketch, "__init__", count)
    for number in (3, 100):
        held.clear()
        normalizers({f"s{i}": stores["car"] for i in range(number)}, statistics, kind)
        assert max(held, default=0) <= 3
        assert (len(held) >= 2 * number) is (kind is NormalizerKind.quantiles)


def test_relative_actions_are_fitted_from_where_each_body_is(stores: dict[str, Store]) -> None:
    del stores["other_car"]
    counted = ActionSettings(Representation.relative, ["x", "x", "x", "angle"])
    fitted = normalizers(stores, StatisticsOf.source, actions=counted)
    alone = ActionSettings(Representation.relative, ["angle", "x"])
    car = {"car": stores["car"]}
    assert fitted["car"] == normalizers(car, StatisticsOf.joint, actions=alone)["car"]
    strange = ActionSettings(Representation.relative, ["y", "x", "x", "angle"])
    with pytest.raises(
        SettingsError, match=r"counts 'to_x' from 'y', which 'car' does not observe"
    ):
        normalizers(stores, StatisticsOf.source, actions=strange)


def test_bounds_are_given_for_the_union_and_each_takes_its_own(stores: dict[str, Store]) -> None:
    seen, acted = BoundsSettings([0] * 4, [1, 2, 3, 4]), BoundsSettings([-1] * 4, [1, 3, 5, 7])
    settings = NormalizerSettings(NormalizerKind.bounds, None, seen, acted)
    fitted = build_normalizers(of_union(settings), sources_of(stores)).of_source
    assert fitted["car"].actions.scale == (4.0, 1.0)  # spin, to_x
    assert fitted["arm"].observations.scale == (0.5, 1.0, 1.5)
    settings.actions.low.pop()
    with pytest.raises(SettingsError, match=r"has 4 dimensions \(to_x, to_y, grip, spin\)"):
        build_normalizers(of_union(settings), sources_of(stores))


def test_columns_that_share_a_name_and_no_unit_are_told(tmp_path: Path) -> None:
    """Nobody knows whether state_0 of one robot is that of the other."""
    stores = {}
    for name, units in {"a": ("unknown", "m"), "b": ("unknown", "m"), "c": ("rad", "m")}.items():
        attributes = Attributes("toy", name, 10.0, ("state_0", "x"), units, ("x",), ("m",))
        episode = Episode(np.zeros((3, 2), np.float32), np.zeros((3, 1), np.float32))
        stores[name] = write_store(tmp_path / f"{name}.zarr", attributes, [episode])
    (told,) = unknown_units({name: stores[name] for name in "ab"})
    assert told.startswith("observations state_0 of several sources are taken for one quantity")
    assert "recipe.observation_units" in told
    assert not list(unknown_units({name: stores[name] for name in "ac"}))


def test_quantiles_that_make_no_unit_are_refused(tmp_path: Path) -> None:
    names, units = ("x", "grip"), ("m", "1")
    values = np.zeros((50, 2), np.float32)
    values[:, 0], values[0, 1] = np.arange(50), 1.0
    attributes = Attributes("toy", "test", 10.0, names, units, names, units)
    store = write_store(tmp_path / "a.zarr", attributes, [Episode(values, values)])
    settings = NormalizerSettings(NormalizerKind.quantiles, low_quantile=0.1, high_quantile=0.9)
    with pytest.raises(DataError, match=r"of 'grip' the quantiles 0.1 and 0.9 are 0 and 0, though"):
        build_normalizers(
            DataSettings(normalizer=settings, horizons=HORIZONS), [make_source("a", store)]
        )


def test_whose_statistics_count_must_be_said(stores: dict[str, Store]) -> None:
    with pytest.raises(SettingsError, match=r"3 sources \(arm, car.*choose joint .* or source"):
        build_normalizers(of_union(NormalizerSettings()), sources_of(stores))
    with pytest.raises(SettingsError, match=r"bounds looks at no numbers"):
        NormalizerSettings(NormalizerKind.bounds, StatisticsOf.joint)
    with pytest.raises(
        SettingsError, match=r"low_quantile = 0.9 and normalizer.high_quantile = 0.1"
    ):
        NormalizerSettings(low_quantile=0.9, high_quantile=0.1)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"control_rate": 20.0}, r"10.0 Hz in 'arm' but 20.0 Hz in 'car'.*resample.rate=10 "),
        (
            {"action_units": ("rad/s", "px")},
            r"action 'to_x' of source 'car' is in 'px', but that of",
        ),
        ({"observation_units": ("rad", "mm")}, r"observation 'x' of source 'car' is in 'mm'.*'m'"),
    ],
)
def test_numbers_that_mean_another_thing_are_refused(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    stores = {
        "arm": make_store(tmp_path, "arm", 0),
        "car": make_store(tmp_path, "car", 1, **changes),
    }
    with pytest.raises(DataError, match=text):
        mix(stores)


def test_other_columns_are_refused_unless_a_union_is_asked_for(stores: dict[str, Store]) -> None:
    with pytest.raises(DataError, match=r"observation_names is .* \(dimensions=union\)"):
        unite(stores)
