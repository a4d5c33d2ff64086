"""A mixture: its weights are exact, and only alike stores mix."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ambient_datasets.mixture import Mixture
from ambient_datasets.store import Store
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.settings import Trust
from tests.datasets.mixtures import join_sources, make_source

MakeStore = Callable[..., Store]


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        (
            {"max_episodes": 4},
            DataError,
            "but the store holds 3. Give sources.a.max_episodes 1 to 3",
        ),
        ({"max_episodes": 0}, DataError, "max_episodes = 0, but the store holds 3"),
        (
            {"sampling_weight": -1.0},
            SettingsError,
            "source 'a': sampling_weight = -1.0; give a number of at least 0",
        ),
        ({"sampling_weight": np.nan}, SettingsError, "sampling_weight = nan"),
    ],
)
def test_bad_settings(
    make_store: MakeStore, settings: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        make_source("a", make_store("a"), **{"trust": Trust.trusted, **settings})


def test_an_empty_store_is_no_source(make_store: MakeStore) -> None:
    with pytest.raises(DataError, match="source 'a': no episodes yet. Collect some first"):
        make_source("a", make_store("a", ()), trust=Trust.trusted)


def mix(make_store: MakeStore, weights: Any = (None, None), **changes: Any) -> Mixture:
    """Episodes of 3 and 5 steps from one store, and of 4 and 6 from the other."""
    one, two = make_store("one"), make_store("two", (4, 6), source="rrt", **changes)
    return join_sources(
        [
            make_source(
                "gcs", one, trust=Trust.trusted, sampling_weight=weights[0], max_episodes=2
            ),
            make_source("rrt", two, trust=Trust.rejected, sampling_weight=weights[1]),
        ]
    )


def test_a_mixture_is_its_sources_in_order(make_store: MakeStore) -> None:
    mixture = mix(make_store)
    assert len(mixture) == 18 and mixture.names == ("gcs", "rrt")
    assert mixture.episode_starts.tolist() == [0, 3, 8, 12]
    assert mixture.episode_lengths.tolist() == [3, 5, 4, 6]
    assert mixture.source_of_episode.tolist() == [0, 0, 1, 1]
    assert mixture.sigma_min.tolist() == [0, 0, np.inf, np.inf]
    assert mixture.sigma_max.tolist() == [np.inf, np.inf, 0, 0]
    assert np.floor(mixture.observations.whole()[:, 0]).tolist() == [*range(8), *range(10)]
    assert np.floor(mixture.actions.whole()[:, 1]).tolist() == [*range(8), *range(10)]
    windows = np.array([[0, 2, 3], [7, 8, 17]])
    assert mixture.episode_of_window(windows).tolist() == [[0, 0, 1], [1, 2, 3]]
    assert mixture.source_of_window(windows).tolist() == [[0, 0, 0], [0, 1, 1]]
    assert mixture.attributes.source == "gcs + rrt"


def test_natural_weights_make_every_window_alike(make_store: MakeStore) -> None:
    mixture = mix(make_store)
    assert mixture.window_weight.tolist() == [1, 1, 1, 1]
    assert [row.probability for row in mixture.describe()] == pytest.approx([8 / 18, 10 / 18])


def test_given_weights_are_the_probabilities_of_sources(make_store: MakeStore) -> None:
    mixture = mix(make_store, (3.0, 1.0))
    assert mixture.window_weight.tolist() == pytest.approx([3 / 8, 3 / 8, 1 / 10, 1 / 10])
    first, second = mixture.describe()
    assert (first.name, first.episodes, first.windows) == ("gcs", 2, 8)
    assert first.hours == pytest.approx(8 / 36000)
    assert (first.probability, second.probability) == pytest.approx((0.75, 0.25))


def test_weights_that_are_no_distribution(make_store: MakeStore) -> None:
    with pytest.raises(SettingsError, match="rrt has none and others do. Give every source"):
        mix(make_store, (1.0, None))


def test_weights_that_are_all_zero(make_store: MakeStore) -> None:
    with pytest.raises(SettingsError, match="all are 0. Give at least one a positive weight"):
        mix(make_store, (0.0, 0.0))


def test_no_sources_and_the_same_name_twice(make_store: MakeStore) -> None:
    with pytest.raises(SettingsError, match="needs at least one source"):
        join_sources([])
    source = make_source("a", make_store("a"), trust=Trust.trusted)
    with pytest.raises(
        SettingsError, match="different names, but a is given more than once in a, a"
    ):
        join_sources([source, source])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"action_names": ("u", "v")}, "action_names is ('target_x', 'target_y') in 'gcs' but"),
        ({"action_units": ("m", "mm")}, "action_units is ('m', 'm') in 'gcs' but ('m', 'mm') in"),
        ({"observation_names": ("x", "y", "z")}, "observation_names is ('x', 'y', 'angle')"),
        ({"observation_units": ("m", "m", "deg")}, "but ('m', 'm', 'deg') in 'rrt'"),
        ({"control_rate": 20.0}, "control_rate is 10.0 in 'gcs' but 20.0 in 'rrt'. Convert one"),
    ],
)
def test_stores_that_differ_do_not_mix(make_store: MakeStore, changes: Any, text: str) -> None:
    pattern = f"sources 'gcs' .*one.zarr.* and 'rrt' .*two.zarr.* cannot .*{re.escape(text)}"
    with pytest.raises(DataError, match=pattern):
        mix(make_store, **changes)
