"""Frames of another size."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ambient_datasets.demonstrations import MAX_PIXELS, Changed, Demonstrations
from ambient_datasets.records import Episode
from ambient_policy.errors import SettingsError


def check_size(size: Sequence[int]) -> None:
    """Refuse a size that no frame can have.

    Raises:
        SettingsError: unless it is (H, W), both positive, of at most ``MAX_PIXELS``.
    """
    if len(size) != 2 or min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise SettingsError(
            f"camera_size = {list(size)}: give [height, width] [px], at least 1 each and at most "
            f"{MAX_PIXELS} pixels."
        )


def resize(path: Path, source: Demonstrations, size: Sequence[int]) -> Demonstrations:
    """Frames of every camera as (T,H,W,3), whatever shape they had: nothing is cut or padded.

    Each new pixel is the mean of the old ones around it, weighted by a triangle as wide as two new
    pixels (two old ones where the picture grows): Pillow's bilinear filter, which does not alias.

    Args:
        path: of the source, for messages.
        source: whose frames are resized.
        size: (H, W) [px].
    """
    check_size(size)

    def change(episode: Episode) -> Episode:
        images = {name: _resized(frames, *size) for name, frames in episode.images.items()}
        return replace(episode, images=images)

    cameras = dict.fromkeys(source.cameras, (size[0], size[1], 3))
    return Changed(path, source, source.attributes, cameras, change)


def _resized(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(T,h,w,3) as (T,H,W,3)."""
    if frames.shape[1:3] == (height, width):
        return frames
    out = np.empty((len(frames), height, width, 3), np.uint8)
    for i, frame in enumerate(frames):
        picture = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
        out[i] = np.asarray(picture)
    return out
