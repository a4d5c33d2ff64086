"""Demonstrations in formats of others: what is asked of a file, and what a reader hands over."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ambient_datasets.records import JSON, Attributes, Episode
from ambient_policy.errors import DataError, unknown

UNKNOWN = "unknown"  # the unit of a number of which neither file nor caller says more

# for whoever has cameras and no state
PICTURES_ALONE = (
    " Policies see numbers beside the pictures: name what the robot knows at every step, its "
    "joints or, where nothing else was recorded, the time (of LeRobot, recipe.state=[timestamp])."
)
STAMPS = ("check", "ignore", "resample")  # what becomes of rows at odds with their rate

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

    def about(self, i: int) -> Mapping[str, JSON]:
        """What is known of episode i without reading its rows, by name; "length" in steps."""
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
        """The keys of the source."""
        return self.source.keys

    def __len__(self) -> int:
        return len(self.source)

    def about(self, i: int) -> Mapping[str, JSON]:
        """What is known of episode i of the source."""
        return self.source.about(i)

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


@dataclass
class Request:
    """What is taken from a file, and what its numbers mean where it does not say."""

    # diffusion_policy, lerobot, rlds or robomimic
    format: str
    # keys whose columns make up the observation, side by side, in the format's own names
    state: list[str]
    # likewise the action
    action: list[str] = field(default_factory=list)
    # the format's key of each camera by our name for it
    cameras: dict[str, str] = field(default_factory=dict)
    # a label of the world, for a world of ours its id; null: the source's label
    task: str | None = None
    # a label of who demonstrated; null: the name of the file or folder
    source: str | None = None
    # rows per second of the file [Hz]; null where the file says
    control_rate: float | None = None
    # one for each column; null: the file's own names (else key_0, key_1, ..), unit "unknown"
    observation_names: list[str] | None = None
    observation_units: list[str] | None = None
    action_names: list[str] | None = None
    action_units: list[str] | None = None
    # filter key or split of the file; null: every episode
    split: str | None = None
    # of HDF5: a pattern of the groups that are one demonstration each ("demo_*", "traj_*"; null:
    # "data/*"), of a folder a pattern of its files, one demonstration each (null: "*.hdf5")
    episodes: str | None = None
    # of HDF5: leave out the observation after the last action (T actions, T+1 observations)
    drop_last_observation: bool = False
    # rows that are not stamped as the rate says are refused by "check"; "ignore" takes rows as they
    # come, "resample" (of lerobot and diffusion_policy) for each time the row stamped nearest
    stamps: str = "check"
    # episodes to take, by what is known of them: {success: true, operator: [ann, "b*"],
    # length: {least: 20, most: 400}}; none: all
    where: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, part in (("state", "observation"), ("action", "action")):
            keys = getattr(self, name)
            if isinstance(keys, str) or not keys or len(set(keys)) < len(keys):
                raise DataError(
                    f"{name} = {keys!r}: give the list of keys whose columns make up the {part}, "
                    f"at least one, each once.{PICTURES_ALONE if name == 'state' else ''}"
                )
        if self.stamps not in STAMPS:
            raise unknown("stamps", self.stamps, STAMPS)
        rate = self.control_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise DataError(f"control_rate = {rate}: give the rows per second, a positive number.")


def default_names(keys: Sequence[str], widths: Sequence[int]) -> tuple[str, ...]:
    """Names of columns that the file does not name: "key_0", "key_1", .. key by key."""
    return tuple(
        f"{key}_{column}"
        for key, width in zip(keys, widths, strict=True)
        for column in range(width)
    )


@dataclass(frozen=True)
class Labels:
    """What a file says of its columns.

    Attributes:
        names: the file's own or ``default_names``; one for each column.
        units: None where the file says nothing.
    """

    names: Sequence[str]
    units: Sequence[str] | None = None


def describe(
    path: Path,
    request: Request,
    observations: Labels,
    actions: Labels,
    control_rate: float | None = None,
) -> Attributes:
    """What the numbers mean: the request's word where it has one, else the file's.

    Args:
        path: of the file, for messages and as its label.
        request: what the caller says.
        observations, actions: what the file says of its columns.
        control_rate: what the file says [Hz]; None where it says nothing.

    Raises:
        DataError: if nobody gives the control rate, both do and differ, or the request names
            another number of columns than there are.
    """
    source = request.source or _label(path)
    return Attributes(
        request.task or source,
        source,
        _rate(path, request.control_rate, control_rate),
        *_columns(path, "observation", request, observations),
        *_columns(path, "action", request, actions),
    )


def _label(path: Path) -> str:
    """The name of a file or folder without its suffix; tfds's folders are named by a version."""
    place = path.absolute()
    folder = place.parent if re.fullmatch(r"[0-9]+(\.[0-9]+)+", place.name) else place
    return re.sub(r"\.(zarr|zip|hdf5|h5)$|\.zarr\.zip$", "", folder.name)


def _rate(path: Path, requested: float | None, stored: float | None) -> float:
    if requested is None and stored is None:
        raise DataError(
            f"{path}: control_rate: the file does not say how many rows a second has. Give "
            "control_rate [Hz]."
        )
    if requested is None or stored is None:
        return float(stored if requested is None else requested)  # type: ignore[arg-type]
    if not math.isclose(requested, stored, rel_tol=1e-6):
        raise DataError(
            f"{path}: control_rate = {requested} Hz given, but the file says {stored} Hz. Leave it "
            "out or give the same."
        )
    return float(requested)


def _columns(
    path: Path, kind: str, request: Request, labels: Labels
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units of the columns of one kind."""
    stored = {"names": labels.names, "units": labels.units or (UNKNOWN,) * len(labels.names)}
    chosen = []
    for part, values in stored.items():
        requested = getattr(request, f"{kind}_{part}")
        if requested is not None and len(requested) != len(values):
            raise DataError(
                f"{path}: {kind}_{part}: {len(requested)} given, but the keys asked for have "
                f"{len(values)} columns ({', '.join(values)}). Give one for each column, or none."
            )
        chosen.append(tuple(values if requested is None else requested))
    return chosen[0], chosen[1]
