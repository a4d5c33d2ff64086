"""Writing what each episode of a store may teach, so that a kill leaves the old or the new."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ambient_datasets.guards.archive import open_group
from ambient_datasets.layout import (
    SIGMAS,
    STAGED,
    read_annotation,
    read_attributes,
    read_ends,
    write_array,
)
from ambient_datasets.records import Annotation, StrPath
from ambient_policy.errors import DataError
from ambient_policy.files import clear_leftovers, disk_errors, hold


def annotate_store(path: StrPath, annotation: Annotation) -> None:
    """Say what each episode may teach; replaces an earlier annotation.

    Killed at any moment, the store holds either the old annotation or the new one: the new arrays
    are staged, one atomic write of the attributes declares them (the commit), and then they are
    moved to their places in meta/; until that is done, readers follow the attributes.

    Raises:
        DataError: unless there is one sigma_min and sigma_max for each episode.
    """
    path = Path(path)
    with open_group(path) as group:
        read_attributes(group, path)
        ends, _ = read_ends(group, path)
    if len(annotation.sigma_min) != len(ends):
        raise DataError(
            f"{path}: the annotation speaks of {len(annotation.sigma_min)} episodes, the store "
            f"holds {len(ends)}. Annotate every episode once, in order."
        )
    with hold(path), disk_errors(path):
        clear_leftovers(path)
        _replace_annotation(path, annotation)


def _replace_annotation(path: Path, annotation: Annotation) -> None:
    group = zarr.open_group(str(path), mode="r+")
    _settle_annotation(group, path, len(annotation.sigma_min))
    _write_sigmas(group, STAGED, annotation.sigma_min, annotation.sigma_max)
    _declare(group, annotation.fingerprint, STAGED)
    _settle_annotation(group, path, len(annotation.sigma_min))


def _write_sigmas(group: zarr.Group, folder: str, *sigmas: NDArray[np.float64]) -> None:
    for name, values in zip(SIGMAS, sigmas, strict=True):
        write_array(group, f"{folder}/{name}", values, math.nan)


def _declare(group: zarr.Group, fingerprint: str, folder: str) -> None:
    group.update_attributes(
        {"annotation": {"sigma": "ve", "fingerprint": fingerprint, "folder": folder}}
    )


def _settle_annotation(group: zarr.Group, path: Path, episodes: int) -> None:
    """Finish what a killed ``annotate_store`` had committed; drop what it had not."""
    record: Any = group.attrs.get("annotation")
    if record is not None and record["folder"] == STAGED:
        staged = read_annotation(group, path, record, episodes)
        assert staged is not None
        _write_sigmas(group, "meta", staged.sigma_min, staged.sigma_max)
        _declare(group, staged.fingerprint, "meta")
    if STAGED in group:
        del group[STAGED]
