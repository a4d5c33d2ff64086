"""JPEG-XL pictures in a zarr store, as UMI packs its cameras (extra [umi]).

The file names a codec of imagecodecs with settings of its own. Here stands one in its place that
takes no settings, and unpacks one picture of the size that its header tells and no animation.
"""

import importlib.util
from typing import Any, BinaryIO

import numcodecs  # type: ignore[import-untyped]
from numcodecs.abc import Codec  # type: ignore[import-untyped]

MISSING = "These are JPEG-XL pictures: pip install 'ambient-policy[umi]', or leave the camera out."
CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
CODESTREAM = b"\xff\x0a"
HEADER = 64  # bytes of a codestream that tell its size, and more
BOXES = 16  # of a container before the codestream
WIDTHS = (9, 13, 18, 30)  # bits of a size (ISO 18181-1, SizeHeader)
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height


class JpegXL(Codec):  # type: ignore[misc]
    """Unpacks what UMI's codec of the same id packed."""

    codec_id = "imagecodecs_jpegxl"

    def __init__(self, **settings: Any) -> None:
        pass  # how it was packed; unpacking needs none of it

    def encode(self, buf: Any) -> Any:
        """Nothing is written so."""
        raise TypeError("JPEG-XL is read, not written")

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The picture's bytes (H,W,3)."""
        import imagecodecs

        return numcodecs.compat.ndarray_copy(imagecodecs.jpegxl_decode(bytes(buf), index=0), out)


def register() -> bool:
    """Have zarr read JPEG-XL; False where the library for it is not installed."""
    if importlib.util.find_spec("imagecodecs") is None:
        return False
    numcodecs.register_codec(JpegXL)
    return True


def read_jpegxl(file: BinaryIO, size: int, most: int) -> int:
    """Bytes of a picture of three colours, by its header.

    Raises:
        ValueError: if it is no JPEG-XL.
    """
    begin = file.read(12)
    header = (
        _find_codestream(file) if begin == CONTAINER else begin + file.read(HEADER - len(begin))
    )
    if header[:2] != CODESTREAM:
        raise ValueError("no JPEG-XL picture")
    height, width = _read_size(int.from_bytes(header[2:], "little"))
    return height * width * 3


def _find_codestream(file: BinaryIO) -> bytes:
    """The begin of the codestream in a container of boxes."""
    for _ in range(BOXES):
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"jxlp":
            file.read(4)  # number of the part
        if kind in (b"jxlp", b"jxlc"):
            return file.read(HEADER)
        if length < 8:
            break
        file.seek(length - 8, 1)
    raise ValueError("no codestream in the JPEG-XL container")


def _read_size(bits: int) -> tuple[int, int]:
    """Height and width [px] out of a SizeHeader, its lowest bit first."""
    small, bits = bits & 1, bits >> 1
    height, bits = _read_length(bits, small)
    ratio, bits = bits & 7, bits >> 3
    if ratio:
        numerator, denominator = RATIOS[ratio - 1]
        return height, height * numerator // denominator
    return height, _read_length(bits, small)[0]


def _read_length(bits: int, small: int) -> tuple[int, int]:
    """One side [px], and the bits after it."""
    if small:
        return 8 * ((bits & 31) + 1), bits >> 5
    width = WIDTHS[bits & 3]
    return (bits >> 2 & ((1 << width) - 1)) + 1, bits >> (2 + width)
