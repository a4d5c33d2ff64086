"""Several bodies share one policy over the union of their dimensions.

A policy's O observations and A actions are the union, by name, of those of its embodiments. A
dimension that a body lacks is zero in its observations, in every noisy chunk and in every answer.
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
    """One body: its normaliser, and the places of its columns among the policy's.

    Sources with equal columns and normaliser are one embodiment. Different normalisers make
    different embodiments, even of one body: the same number then means different things.

    Attributes:
        normalizer: the map of its own columns, in their own order.
        observation_columns: place of each of its observations among the policy's.
        action_columns: place of each of its actions among the policy's.
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
        """Make the embodiment of a policy that has only one: it has all columns in their order."""
        seen, learned = len(normalizer.observations.center), len(normalizer.actions.center)
        return cls(normalizer, tuple(range(seen)), tuple(range(learned)))


def spread(values: NDArray[Any], columns: Sequence[int], width: int) -> NDArray[Any]:
    """Spread (..., n) over the policy's columns (..., width), zero in those that lack."""
    whole = np.zeros((*values.shape[:-1], width), values.dtype)
    whole[..., list(columns)] = values
    return whole
