"""Videos: frames to mp4 or gif."""

from collections.abc import Sequence
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import SettingsError, unknown
from ambient_policy.files import replace_file

Frame = NDArray[np.uint8]


def write_video(frames: Sequence[Frame], path: Path, fps: float) -> None:
    """Write frames (H,W,3) uint8 as .mp4 (H.264) or .gif (endless), atomically.

    Args:
        frames: all of one size; odd sizes lose their last row or column in an mp4.
        path: the file; its suffix decides the format.
        fps: frames per second [Hz]; the control rate shows the episode in real time.

    Raises:
        SettingsError: for another suffix, no frames, or a rate that is not positive.
    """
    writers = {".mp4": _write_mp4, ".gif": _write_gif}
    if path.suffix not in writers:
        raise unknown(f"video suffix of '{path.name}':", path.suffix, writers)
    if not len(frames) or not fps > 0:
        raise SettingsError(
            f"video '{path.name}': {len(frames)} frames at {fps} Hz; at least one frame and a "
            "positive rate are needed."
        )
    with replace_file(path) as partial:
        writers[path.suffix](frames, partial, fps)


def _write_mp4(frames: Sequence[Frame], path: Path, fps: float) -> None:
    height, width = (size - size % 2 for size in frames[0].shape[:2])  # yuv420p halves both
    with imageio.get_writer(
        path, format="FFMPEG", mode="I", fps=fps, codec="libx264", macro_block_size=2
    ) as writer:
        for frame in frames:
            writer.append_data(frame[:height, :width])  # type: ignore[attr-defined]


def _write_gif(frames: Sequence[Frame], path: Path, fps: float) -> None:
    imageio.mimwrite(path, list(frames), format="GIF", duration=1000 / fps, loop=0)
