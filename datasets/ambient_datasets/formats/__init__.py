"""Layouts that others write, each read into a ``Store``; ``open_any`` tells them apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ambient_datasets.formats.diffusion_policy import open_diffusion_policy
from ambient_datasets.layout import LAYOUT
from ambient_datasets.reading import StrPath, open_group
from ambient_datasets.store import Attributes, Store, open_store
from ambient_policy.errors import DataError

__all__ = ["open_any", "open_diffusion_policy"]


def open_any(
    path: StrPath,
    attributes: Attributes | None = None,
    observation_keys: Sequence[str] = ("state",),
    action_key: str = "action",
    observation_columns: Sequence[int] | None = None,
    cameras: Mapping[str, str] | None = None,
) -> Store:
    """A store of our layout, which describes itself, or of diffusion_policy's, described here.

    What describes it, and the arguments after it, are those of ``open_diffusion_policy``.

    Raises:
        DataError: if the store is invalid, described twice or not at all.
    """
    path = Path(path)
    with open_group(path) as group:
        ours = LAYOUT in group.attrs
    if ours and (attributes is not None or observation_columns is not None or cameras):
        raise DataError(
            f"{path}: this store says itself what its numbers mean, and the config describes it "
            "too. Remove the source's attributes, observation_columns and cameras from the config."
        )
    if ours:
        return open_store(path)
    if attributes is None:
        raise DataError(
            f"{path}: attribute '{LAYOUT}': missing, so this is no store of ours. If it is a "
            "diffusion_policy store (zarr v2), describe it in the config: task, control rate, "
            "names and units of observation and action."
        )
    return open_diffusion_policy(
        path, attributes, observation_keys, action_key, observation_columns, cameras
    )
