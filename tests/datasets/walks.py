"""A small store with everything that an export may have to carry, and how two stores are equal."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.store import (
    Annotation,
    Appender,
    Attributes,
    Episode,
    annotate_store,
    create_store,
    open_store,
)
from tests.copies import copied

LENGTHS = (5, 1, 7, 3)
INSTRUCTIONS = (None, "push the T", "räume auf; 片付け", None)
SIZE = (16, 32)  # (H,W) [px]; unequal, so that none stands for the other
NAMES, UNITS = ("x", "y", "angle"), ("m", "m", "rad")


@copied
def write_walks(
    path: Path,
    /,
    *,
    rate: float = 10.0,
    annotated: bool = True,
    smooth: bool = False,
    size: tuple[int, int] = SIZE,
    **changes: Any,
) -> Path:
    """Four episodes with a camera "front", instructions and thresholds.

    Args:
        path: of the store.
        rate: [Hz].
        annotated: with thresholds, some infinite.
        smooth: one colour a frame, so that lossy video keeps the frames apart.
        size: (H,W) [px] of the frames.
        changes: of the attributes.
    """
    attributes = Attributes(
        **{
            "task": "ambient_envs/Maze-v0",
            "source": "gcs",
            "control_rate": rate,
            "observation_names": NAMES,
            "observation_units": UNITS,
            "action_names": ("target_x",),
            "action_units": ("m",),
            "extra": {"seed": 7},
            **changes,
        }
    )
    create_store(path, attributes, {"front": (*size, 3)})
    appender, rng = Appender(path), np.random.default_rng(0)
    for length, text in zip(LENGTHS, INSTRUCTIONS, strict=True):
        observed, commanded = (
            rng.normal(size=(length, len(names))).astype(np.float32)
            for names in (attributes.observation_names, attributes.action_names)
        )
        pixels = rng.integers(0, 256, (length, 1, 1, 3) if smooth else (length, *size, 3), np.uint8)
        frames = np.broadcast_to(pixels, (length, *size, 3)).copy()
        appender.append(Episode(observed, commanded, {"front": frames}, text))
    if annotated:
        low = np.array([0.0, 0.1, np.inf, 1 / 3])
        annotate_store(path, Annotation(low, np.array([np.inf, 0, 0, 0.05]), "0123456789abcdef"))
    return path


def equal(one: Path, other: Path, *, frames: int = 0) -> None:
    """Assert that numbers and instructions are the same, and pixels up to ``frames``."""
    ours, theirs = open_store(one), open_store(other)
    np.testing.assert_array_equal(ours.episode_ends, theirs.episode_ends)
    shapes = [
        {name: film.shape for name, film in store.cameras.items()} for store in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
    for left, right in zip(ours.episodes(), theirs.episodes(), strict=True):
        np.testing.assert_array_equal(left.observations, right.observations)
        np.testing.assert_array_equal(left.actions, right.actions)
        assert left.instruction == right.instruction
        for name, pixels in left.images.items():
            assert distance(pixels, right.images[name]) <= frames


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    """The largest difference of two pixels, 0 to 255."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())
