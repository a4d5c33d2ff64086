"""Videos: both suffixes hold every frame at the right rate, and nothing else is taken."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.video import write_video


def frames() -> list[np.ndarray]:
    shades = np.linspace(0, 250, 12)
    return [np.full((33, 49, 3), shade, np.uint8) for shade in shades]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_written_and_read_back(tmp_path: Path, suffix: str) -> None:
    write_video(frames(), tmp_path / f"film{suffix}", fps=10)
    read = iio.imread(tmp_path / f"film{suffix}")
    height, width = (32, 48) if suffix == ".mp4" else (33, 49)
    assert read.shape == (12, height, width, 3)
    assert np.abs(read.mean(axis=(1, 2, 3)) - np.linspace(0, 250, 12)).max() < 8
    assert [p.name for p in tmp_path.iterdir()] == [f"film{suffix}"]


def test_messages(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"film.avi.*known: .gif, .mp4"):
        write_video(frames(), tmp_path / "film.avi", fps=10)
    with pytest.raises(SettingsError, match="0 frames at 10 Hz"):
        write_video([], tmp_path / "film.mp4", fps=10)
    assert not list(tmp_path.iterdir())
