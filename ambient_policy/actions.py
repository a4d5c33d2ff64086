"""How the network represents a chunk of actions, and the exact way back.

With a(0..Tp-1) the commanded actions of a window and o their origin (the same quantities as
observed at time t, e.g. the position of the robot):

========  ==========================================  ==============================
kind      what the network learns                     back
========  ==========================================  ==============================
absolute  a(k)                                        itself
relative  a(k) - o                                    + o
delta     a(0) - o, and a(k) - a(k-1) for k > 0       cumulative sum, + o
========  ==========================================  ==============================

The normaliser comes after: it fits what the network learns, and noise levels are in units of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from ambient_policy.errors import SettingsError, unknown

if TYPE_CHECKING:
    from torch import Tensor


class Representation(Enum):
    """What the network learns of the actions."""

    absolute = "absolute"  # the commanded actions a(k)
    relative = "relative"  # a(k) - origin
    delta = "delta"  # a(0) - origin, then a(k) - a(k-1)


def represent(kind: Representation, actions: Tensor, origin: Tensor) -> Tensor:
    """Represent commanded actions as the network learns them, in their units.

    Args:
        kind: a row of the table.
        actions: (...,Tp,A).
        origin: (...,1,A), o; absolute actions do not use it.
    """
    if kind is Representation.absolute:
        return actions
    if kind is Representation.relative:
        return actions - origin
    return actions.diff(dim=-2, prepend=origin)


def restore(kind: Representation, represented: Tensor, origin: Tensor) -> Tensor:
    """Invert ``represent``, up to rounding."""
    if kind is Representation.absolute:
        return represented
    if kind is Representation.relative:
        return represented + origin
    return represented.cumsum(dim=-2) + origin


def origin_columns(
    kind: Representation,
    origin: Sequence[str],
    observation_names: Sequence[str],
    action_names: Sequence[str],
) -> list[int]:
    """Find the observation dimensions of o, (A,); none for absolute actions.

    Raises:
        SettingsError: unless ``origin`` names one observation for each action, or none where
            nothing is counted from it.
    """
    strange = sorted(set(origin) - set(observation_names))
    if strange:
        raise unknown("observation in actions.origin", strange[0], observation_names)
    needed = 0 if kind is Representation.absolute else len(action_names)
    if len(origin) != needed:
        raise SettingsError(
            f"actions.origin = {list(origin)} with {kind.value} actions must name "
            + (
                f"one observation for each of the actions {list(action_names)}."
                if needed
                else "none: they are not counted from anything."
            )
        )
    return [list(observation_names).index(name) for name in origin]


def own_origin_columns(
    kind: Representation,
    origin: Sequence[str],
    action_names: Sequence[str],
    own_observations: Sequence[str],
    own_actions: Sequence[str],
    owner: str,
) -> list[int]:
    """Find the origin of each action of one embodiment among its own observations.

    Args:
        kind: a row of the table.
        origin: one observation for each of the policy's actions.
        action_names: the policy's actions.
        own_observations, own_actions: the dimensions that this embodiment has.
        owner: name of the embodiment, for the message.

    Raises:
        SettingsError: if it lacks the origin of one of its actions.
    """
    if kind is Representation.absolute:
        return []
    counted = dict(zip(action_names, origin, strict=True))
    for action in own_actions:
        if counted[action] not in own_observations:
            raise SettingsError(
                f"actions.origin counts '{action}' from '{counted[action]}', which '{owner}' does "
                f"not observe; it observes {', '.join(own_observations)}. Name an observation that "
                "every source with this action has, or use actions.representation=absolute."
            )
    return [list(own_observations).index(counted[action]) for action in own_actions]
