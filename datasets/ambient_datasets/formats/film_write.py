"""Frames into H.264 videos ``chunk-000/file-000.mp4``, .. through PyAV (extra [video]).

The loss: colours are stored at half the resolution (yuv420p) and everything is quantised, the more
the larger ``crf`` is (0 to 51; at 0 only the first remains). Every second frame is a key frame, as
in lerobot, so that frames are reached in any order.
"""

import importlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.formats.sequence import FileSequence
from ambient_policy.errors import SettingsError

CODEC, NAME, PIXELS = "libx264", "h264", "yuv420p"  # the encoder, what it writes, and how
KEY_FRAMES = 2  # every so many
DEFAULT_CRF = 18
MAX_DENOMINATOR = 1001 * 1000  # of frame rates: 30000/1001 Hz is one


@dataclass(frozen=True)
class Span:
    """Where frames came to lie: chunk and number of the file, and from when to when in it [s]."""

    chunk: int
    file: int
    start: float
    stop: float


class FilmSequence(FileSequence):
    """Videos, a new one begun when the size limit would be passed.

    Frames that are added together come to lie in the same video.

    Args:
        folder: of the chunks.
        size: (H,W) [px], both even.
        fps: frames per second [Hz].
        crf: constant rate factor, 0 to 51.
        megabytes: limit of a video.

    Raises:
        SettingsError: for what cannot be encoded, or without PyAV.
    """

    def __init__(
        self, folder: Path, size: tuple[int, int], fps: float, crf: int, megabytes: float
    ) -> None:
        super().__init__(folder, ".mp4", megabytes)
        self._av = _library()
        self._shape, self._crf, self._fps = size, crf, fps
        self._rate = Fraction(fps).limit_denominator(MAX_DENOMINATOR)
        self._frames = 0
        self._container: Any = None
        self._stream: Any = None

    def add(self, frames: NDArray[np.uint8]) -> Span:
        """Append (T,H,W,3)."""
        self.make_room(self.size / max(self._frames, 1) * len(frames))
        if self._container is None:
            self._open()
        start = self._frames / self._fps
        for pixels in frames:
            frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = self._frames, 1 / self._rate
            self._mux(frame)
            self._frames += 1
        return Span(*self.place, start, self._frames / self._fps)

    def _open(self) -> None:
        self._container = self._av.open(str(self.path()), "w", format="mp4")
        options = {"crf": str(self._crf), "g": str(KEY_FRAMES)}
        self._stream = self._container.add_stream(CODEC, rate=self._rate, options=options)
        self._stream.height, self._stream.width = self._shape
        self._stream.pix_fmt = PIXELS
        self._stream.codec_context.time_base = 1 / self._rate
        self._frames = 0

    def _mux(self, frame: Any) -> None:
        """Encode a frame, or None for what the encoder still holds."""
        for packet in self._stream.encode(frame):
            self.size += packet.size
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the video."""
        if self._container is not None:
            self._mux(None)
            self._container.close()
            self._container = self._stream = None


def check_film(camera: str, size: tuple[int, int]) -> None:
    """Refuse, before any work, frames that cannot become a video.

    Raises:
        SettingsError: naming the camera, and what fits; or what is to be installed.
    """
    _library()
    if size[0] % 2 or size[1] % 2:
        raise SettingsError(
            f"camera '{camera}': frames of {size[0]} x {size[1]} pixels cannot become a video, "
            "which halves both for the colours. Export pictures (video=false)."
        )


def describe_film(size: tuple[int, int], fps: float) -> dict[str, Any]:
    """What info.json says of such a video."""
    return {
        "video.height": size[0],
        "video.width": size[1],
        "video.codec": NAME,
        "video.pix_fmt": PIXELS,
        "video.is_depth_map": False,
        "video.fps": int(fps) if fps == int(fps) else fps,
        "video.channels": 3,
        "has_audio": False,
    }


def _library() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise SettingsError(
            f"video=true needs the package 'av', which is not installed ({error}). Install it: pip "
            "install 'ambient-policy[video]', or export pictures (video=false)."
        ) from error
