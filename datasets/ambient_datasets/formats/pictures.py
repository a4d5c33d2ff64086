"""One encoded picture (PNG or JPEG) as pixels, its size checked before it is unpacked."""

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

KINDS = ("PNG", "JPEG")


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
            found = (picture.height, picture.width, len(picture.getbands()))
            if found != shape or picture.mode != "RGB":
                raise ValueError(f"a {picture.mode} picture of {found}, but {shape} was declared")
            return np.asarray(picture)
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever they like
        raise ValueError(f"no {' or '.join(KINDS)} picture that can be read ({error})") from error


def _check_sums(data: bytes) -> None:
    """Of a PNG; Pillow does not look at them when it decodes. (A JPEG has none.)"""
    with Image.open(io.BytesIO(data), formats=KINDS) as picture:
        picture.verify()
