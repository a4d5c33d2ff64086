"""Demonstrations in formats of others: what is asked of a file, and what a reader hands over."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ambient_datasets.records import Attributes, Episode
from ambient_policy.errors import DataError

UNKNOWN = "unknown"  # the unit of a number of which neither file nor caller says more

# One frame larger than this is taken for an attack on the memory, not for a picture [px].
MAX_PIXELS = 4096 * 4096
# Likewise all frames of one episode, decoded; they lie in memory together [bytes].
MAX_FRAMES = 3 * 2**30


class Demonstrations(Protocol):
    """Episodes in someone else's format, read one at a time; only an index lies in memory."""

    @property
    def attributes(self) -> Attributes:
        """Names, units and control rate; what the file does not say the request says."""
        ...

    @property
    def cameras(self) -> Mapping[str, tuple[int, int, int]]:
        """(H,W,3) [px] of each camera by our name for it."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """What the source has at every step, asked for or not, in the format's own names.

        Where the instruction is such a key, it is not among them: it is kept in any case.
        """
        ...

    def __len__(self) -> int:
        """Episodes."""
        ...

    def episode(self, i: int) -> Episode:
        """Episode i of 0 to len - 1.

        Raises:
            DataError: naming file and place.
        """
        ...


@dataclass(frozen=True, eq=False)
class Changed:
    """Demonstrations of which every episode is changed as it is read.

    Attributes:
        path: of the source, for messages.
        source: what is changed.
        attributes, cameras: of what comes out.
        change: of an episode; what it refuses is told with file and number.
    """

    path: Path
    source: Demonstrations
    attributes: Attributes
    cameras: Mapping[str, tuple[int, int, int]]
    change: Callable[[Episode], Episode] = field(repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """Those of the source."""
        return self.source.keys

    def __len__(self) -> int:
        return len(self.source)

    def episode(self, i: int) -> Episode:
        """Episode i of 0 to len - 1, changed.

        Raises:
            DataError: naming file, episode and place.
        """
        episode = self.source.episode(i)
        try:
            return self.change(episode)
        except DataError as error:
            raise DataError(f"{self.path}: episode {i}: {error}") from error


@dataclass(frozen=True)
class Request:
    """What is taken from a file, and what its numbers mean where it does not say.

    Attributes:
        state: keys whose columns make up the observation, side by side, in the format's own names.
        action: likewise for the action.
        task, source: as in ``Attributes``.
        cameras: the format's key of each camera by our name for it.
        control_rate: rows per second [Hz]; None where the file must say.
        observation_names, observation_units, action_names, action_units: one for each column;
            None takes the file's own names, else "key_0", "key_1", .., and the unit "unknown".
        split: filter key or split; None takes every episode.
    """

    state: tuple[str, ...]
    action: tuple[str, ...]
    task: str
    source: str
    cameras: Mapping[str, str] = field(default_factory=dict)
    control_rate: float | None = None
    observation_names: tuple[str, ...] | None = None
    observation_units: tuple[str, ...] | None = None
    action_names: tuple[str, ...] | None = None
    action_units: tuple[str, ...] | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        for name in ("state", "action"):
            keys = getattr(self, name)
            if isinstance(keys, str) or not keys or len(set(keys)) < len(tuple(keys)):
                raise DataError(
                    f"{name} = {keys!r}: give the list of keys whose columns make up the "
                    f"{'observation' if name == 'state' else 'action'}, at least one, each once."
                )
            object.__setattr__(self, name, tuple(keys))
        for name in ("observation_names", "observation_units", "action_names", "action_units"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        rate = self.control_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise DataError(f"control_rate = {rate}: give the rows per second, a positive number.")


def default_names(keys: Sequence[str], widths: Sequence[int]) -> tuple[str, ...]:
    """Of columns that the file does not name: "key_0", "key_1", .. key by key."""
    return tuple(
        f"{key}_{column}"
        for key, width in zip(keys, widths, strict=True)
        for column in range(width)
    )


def describe(
    path: Path,
    request: Request,
    observation_names: Sequence[str],
    action_names: Sequence[str],
    control_rate: float | None = None,
    observation_units: Sequence[str] | None = None,
    action_units: Sequence[str] | None = None,
) -> Attributes:
    """What the numbers mean: the request's word where it has one, else the file's.

    Args:
        path: for messages.
        request: what the caller says.
        observation_names, action_names: the file's own or ``default_names``; their number is the
            number of columns.
        control_rate: what the file says [Hz]; None where it says nothing.
        observation_units, action_units: what the file says; None where it says nothing.

    Raises:
        DataError: if nobody gives the control rate, both do and differ, or the request names
            another number of columns than there are.
    """
    return Attributes(
        request.task,
        request.source,
        _rate(path, request.control_rate, control_rate),
        _choose(path, "observation_names", request.observation_names, observation_names),
        _choose(
            path,
            "observation_units",
            request.observation_units,
            observation_units or (UNKNOWN,) * len(observation_names),
        ),
        _choose(path, "action_names", request.action_names, action_names),
        _choose(
            path,
            "action_units",
            request.action_units,
            action_units or (UNKNOWN,) * len(action_names),
        ),
    )


def _rate(path: Path, said: float | None, found: float | None) -> float:
    if said is None and found is None:
        raise DataError(
            f"{path}: control_rate: the file does not say how many rows a second has. Give "
            "control_rate [Hz]."
        )
    if said is not None and found is not None and not math.isclose(said, found, rel_tol=1e-6):
        raise DataError(
            f"{path}: control_rate = {said} Hz given, but the file says {found} Hz. Leave it out "
            "or give the same."
        )
    rate = said if said is not None else found
    assert rate is not None
    return float(rate)


def _choose(
    path: Path, name: str, said: Sequence[str] | None, found: Sequence[str]
) -> tuple[str, ...]:
    if said is not None and len(said) != len(found):
        raise DataError(
            f"{path}: {name}: {len(said)} given, but the keys asked for have {len(found)} columns "
            f"({', '.join(found)}). Give one for each column, or none."
        )
    return tuple(found if said is None else said)
