"""Episodes held out: the same for every arm, never drawn, the rest renormalised."""

from collections.abc import Callable

import numpy as np
import pytest

from ambient_datasets.mixture import Mixture
from ambient_datasets.source import hold_out
from ambient_datasets.store import Store
from ambient_policy.ambient.admission import Admission
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.diffusion.law import UniformOverLevels
from ambient_policy.errors import SettingsError
from ambient_policy.settings import Trust
from tests.datasets.mixtures import join_sources, make_source

MakeStore = Callable[..., Store]


def mix(make_store: MakeStore, share: float, weights: tuple[float | None, ...]) -> Mixture:
    """Two trusted sources of three episodes; of the first, some are held out."""
    return join_sources(
        [
            make_source(
                name,
                make_store(name),
                trust=Trust.trusted,
                sampling_weight=weight,
                val_ratio=share_of,
            )
            for name, weight, share_of in zip(("a", "b"), weights, (share, 0.0), strict=True)
        ]
    )


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.07, 7), (0.071, 8), (0.99, 99)])
def test_a_share_is_rounded_up(share: float, count: int) -> None:
    assert hold_out("a", 100, share).sum() == count


def test_who_is_held_out_hangs_on_the_name_alone() -> None:
    few, more = hold_out("a", 50, 0.1), hold_out("a", 50, 0.2)
    assert (few <= more).all()
    np.testing.assert_array_equal(few, hold_out("a", 50, 0.1))
    assert (few != hold_out("b", 50, 0.1)).any()


@pytest.mark.parametrize("share", [-0.1, 1.0, 0.7, float("nan")])
def test_a_share_that_leaves_nothing_to_teach_is_refused(share: float) -> None:
    with pytest.raises(SettingsError, match=r"source 'a': val_ratio = .* of 3 episodes .* leaves"):
        hold_out("a", 3, share)


def test_natural_weights_are_those_of_what_is_left(make_store: MakeStore) -> None:
    mixture = mix(make_store, 0.3, (None, None))
    assert mixture.held_out.tolist() == [*hold_out("a", 3, 0.3), False, False, False]
    left = mixture.episode_lengths * ~mixture.held_out
    np.testing.assert_array_equal(mixture.window_weight, ~mixture.held_out)
    first = mixture.describe()[0]
    assert (first.held_out, first.episodes, first.windows) == (1, 2, left[:3].sum())
    assert first.probability == pytest.approx(left[:3].sum() / left.sum())


def test_a_chosen_weight_falls_on_what_is_left(make_store: MakeStore) -> None:
    mixture = mix(make_store, 0.6, (3.0, 1.0))
    assert [row.probability for row in mixture.describe()] == pytest.approx([0.75, 0.25])


def test_what_is_held_out_is_never_drawn_and_is_all_that_is_validated(
    make_store: MakeStore,
) -> None:
    mixture = mix(make_store, 0.6, (None, None))
    sampler = Sampler(
        Admission(mixture.sigma_min, mixture.sigma_max),
        mixture.episode_starts,
        mixture.episode_lengths,
        mixture.window_weight,
        UniformOverLevels(np.array([0.1, 1.0])),
    )
    drawn = set(sampler.draw(0, 0, 5000).window.tolist())
    out = set(mixture.held_out_windows().tolist())
    assert drawn | out == set(range(len(mixture)))
    assert not drawn & out
    assert mixture.held_out[mixture.episode_of_window(np.array(sorted(out)))].all()


def test_nothing_held_out_changes_nothing(make_store: MakeStore) -> None:
    mixture = mix(make_store, 0.0, (None, None))
    assert (mixture.window_weight == 1.0).all()
    assert len(mixture.held_out_windows()) == 0
