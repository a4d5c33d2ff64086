"""Encoded pictures: exactly what was encoded, or refused before and while they are unpacked."""

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ambient_datasets.guards.pictures import read_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
SHAPE = (9, 7, 3)


def encode(kind: str, pixels: NDArray[np.uint8] = PIXELS) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_a_png_is_read_exactly_and_a_jpeg_nearly() -> None:
    np.testing.assert_array_equal(read_picture(encode("PNG"), SHAPE), PIXELS)
    smooth = np.full(SHAPE, 77, np.uint8)
    assert np.abs(read_picture(encode("JPEG", smooth), SHAPE).astype(int) - 77).max() < 4


def test_any_flipped_byte_of_a_png_is_told_or_harmless() -> None:
    """Pillow decodes without a look at the checksums."""
    data = encode("PNG")
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x10
        try:
            found = read_picture(bytes(broken), SHAPE)
        except ValueError:
            continue
        np.testing.assert_array_equal(found, PIXELS)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="no PNG or JPEG picture"):
        read_picture(encode(kind), SHAPE)


def test_a_picture_that_would_fill_the_memory_is_not_unpacked() -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000_000))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    with pytest.raises(ValueError, match="100000|exceeds"):
        read_picture(b"\x89PNG\r\n\x1a\n" + b"".join(parts), SHAPE)


def test_a_text_in_a_picture_that_would_fill_the_memory_is_refused() -> None:
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27)))
    data = encode("PNG")
    with pytest.raises(ValueError, match="too large"):
        read_picture(data[:33] + bomb + data[33:], SHAPE)


@pytest.mark.parametrize("given", [None, "text", b"", 3])
def test_what_is_no_picture_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="no picture in it"):
        read_picture(given, SHAPE)
