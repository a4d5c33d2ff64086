"""An affine map per dimension, its exact inverse, and the fingerprint thresholds are bound to.

A noise level means something only in units of normalised action: an annotation names the
fingerprint of the normaliser it was made under, and training refuses another.
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
                f", scale = {self.scale}. Check the data (or the given bounds) of that dimension."
            )

    @classmethod
    def from_range(cls, low: Sequence[float], high: Sequence[float]) -> "Affine":
        """[low, high] -> [-1, 1]; a dimension that never moves keeps its unit (scale 1)."""
        low_, high_ = np.asarray(low, np.float64), np.asarray(high, np.float64)
        half = (high_ - low_) / 2
        scale = np.where(half > 0, half, 1.0)
        return cls(tuple(((low_ + high_) / 2).tolist()), tuple(scale.tolist()))

    @classmethod
    def from_moments(cls, mean: Vector, deviation: Vector) -> "Affine":
        """To mean 0 and standard deviation 1; a dimension that never moves keeps its unit."""
        scale = np.where(deviation > 0, deviation, 1.0)
        return cls(tuple(mean.tolist()), tuple(scale.tolist()))

    def take(self, columns: Sequence[int]) -> "Affine":
        """The map of some of its dimensions, in the order given."""
        return Affine(tuple(self.center[i] for i in columns), tuple(self.scale[i] for i in columns))


@dataclass(frozen=True)
class Normalizer:
    """The maps of observations (O,) and actions (A,).

    Attributes:
        observations: of the state.
        actions: of what the network learns, i.e. of represented actions.
        representation: of those.
    """

    observations: Affine
    actions: Affine
    representation: Representation = Representation.absolute

    def to_json(self) -> dict[str, Any]:
        """Plain lists, for settings and checkpoints."""
        maps = {
            part: {"center": list(affine.center), "scale": list(affine.scale)}
            for part, affine in (("observations", self.observations), ("actions", self.actions))
        }
        return {**maps, "representation": self.representation.value}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Normalizer":
        """The inverse of ``to_json``."""
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
    """The ``Affine`` of each embodiment, over the policy's dimensions, on their device.

    Args:
        affines: of the S embodiments, over their own dimensions.
        columns: where these lie among the policy's.
        width: D, the policy's dimensions.
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
        self.partial = not bool(present.all())  # whether any embodiment lacks a dimension
        for name, table in (("center", center), ("scale", scale), ("present", present)):
            self.register_buffer(name, table, persistent=False)

    def _of(self, name: str, which: Tensor | None) -> Tensor:
        """(B,1,D), each row's own; (D,) where there is only one embodiment."""
        table = self.get_buffer(name)
        return table[0] if which is None else table[which][:, None]

    def mask(self, which: Tensor | None) -> Tensor | None:
        """(B,1,D), 1 where the row's embodiment has the dimension; None where all have all."""
        return self._of("present", which) if self.partial else None

    def forward(self, values: Tensor, which: Tensor | None = None) -> Tensor:
        """(B,T,D) in their own units -> normalised, 0 in missing dimensions.

        Args:
            values: B rows.
            which: (B,) embodiment of each; None where there is only one.
        """
        normalised = (values - self._of("center", which)) / self._of("scale", which)
        return masked(normalised, self.mask(which))

    def inverse(self, normalised: Tensor, which: Tensor | None = None) -> Tensor:
        """(B,T,D) normalised -> in their own units."""
        return normalised * self._of("scale", which) + self._of("center", which)


def masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """The values, 0 where the mask is; all of them where there is none."""
    return values if mask is None else values * mask


def check_bounds(
    low: Sequence[float], high: Sequence[float], names: Sequence[str], name: str
) -> None:
    """Refuse bounds of the wrong length or upside down, naming the setting.

    Args:
        low, high: given.
        names: of the dimensions they are for.
        name: of the setting.

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
