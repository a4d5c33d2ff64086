"""An affine map per dimension, its exact inverse, and the fingerprint thresholds are bound to.

A noise level means something only in units of normalised action: an annotation names the
fingerprint of its normaliser, and training refuses another one.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ambient_policy.actions import Representation
from ambient_policy.errors import DataError, SettingsError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """normalised = (value - center) / scale, per dimension; scale > 0."""

    center: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = np.array([self.center, self.scale], dtype=np.float64)
        if not np.isfinite(numbers).all() or (numbers[1] <= 0).any():
            raise DataError(
                f"a normaliser needs finite centers and positive scales, got center = {self.center}"
                f", scale = {self.scale}. Check the data of that dimension, or normalizer's bounds."
            )

    @classmethod
    def from_range(
        cls, low: Sequence[float], high: Sequence[float], smallest: float = 0.0
    ) -> "Affine":
        """Map [low, high] to [-1, 1]; a dimension narrower than ``smallest`` keeps its unit."""
        low_, high_ = np.asarray(low, np.float64), np.asarray(high, np.float64)
        half = (high_ - low_) / 2
        scale = np.where((half > 0) & (high_ - low_ >= smallest), half, 1.0)
        return cls(tuple(((low_ + high_) / 2).tolist()), tuple(scale.tolist()))

    @classmethod
    def from_moments(cls, mean: Vector, deviation: Vector, smallest: float = 0.0) -> "Affine":
        """Map to mean 0 and deviation 1; a deviation below ``smallest`` leaves the unit (1)."""
        scale = np.where((deviation > 0) & (deviation >= smallest), deviation, 1.0)
        return cls(tuple(mean.tolist()), tuple(scale.tolist()))

    def take(self, columns: Sequence[int]) -> "Affine":
        """Return the map of some dimensions, in the order of ``columns``."""
        return Affine(tuple(self.center[i] for i in columns), tuple(self.scale[i] for i in columns))


@dataclass(frozen=True)
class Normalizer:
    """The maps of observations (O,) and actions (A,).

    Attributes:
        observations: the map of the state.
        actions: the map of represented actions, which are what the network learns.
        representation: how actions are represented.
    """

    observations: Affine
    actions: Affine
    representation: Representation = Representation.absolute

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, for settings and checkpoints."""
        maps = {
            part: {"center": list(affine.center), "scale": list(affine.scale)}
            for part, affine in (("observations", self.observations), ("actions", self.actions))
        }
        return {**maps, "representation": self.representation.value}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Normalizer":
        """Read what ``to_json`` returned."""
        seen, learned = (
            Affine(tuple(record[part]["center"]), tuple(record[part]["scale"]))
            for part in ("observations", "actions")
        )
        return cls(seen, learned, Representation(record["representation"]))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the action map: what the meaning of a noise level depends on."""
        text = json.dumps(self.to_json()["actions"], sort_keys=True)
        if self.representation is not Representation.absolute:
            text += self.representation.value
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class AffineLayer(nn.Module):
    """Normalise the policy's dimensions with the ``Affine`` of each embodiment, on the device.

    Args:
        affines: the maps of the S embodiments, over their own dimensions.
        columns: the places of these dimensions among the policy's.
        width: D, number of the policy's dimensions.
    """

    def __init__(
        self, affines: Sequence[Affine], columns: Sequence[Sequence[int]], width: int
    ) -> None:
        super().__init__()
        shape = len(affines), width
        center, scale, present = torch.zeros(shape), torch.ones(shape), torch.zeros(shape)
        for i, (affine, own) in enumerate(zip(affines, columns, strict=True)):
            center[i, list(own)] = torch.tensor(affine.center)
            scale[i, list(own)] = torch.tensor(affine.scale)
            present[i, list(own)] = 1.0
        # whether any embodiment lacks a dimension
        self.partial = any(len({*own}) < width for own in columns)
        for name, table in (("center", center), ("scale", scale), ("present", present)):
            self.register_buffer(name, table, persistent=False)

    def _of(self, name: str, which: Tensor | None) -> Tensor:
        """Return the table's row of each embodiment, (B,1,D); (D,) if there is only one."""
        table = self.get_buffer(name)
        return table[0] if which is None else table[which][:, None]

    def mask(self, which: Tensor | None) -> Tensor | None:
        """Return 1 where the row's embodiment has a dimension, (B,1,D); None if all have all."""
        return self._of("present", which) if self.partial else None

    def forward(self, values: Tensor, which: Tensor | None = None) -> Tensor:
        """Normalise values (B,T,D); a dimension that an embodiment lacks becomes 0.

        Args:
            values: (B,T,D) in their own units.
            which: (B,) embodiment of each row; None if there is only one.
        """
        normalised = (values - self._of("center", which)) / self._of("scale", which)
        return masked(normalised, self.mask(which))

    def inverse(self, normalised: Tensor, which: Tensor | None = None) -> Tensor:
        """Return normalised values (B,T,D) in their own units."""
        return normalised * self._of("scale", which) + self._of("center", which)


def masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Set values to 0 where the mask is 0; no mask changes nothing."""
    return values if mask is None else values * mask


def check_bounds(
    low: Sequence[float], high: Sequence[float], names: Sequence[str], name: str
) -> None:
    """Refuse bounds of the wrong length or upside down, naming the setting.

    Args:
        low, high: the bounds of each dimension.
        names: names of the dimensions.
        name: name of the setting.

    Raises:
        SettingsError: naming the setting, the lengths and the dimension at fault.
    """
    if not len(low) == len(high) == len(names):
        raise SettingsError(
            f"normalizer.{name}: low has {len(low)} and high {len(high)} numbers, but the data has "
            f"{len(names)} dimensions ({', '.join(names)}); give one number for each."
        )
    for i, (lowest, highest) in enumerate(zip(low, high, strict=True)):
        if not lowest < highest:
            raise SettingsError(
                f"normalizer.{name}: low[{i}] = {lowest} must lie below high[{i}] = {highest}."
            )
