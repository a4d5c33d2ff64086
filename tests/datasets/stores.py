"""Writing the stores that the tests of this folder read, ours and diffusion_policy's."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zarr
from numcodecs import Blosc  # type: ignore[import-untyped]

from ambient_datasets import store
from ambient_policy.settings import SourceSettings


def write_store(
    path: Path, attributes: store.Attributes, episodes: Sequence[store.Episode]
) -> store.Store:
    """A store of ours with the cameras of the episodes."""
    cameras = {name: frames.shape[1:] for e in episodes[:1] for name, frames in e.images.items()}
    store.create_store(path, attributes, cameras)
    for episode in episodes:
        store.append_episode(path, episode)
    return store.open_store(path)


def described(
    path: Path, attributes: store.Attributes | None = None, **keys: Any
) -> SourceSettings:
    """A source whose store says nothing of itself, or nothing but what the keys say."""
    record = None if attributes is None else asdict(attributes)
    return SourceSettings(path=str(path), attributes=record, **keys)


def write_v2(path: Path, arrays: Mapping[str, Any]) -> None:
    """A replay buffer of diffusion_policy in chunks of 4 rows."""
    group = zarr.create_group(str(path), zarr_format=2)
    for key, values in arrays.items():
        array = group.create_array(
            key,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(4, *values.shape[1:]),
            fill_value=0,
            compressors=Blosc("zstd", 5, Blosc.BITSHUFFLE),
        )
        array[...] = values
