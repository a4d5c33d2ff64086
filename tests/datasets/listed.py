"""Demonstrations that lie in memory, for the steps of a conversion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.records import JSON, Attributes, Episode


@dataclass
class Listed:
    """Some episodes; see ``Demonstrations``."""

    attributes: Attributes
    episodes: Sequence[Episode]
    cameras: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    keys: tuple[str, ...] = ("state", "action")

    def __len__(self) -> int:
        return len(self.episodes)

    def about(self, i: int) -> Mapping[str, JSON]:
        return {"length": len(self.episodes[i])}

    def episode(self, i: int) -> Episode:
        return self.episodes[i]


def listed(
    observations: Any, actions: Any, *, rate: float = 10.0, frames: NDArray[np.uint8] | None = None
) -> Listed:
    """One episode of the columns state_0, .. and action_0, .. ; frames of camera "top"."""
    seen, acted = (np.asarray(table, np.float32) for table in (observations, actions))
    attributes = Attributes(
        "push",
        "human",
        rate,
        tuple(f"state_{j}" for j in range(seen.shape[1])),
        ("unknown",) * seen.shape[1],
        tuple(f"action_{j}" for j in range(acted.shape[1])),
        ("unknown",) * acted.shape[1],
    )
    if frames is None:
        return Listed(attributes, [Episode(seen, acted)])
    height, width = frames.shape[1:3]
    episode = Episode(seen, acted, {"top": frames})
    return Listed(attributes, [episode], {"top": (height, width, 3)})
