"""Randomness is a function; kept noise is standard normal and addressed by row."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from ambient_policy.seeding import (
    VERSION,
    generator,
    integer,
    normal_among,
    normal_at,
    torch_generator,
)


def test_equal_arguments_give_equal_streams_and_others_do_not() -> None:
    first = generator(1, "noise", 5).random(8)
    np.testing.assert_array_equal(first, generator(1, "noise", 5).random(8))
    for other in (generator(2, "noise", 5), generator(1, "draws", 5), generator(1, "noise", 6)):
        assert (first != other.random(8)).all()


def test_what_crc32_took_for_one_are_two() -> None:
    """Of "plumless" and "buckeroo" it is the same, and a seed sequence is padded with zeros."""
    parts: list[tuple[Any, ...]] = [
        ("plumless",), ("buckeroo",), ("a",), ("a", 0), ("a", 0, 0), ("a", 1, 23), ("a", 12, 3),
        ("a0",), ("", 0), ("5", 1), ("", 5, 1),
    ]  # fmt: skip
    numbers = {integer(seed, *part) for seed in (0, 1, 10) for part in parts}
    assert len(numbers) == 3 * len(parts)


def test_only_whole_numbers_are_steps() -> None:
    with pytest.raises(TypeError):
        generator(0, "noise", 1.5)  # type: ignore[arg-type]
    assert integer(0, "noise", np.int64(3)) == integer(0, "noise", 3)  # type: ignore[arg-type]


def test_the_numbers_of_this_version_stay() -> None:
    """Whoever changes these raises ``VERSION``: runs of before cannot go on."""
    assert VERSION == 2
    assert integer(0, "weights") == 6709701002088139062
    assert generator(1, "draws", 5).integers(1000, size=4).tolist() == [561, 530, 358, 304]


def test_torch_generator_repeats() -> None:
    a, b = (torch.randn(4, generator=torch_generator(0, "noise", 3)) for _ in range(2))
    assert torch.equal(a, b)
    assert 0 <= integer(0, "weights") < 2**63


def test_addressed_noise_is_standard_normal_and_uncorrelated() -> None:
    noise = normal_at(0, "kept noise", np.arange(50_000), 3)
    assert noise.shape == (50_000, 3)
    assert noise.dtype == np.float32
    assert kstest(noise.ravel(), "norm").pvalue > 1e-4
    lagged = [np.mean(noise[lag:, 0] * noise[:-lag, 0]) for lag in (1, 2, 3, 7)]
    columns = [np.mean(noise[:, i] * noise[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert np.abs([*lagged, *columns]).max() < 0.02


def test_addressed_noise_depends_on_row_seed_and_purpose_only() -> None:
    rows = np.array([[3, 4], [4, 5]])
    noise = normal_at(0, "kept noise", rows, 2)
    np.testing.assert_array_equal(noise[0, 1], noise[1, 0])
    assert (noise != normal_at(1, "kept noise", rows, 2)).all()
    assert (noise != normal_at(0, "other", rows, 2)).all()


def test_rows_of_several_tables_are_those_of_each() -> None:
    which, rows = np.array([[1, 0], [1, 2]]), np.array([[3, 4], [-5, 4]])
    noise = normal_among(0, ["a", "b", "c"], which, rows, 2)
    for place in np.ndindex(which.shape):
        alone = normal_at(0, "abc"[which[place]], rows[place], 2)
        np.testing.assert_array_equal(noise[place], alone)
    assert normal_among(0, [], which[:0], rows[:0], 2).shape == (0, 2, 2)
