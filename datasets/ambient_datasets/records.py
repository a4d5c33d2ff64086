"""What lies in a store: the meaning of its numbers, one episode, one annotation; checked."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import DataError

StrPath: TypeAlias = "str | os.PathLike[str]"
JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"


@dataclass(frozen=True)
class Attributes:
    """What the numbers of a store mean.

    Attributes:
        task: id of the world, e.g. "ambient_envs/Maze-v0".
        source: who demonstrated, e.g. "gcs".
        control_rate: rows per second [Hz].
        observation_names, observation_units: of the O columns of observation.state.
        action_names, action_units: of the A columns of action.
        extra: whatever else is worth keeping (planner, layout, seed, ...), JSON values.
    """

    task: str
    source: str
    control_rate: float
    observation_names: tuple[str, ...]
    observation_units: tuple[str, ...]
    action_names: tuple[str, ...]
    action_units: tuple[str, ...]
    extra: dict[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.control_rate) and self.control_rate > 0):
            raise DataError(
                f"control_rate = {self.control_rate} Hz: give the positive number of rows a second."
            )
        for kind in ("observation", "action"):
            self._check_columns(kind)
        check_json(self.extra)

    def _check_columns(self, kind: str) -> None:
        names, units = (tuple(getattr(self, f"{kind}_{part}")) for part in ("names", "units"))
        if not names or len(names) != len(units) or len(set(names)) != len(names):
            raise DataError(
                f"{kind}_names = {names}, {kind}_units = {units}: give one name and one unit for "
                "each dimension, at least one dimension, and no name twice."
            )
        object.__setattr__(self, f"{kind}_names", names)
        object.__setattr__(self, f"{kind}_units", units)


def check_json(values: dict[str, JSON]) -> None:
    """Refuse what JSON cannot hold."""
    try:
        json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"extra attributes must be JSON values with finite numbers ({error}): {values}. "
            "Give strings, numbers, booleans, lists or dicts of them."
        ) from error


@dataclass(frozen=True, eq=False)
class Episode:
    """One demonstration of T control steps.

    Attributes:
        observations: (T,O), kept as float32.
        actions: (T,A), kept as float32.
        images: (T,H,W,3) uint8 by the name of the camera.
        instruction: what was to be done, in natural language; None where nobody said.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    instruction: str | None = None

    def __post_init__(self) -> None:
        for name in ("observations", "actions"):
            values = np.asarray(getattr(self, name), dtype=np.float32)
            if values.ndim != 2 or len(values) == 0 or not np.isfinite(values).all():
                raise DataError(
                    f"an episode's {name} have shape {values.shape}"
                    f"{'' if np.isfinite(values).all() else ' and hold NaN or infinity'}: give "
                    "(steps, dimensions) finite numbers of at least one step."
                )
            object.__setattr__(self, name, values)
        if len(self.observations) != len(self.actions):
            raise DataError(
                f"an episode has {len(self.observations)} observations and {len(self.actions)} "
                "actions: give one action for every observation (drop the last observation)."
            )
        for name, frames in self.images.items():
            if frames.dtype != np.uint8 or frames.ndim != 4 or len(frames) != len(self):
                raise DataError(
                    f"an episode's frames of camera '{name}' have shape {frames.shape} and type "
                    f"{frames.dtype}: give ({len(self)}, height, width, 3) uint8, one frame for "
                    "every observation."
                )
        if self.instruction is not None and not _is_text(self.instruction):
            raise DataError(
                f"an episode's instruction is {self.instruction!r}: give text that UTF-8 can hold, "
                "or None."
            )

    def __len__(self) -> int:
        return len(self.actions)


def _is_text(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # half of a surrogate pair: JSON would hold it, no reader would
        return False


@dataclass(frozen=True, eq=False)
class Annotation:
    """What each episode may teach: sigma > sigma_min OR sigma < sigma_max.

    Attributes:
        sigma_min, sigma_max: (E,) float64, sigma (VE) [normalised action], 0 to inf. Trusted is
            (0, inf), rejected everywhere (inf, 0).
        fingerprint: of the normaliser whose actions sigma is measured in.
    """

    sigma_min: NDArray[np.float64]
    sigma_max: NDArray[np.float64]
    fingerprint: str

    def __post_init__(self) -> None:
        for name in ("sigma_min", "sigma_max"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.ndim != 1 or len(values) != np.size(self.sigma_min):
                raise DataError(
                    f"{name}: shape {values.shape}, but one number for each episode is needed in "
                    "both sigma_min and sigma_max."
                )
            bad = ~(values >= 0)
            if bad.any():
                episode = int(np.argmax(bad))
                raise DataError(
                    f"{name}: episode {episode}: {values[episode]} is no noise level; give a number"
                    " from 0 to inf (trusted: sigma_min 0, sigma_max inf; rejected: inf, 0). "
                    "Annotate the store again."
                )
            object.__setattr__(self, name, values)
        if not self.fingerprint:
            raise DataError(
                "an annotation needs the fingerprint of the normaliser it was made under: give "
                "Normalizer.fingerprint."
            )
