"""Whose dimensions they are: several bodies share one policy over the union of their columns.

A policy's O observations and A actions are the union, by name, of what its embodiments have. What
one of them lacks is zero on the way in, and stays zero in every noised chunk and every answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import SettingsError
from ambient_policy.normalize import Normalizer


@dataclass(frozen=True)
class Embodiment:
    """One body: its columns, where they lie among the policy's, and their units.

    Two sources with equal ones are one embodiment. Different normalisers make different ones, even
    of the same body: a number then means another thing.

    Attributes:
        normalizer: of its own columns, in their own order.
        observation_columns: their positions among the policy's observations.
        action_columns: their positions among the policy's actions.
    """

    normalizer: Normalizer
    observation_columns: tuple[int, ...]
    action_columns: tuple[int, ...]

    def __post_init__(self) -> None:
        for part in ("observation", "action"):
            columns = getattr(self, f"{part}_columns")
            mapped = len(getattr(self.normalizer, f"{part}s").center)
            if len(columns) != mapped or len(set(columns)) != mapped:
                raise SettingsError(
                    f"{part}_columns = {columns} of an embodiment whose normaliser has {mapped} "
                    f"{part}s: give each of them a place of its own."
                )

    @classmethod
    def whole(cls, normalizer: Normalizer) -> "Embodiment":
        """The only one: it has all columns, in their order."""
        seen, learned = len(normalizer.observations.center), len(normalizer.actions.center)
        return cls(normalizer, tuple(range(seen)), tuple(range(learned)))


def spread(values: NDArray[Any], columns: Sequence[int], width: int) -> NDArray[Any]:
    """(..., n) in an embodiment's own columns -> (..., width) in the policy's, zero elsewhere."""
    whole = np.zeros((*values.shape[:-1], width), values.dtype)
    whole[..., list(columns)] = values
    return whole
