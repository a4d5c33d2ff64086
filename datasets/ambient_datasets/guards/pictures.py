"""One encoded picture (PNG or JPEG) as pixels, its size checked before it is unpacked."""

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ambient_datasets.demonstrations import MAX_FRAMES
from ambient_datasets.faults import fault

KINDS = ("PNG", "JPEG")


def check_memory(
    path: Path, steps: int, shapes: Sequence[tuple[int, int, int]], episode: int | None
) -> None:
    """Refuse an episode whose decoded frames would fill the memory, before decoding any.

    Args:
        path, episode: for messages.
        steps: of the episode.
        shapes: (H,W,3) [px] of each camera.
    """
    needed = steps * sum(math.prod(shape) for shape in shapes)
    if needed > MAX_FRAMES:
        raise fault(
            path,
            "frames",
            f"{steps} steps take {needed} bytes decoded, and at most {MAX_FRAMES} are read",
            "Take fewer cameras, or leave that episode out.",
            episode,
        )


def read_picture(data: Any, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(H,W,3) uint8.

    Args:
        data: the bytes of the encoded picture.
        shape: (H,W,3) that it must have [px].

    Raises:
        ValueError: if the data is no such picture, damaged, or of another size.
    """
    if not isinstance(data, bytes) or not data:
        raise ValueError("no picture in it (files beside the data are not read)")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=KINDS) as picture:
            warnings.simplefilter("ignore")  # what matters is refused below, by its size
            _check_sums(data)
            size = (picture.height, picture.width, len(picture.getbands()))
            if size != shape or picture.mode != "RGB":
                raise ValueError(f"a {picture.mode} picture of {size}, but {shape} was declared")
            return np.asarray(picture)
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever they like
        raise ValueError(f"no {' or '.join(KINDS)} picture that can be read ({error})") from error


def picture_shape(data: bytes) -> tuple[int, int, int]:
    """(H,W,3) [px] of an encoded picture, by what it declares; it is not unpacked.

    Raises:
        ValueError: if the data is no picture of three colours.
    """
    try:
        with Image.open(io.BytesIO(data), formats=KINDS) as picture:
            if picture.mode != "RGB":
                raise ValueError(f"a {picture.mode} picture, but RGB is needed")
            return picture.height, picture.width, 3
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever they like
        raise ValueError(f"no {' or '.join(KINDS)} picture that can be read ({error})") from error


def _check_sums(data: bytes) -> None:
    """Verify the checksums of a PNG, which Pillow does not when it decodes (a JPEG has none)."""
    with Image.open(io.BytesIO(data), formats=KINDS) as picture:
        picture.verify()
