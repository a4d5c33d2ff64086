"""What each episode of a store is like, beside the others: so that outliers are seen.

All numbers are free of units: a column counts in its own spread (standard deviation) or range over
the whole store. The signal of jerk, rest and jumps is the observation, of saturation the action.
"""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.store import Store
from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.metrics import squared_jerk
from ambient_policy.files import disk_errors
from ambient_policy.terminal import Screen, print_table

REST = 0.01  # slower than this is rest [a column's range per second]
JUMP = 10.0  # times the step that 99 of 100 stay below
FAR = 6.0  # from the median [normal deviations by the median absolute deviation]
SHOWN = 60  # episodes in a printed list; of longer ones those that stand out are printed
NUMBERS = ("steps", "jerk", "idle", "saturated")

Table = NDArray[np.float64]


@dataclass(frozen=True)
class EpisodeLine:
    """One episode, summed up.

    Attributes:
        episode: its number in the store.
        steps: its length [control steps]; ``seconds`` in time [s].
        jerk: root mean squared jerk of the observation [spread/s^3]; NaN for less than 4 steps.
        idle: share of steps at which nothing moves.
        saturated: share of steps with an action at the end of its column's range; columns of two
            values (a gripper) do not count.
        jumps: steps that are ``JUMP`` times what is usual in that column.
        same_as: the first episode of the same numbers; None where it is the first.
        stands_out: the names of what is far from the other episodes.
    """

    episode: int
    steps: int
    seconds: float
    jerk: float
    idle: float
    saturated: float
    jumps: int
    same_as: int | None
    stands_out: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Scale:
    """Of the columns over a whole store.

    Attributes:
        spread, span: (O,) standard deviation and range; 1 where a column is constant.
        step: (O,) that 99 of 100 steps of a column stay below; inf where it hardly ever moves.
        low, high: (A,) ends of the actions that count; NaN for columns of at most two values.
    """

    spread: Table
    span: Table
    step: Table
    low: Table
    high: Table


def list_episodes(store: Store) -> list[EpisodeLine]:
    """A line for each episode of a store, those that stand out marked.

    Raises:
        SettingsError: if the store is empty.
    """
    if not len(store):
        raise SettingsError(f"{store.path} holds no episodes yet.")
    seen, acted = _unwrapped(store), store.actions()
    scale, dt = _measure(store, seen, acted), 1 / store.attributes.control_rate
    known: dict[bytes, int] = {}
    lines = []
    for i, stop in enumerate(store.episode_ends):
        rows = slice(int(stop) - int(store.episode_lengths[i]), int(stop))
        digest = hashlib.sha256(seen[rows].tobytes() + acted[rows].tobytes()).digest()
        first = known.setdefault(digest, i)
        same = None if first == i else first
        lines.append(_line(i, seen[rows], acted[rows], scale, dt, same))
    return _mark(lines)


def _unwrapped(store: Store) -> Table:
    """(N,O) observations; angles [rad] go on where they pass the end of their turn."""
    seen = store.observations().astype(np.float64)
    angles = [j for j, unit in enumerate(store.attributes.observation_units) if unit == "rad"]
    for first, stop in zip(np.r_[0, store.episode_ends[:-1]], store.episode_ends, strict=True):
        seen[first:stop, angles] = np.unwrap(seen[first:stop, angles], axis=0)
    return seen


def _measure(store: Store, seen: Table, acted: NDArray[np.float32]) -> _Scale:
    steps = np.abs(np.diff(seen, axis=0))
    inside = np.ones(len(steps), bool)
    inside[store.episode_ends[:-1] - 1] = False
    usual = np.quantile(steps[inside], 0.99, axis=0) if inside.any() else np.zeros(seen.shape[1])
    spread, span = seen.std(axis=0), np.ptp(seen, axis=0)
    several = np.array([len(np.unique(column)) > 2 for column in acted.T])
    return _Scale(
        np.where(spread > 0, spread, 1.0),
        np.where(span > 0, span, 1.0),
        np.where(usual > 0, usual, np.inf),
        np.where(several, acted.min(axis=0), np.nan),
        np.where(several, acted.max(axis=0), np.nan),
    )


def _line(
    i: int, seen: Table, acted: NDArray[np.float32], scale: _Scale, dt: float, same: int | None
) -> EpisodeLine:
    steps = np.abs(np.diff(seen, axis=0))
    resting: NDArray[np.bool_] = np.all(steps / dt < REST * scale.span, axis=1)
    at_end = ((acted == scale.low) | (acted == scale.high)).any(axis=1)
    return EpisodeLine(
        i,
        len(seen),
        len(seen) * dt,
        float(np.sqrt(squared_jerk(seen / scale.spread, dt))),
        float(resting.mean()) if len(resting) else 0.0,
        float(at_end.mean()),
        int((steps > JUMP * scale.step).any(axis=1).sum()),
        same,
    )


def _mark(lines: Sequence[EpisodeLine]) -> list[EpisodeLine]:
    far = {name: _far([getattr(line, name) for line in lines]) for name in NUMBERS}
    marked = []
    for i, line in enumerate(lines):
        names = [name for name in NUMBERS if far[name][i]]
        names += ["jumps"] * (line.jumps > 0) + ["same"] * (line.same_as is not None)
        marked.append(EpisodeLine(**{**vars(line), "stands_out": tuple(names)}))
    return marked


def _far(values: Sequence[float]) -> NDArray[np.bool_]:
    """Which values lie far from their median; where most are equal, a tenth of it is far too."""
    numbers = np.array(values, np.float64)
    middle = np.nanmedian(numbers) if np.isfinite(numbers).any() else 0.0
    off = np.abs(numbers - middle)
    deviation = 1.4826 * np.nanmedian(off) if np.isfinite(off).any() else 0.0
    return off > FAR * max(deviation, 0.02 * max(abs(middle), 0.5))


def show_episodes(store: Store, lines: Sequence[EpisodeLine], console: Screen) -> None:
    """Print the lines, of many only those that stand out, and the list of these."""
    outliers = [line for line in lines if line.stands_out]
    shown = lines if len(lines) <= SHOWN else outliers
    console.print(f"{store.path}: {len(lines)} episodes, {store.rows} steps")
    header = ["episode", "steps", "s", "jerk", "idle %", "saturated %", "jumps", "same as", "far"]
    if shown:
        print_table(console, header, [_cells(line) for line in shown])
    numbers = ",".join(str(line.episode) for line in outliers)
    console.print(f"stand out: [{numbers}]", soft_wrap=True)


def _cells(line: EpisodeLine) -> list[str]:
    return [
        str(line.episode),
        str(line.steps),
        f"{line.seconds:.3g}",
        f"{line.jerk:.3g}",
        f"{100 * line.idle:.0f}",
        f"{100 * line.saturated:.0f}",
        str(line.jumps),
        "" if line.same_as is None else str(line.same_as),
        " ".join(line.stands_out),
    ]


def write_episodes(path: Path, lines: Sequence[EpisodeLine]) -> None:
    """Write every line as CSV."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [item.name for item in fields(EpisodeLine)])
            writer.writeheader()
            for line in lines:
                writer.writerow({**asdict(line), "stands_out": " ".join(line.stands_out)})
