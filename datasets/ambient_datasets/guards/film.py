"""Frames of a video (MP4) at given times, by PyAV (extra [video]).

A frame belongs to a time if it is within ``TIME_TOLERANCE`` and one tick of the video's clock of
it. The demuxer is told and not guessed, and references to other files or addresses are refused.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.faults import fault
from ambient_datasets.guards.files import refuse_pointer
from ambient_policy.errors import DataError
from ambient_policy.plain_files import is_file

TIME_TOLERANCE = 1e-4  # [s]
MARGIN = 16  # frames decoded before the first: encoders reorder at most so many
MARGIN_PIXELS = 1024  # decoders take wider frames in memory than they hand out [px]
RESTORE = "Restore the file from a copy, or leave the camera out."


def read_film(
    path: Path,
    times: NDArray[np.float64],
    shape: tuple[int, int, int],
    fps: float,
    episode: int,
) -> NDArray[np.uint8]:
    """The frames at rising times.

    Args:
        path: the video.
        times: (T,) [s] on the video's clock.
        shape: (H,W,3) of a frame [px].
        fps: of the data set [Hz].
        episode: for messages.

    Returns:
        (T,H,W,3) uint8.

    Raises:
        DataError: if the video is missing, damaged, of another size, or has no frame at a time.
    """
    av = find_decoder(path)
    if not is_file(path):
        raise fault(path, "video", "there is no such file", RESTORE, episode)
    refuse_pointer(path)
    try:
        with (
            path.open("rb") as file,
            av.open(file, format="mp4", io_open=_refuse) as container,
        ):
            return _read(path, container, times, shape, fps, episode)
    except DataError:
        raise
    except Exception as error:  # the decoder raises whatever it likes
        raise fault(
            path,
            "video",
            f"truncated, corrupt or no MP4 ({type(error).__name__}: {error})",
            RESTORE,
            episode,
        ) from error


def _read(
    path: Path,
    container: Any,
    times: NDArray[np.float64],
    shape: tuple[int, int, int],
    fps: float,
    episode: int,
) -> NDArray[np.uint8]:
    stream = container.streams.video[0]
    stream.codec_context.options = _limits(shape)
    _check_size(path, (stream.codec_context.height, stream.codec_context.width), shape, episode)
    tick = float(stream.time_base)
    tolerance = min(TIME_TOLERANCE + tick, 0.25 / fps)
    container.seek(int(max(times[0] - MARGIN / fps, 0) / tick), stream=stream)
    frames, step = np.empty((len(times), *shape), np.uint8), 0
    for frame in container.decode(stream):
        if frame.is_corrupt or frame.pts is None:
            raise fault(path, "video", f"the frame after {step} is damaged", RESTORE, episode)
        if frame.pts * tick < times[step] - tolerance:
            continue
        if frame.pts * tick > times[step] + tolerance:
            break
        _check_size(path, (frame.height, frame.width), shape, episode)
        frames[step] = frame.to_ndarray(format="rgb24")
        step += 1
        if step == len(times):
            return frames
    raise fault(
        path,
        "video",
        f"no frame within {tolerance:g} s of {times[step]:.6f} s, where step {step} is due",
        RESTORE,
        episode,
    )


def _check_size(
    path: Path, size: tuple[int, int], shape: tuple[int, int, int], episode: int
) -> None:
    if size != shape[:2]:
        raise fault(
            path,
            "video",
            f"frames of {size[0]} x {size[1]} pixels, {shape[0]} x {shape[1]} were declared",
            RESTORE,
            episode,
        )


def _limits(shape: tuple[int, int, int]) -> dict[str, str]:
    """Options of the decoder: no much larger frame than declared, and no concealed damage."""
    pixels = (shape[0] + MARGIN_PIXELS) * (shape[1] + MARGIN_PIXELS)
    return {"max_pixels": str(pixels), "err_detect": "explode"}


def _refuse(url: str, flags: int, options: Any) -> Any:
    raise OSError(f"refers to '{url}', which is not followed")


def find_decoder(path: Path) -> Any:
    """PyAV.

    Raises:
        DataError: if it is not installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise DataError(
            f"{path}: a video, and the package 'av' that reads videos is not installed ({error}). "
            "Install it: pip install 'ambient-policy[video]'."
        ) from error
