"""Frames of another size: one colour stays, a mean stays, fine patterns do not alias."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ambient_datasets.conversion.resize import resize
from ambient_policy.errors import SettingsError
from tests.datasets.listed import listed

FILE = Path("some.file")


def resized(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    table = np.zeros((len(frames), 1))
    source = resize(FILE, listed(table, table, frames=frames), size)
    assert source.cameras == {"top": (*size, 3)}
    return source.episode(0).images["top"]


@pytest.fixture
def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)


def test_the_same_size_changes_nothing(noise: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(resized(noise, (24, 32)), noise)


@pytest.mark.parametrize("size", [(12, 16), (7, 50), (48, 64)])
def test_one_colour_stays_one(size: tuple[int, int]) -> None:
    frames = np.zeros((2, 24, 32, 3), np.uint8) + np.array([10, 200, 30], np.uint8)
    small = resized(frames, size)
    assert small.shape == (2, *size, 3) and (small == [10, 200, 30]).all()


def test_every_old_pixel_counts(noise: NDArray[np.uint8]) -> None:
    small = resized(noise, (3, 4))
    np.testing.assert_allclose(small.mean(axis=(1, 2)), noise.mean(axis=(1, 2)), atol=8)
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    assert np.ptp(resized(stripes, (8, 8))[0, :, 1:-1].astype(int)) <= 4  # grey, no moire


@pytest.mark.parametrize("size", [(0, 4), (4,), (5000, 5000), (3, 4, 3)])
def test_a_size_that_no_frame_has_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match=r"camera_size = .*give \[height, width\] \[px\]"):
        resize(FILE, listed([[0.0]], [[0.0]]), size)
