"""The gather: equal to a slow loop, edges repeated, kept noise bound to (source, step)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambient_datasets.mixture import Mixture
from ambient_datasets.source import Source
from ambient_datasets.store import Attributes, Store
from ambient_datasets.tables import MemoryTable
from ambient_datasets.windows import Windows
from ambient_policy.ambient.corrupt import corrupt
from ambient_policy.batch import Batch, Draw
from ambient_policy.diffusion.loss import ambient_target
from ambient_policy.errors import DataError
from ambient_policy.horizons import Horizons
from ambient_policy.settings import Trust
from tests.datasets.mixtures import join_sources, make_source

MakeStore = Callable[..., Store]


def source(name: str, lengths: list[int], max_episodes: int | None = None) -> Source:
    """A source in memory; every number of it is different."""
    rows = np.arange(sum(lengths), dtype=np.float32)[:, None]
    attributes = Attributes("t", name, 10.0, ("x", "y"), ("m", "m"), ("u",), ("m",))
    observations = MemoryTable(np.concatenate([rows, rows + np.float32(0.5)], axis=1))
    actions = MemoryTable(rows + np.float32(0.25))
    store = Store(Path(name), attributes, np.cumsum(lengths), None, observations, actions)
    return make_source(name, store, trust=Trust.trusted, max_episodes=max_episodes)


def draw(window: list[int], sigma_trust: float = 0.5) -> Draw:
    size = len(window)
    return Draw(np.array(window, np.int64), np.ones(size), np.full(size, sigma_trust))


lengths = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@given(st.lists(lengths, min_size=1, max_size=3), st.integers(1, 4), st.integers(1, 7), st.data())
def test_gather_equals_a_slow_loop(
    sources: list[list[int]], obs: int, pred: int, data: st.DataObject
) -> None:
    mixture = join_sources([source(f"s{i}", given) for i, given in enumerate(sources)])
    window = data.draw(st.lists(st.integers(0, len(mixture) - 1), max_size=12))
    batch = Windows(mixture, Horizons(obs, pred, 1), seed=0).gather(draw(window))
    observations, actions = mixture.observations.whole(), mixture.actions.whole()
    for b, t in enumerate(window):
        stop = next(s for s in np.cumsum(mixture.episode_lengths) if t < s)
        start = max(s for s in mixture.episode_starts if s <= t)
        for i in range(obs):
            row = max(t - obs + 1 + i, start)
            assert batch.observations["state"][b, i].tolist() == observations[row].tolist()
        for i in range(pred):
            row = min(t + i, stop - 1)
            assert batch.actions[b, i].tolist() == actions[row].tolist()
            assert bool(batch.is_pad[b, i]) == (t + i >= stop)


def test_shapes_types_and_levels() -> None:
    mixture = join_sources([source("a", [5, 6])])
    levels = Draw(np.array([0, 4, 10]), np.array([0.1, 2.0, 3.0]), np.array([0.0, 1.0, 2.0]))
    batch = Windows(mixture, Horizons(2, 4, 2), seed=0).gather(levels)
    values = {**vars(batch), **batch.observations}
    del values["observations"]
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    assert shapes == {
        "state": (3, 2, 2),
        "actions": (3, 4, 1),
        "kept_noise": (3, 4, 1),
        "sigma": (3,),
        "sigma_trust": (3,),
        "is_pad": (3, 4),
        "crop": (3, 2),
    }
    assert batch.is_pad.dtype == torch.bool
    assert all(v.dtype == torch.float32 for k, v in values.items() if k != "is_pad")
    assert batch.sigma.tolist() == pytest.approx([0.1, 2.0, 3.0])
    assert batch.sigma_trust.tolist() == [0, 1, 2]


@pytest.mark.parametrize("rows", [slice(0, 2), slice(2, 5), slice(4, 4), slice(None)])
def test_rows_of_draws_give_rows_of_the_batch(rows: slice) -> None:
    windows = Windows(join_sources([source("a", [5, 6])]), Horizons(2, 4, 2), seed=0)
    draws = Draw(np.array([0, 4, 10, 3, 3]), np.ones(5), np.array([0.0, 0.5, 0.0, 0.5, 0.2]))
    crop = np.linspace(0, 0.9, 10, dtype=np.float32).reshape(5, 2)
    part = windows.gather(draws.rows(rows), crop[rows])
    expected = windows.gather(draws, crop).rows(rows)
    assert torch.equal(part.observations["state"], expected.observations["state"])
    for name in ("actions", "kept_noise", "sigma", "sigma_trust", "is_pad", "crop"):
        assert torch.equal(getattr(part, name), getattr(expected, name))


def test_the_host_never_waits_for_the_device() -> None:
    """A tensor on the meta device has no values: whatever asks for one raises."""
    mixture = join_sources([source("a", [5, 6])])
    batch = Windows(mixture, Horizons(2, 4, 2), seed=0, device="meta").gather(draw([0, 4, 10]))
    tensors = [batch.actions, batch.kept_noise, batch.sigma, batch.is_pad, batch.crop]
    assert all(t.device.type == "meta" for t in (*tensors, *batch.observations.values()))
    with pytest.raises(RuntimeError):
        batch.sigma[0].item()


def noise(mixture: Mixture, window: int, seed: int = 0, pred: int = 8) -> Batch:
    return Windows(mixture, Horizons(2, pred, 4), seed).gather(draw([window]))


def test_overlapping_windows_share_the_noise_of_a_step() -> None:
    mixture = join_sources([source("a", [30])])
    one, two = (noise(mixture, t).kept_noise[0] for t in (10, 13))
    assert torch.equal(one[3:], two[:5])
    assert len(set(one.flatten().tolist())) == 8


def test_steps_beyond_an_end_have_noise_of_their_own() -> None:
    mixture = join_sources([source("a", [10, 10]), source("b", [10])])
    before, *at_end = (noise(mixture, t).kept_noise[0] for t in (8, 9, 19, 29))
    assert torch.equal(before[1:], at_end[0][:-1])
    assert len(set(torch.cat(at_end).flatten().tolist())) == 24


def test_noise_does_not_depend_on_the_length_of_the_chunk() -> None:
    mixture = join_sources([source("a", [10, 10])])
    for t in range(20):
        kept_noise = noise(mixture, t).kept_noise
        assert torch.equal(noise(mixture, t, pred=5).kept_noise, kept_noise[:, :5])


def one_step_episodes() -> Batch:
    """20 000 chunks of 8 entries, one step and seven that repeat it."""
    size = 20_000
    mixture = join_sources([source("a", [1] * size)])
    return Windows(mixture, Horizons(2, 8, 4), seed=0).gather(draw(list(range(size))))


def test_noise_is_independent_beyond_an_end() -> None:
    correlation = np.corrcoef(one_step_episodes().kept_noise[..., 0].numpy().T)
    np.testing.assert_allclose(correlation, np.eye(8), atol=0.035)  # 5 standard errors


def test_the_ambient_loss_is_unbiased_beyond_an_end() -> None:
    """Of equal entries x0 ~ N(0, s^2) the best estimate is s^2 / (s^2 + sigma^2 / 8) of the mean.

    Noise that repeated with the entries would pass for signal: a slope of 0.91 and not 0.85.
    """
    s, sigma, sigma_trust = 0.3, 0.35, 0.27
    kept_noise = one_step_episodes().kept_noise.double()
    random = torch.Generator().manual_seed(0)
    x0 = s * torch.randn(len(kept_noise), 1, 1, dtype=torch.float64, generator=random).expand_as(
        kept_noise
    )
    eps = torch.randn(kept_noise.shape, dtype=torch.float64, generator=random)
    levels = [
        torch.full((len(kept_noise),), level, dtype=torch.float64) for level in (sigma, sigma_trust)
    ]
    noisy = corrupt(x0, kept_noise, eps, *levels)
    target, seen = (x.mean(dim=1) for x in (ambient_target(noisy), noisy.x_sigma))
    slope = float((target * seen).sum() / (seen * seen).sum())
    assert slope == pytest.approx(s**2 / (s**2 + sigma**2 / 8), abs=0.015)


def test_noise_does_not_depend_on_the_mixture() -> None:
    alone = join_sources([source("a", [10, 10])])
    mixed = join_sources([source("b", [7, 4], max_episodes=1), source("a", [10, 10])])
    for t in range(20):
        assert torch.equal(noise(alone, t).kept_noise, noise(mixed, 7 + t).kept_noise)


def test_sources_and_seeds_have_noise_of_their_own() -> None:
    mixture = join_sources([source("a", [10]), source("b", [10])])
    kinds = [noise(mixture, 0), noise(mixture, 10), noise(mixture, 0, seed=1)]
    values = torch.cat([batch.kept_noise.flatten() for batch in kinds])
    assert len(set(values.tolist())) == len(values)


def test_sources_share_no_noise_beyond_their_ends() -> None:
    """CRC-32 of these two names differs in its highest bits alone."""
    mixture = join_sources([source(name, [1, 1]) for name in ("s4887", "s30400")])
    values = torch.cat([noise(mixture, t).kept_noise.flatten() for t in range(4)])
    assert len(set(values.tolist())) == len(values) == 4 * 8


def test_noise_is_standard_normal_and_only_where_it_counts() -> None:
    mixture = join_sources([source("a", [4000])])
    t = np.arange(0, 4000, 8)
    level = np.where(t < 2000, 0.0, 0.5)
    windows = Windows(mixture, Horizons(2, 8, 4), seed=0)
    kept_noise = windows.gather(Draw(t, np.ones(500), level)).kept_noise
    assert (kept_noise[:250] == 0).all()
    assert (
        abs(float(kept_noise[250:].mean())) < 0.1 and abs(float(kept_noise[250:].std()) - 1) < 0.1
    )


@pytest.mark.parametrize("window", [-1, 11])
def test_a_window_outside_is_refused(window: int) -> None:
    mixture = join_sources([source("a", [5, 6])])
    text = f"window {window} was drawn, but the mixture has windows 0 to 10. Build the sampler"
    with pytest.raises(DataError, match=text):
        noise(mixture, window)
