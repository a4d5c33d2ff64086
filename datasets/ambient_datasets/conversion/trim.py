"""Idle ends of episodes: before the robot first moves, and after it last does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.demonstrations import Changed, Demonstrations
from ambient_datasets.records import Episode
from ambient_policy.errors import DataError, SettingsError, unknown


@dataclass
class Trim:
    """What counts as rest at the ends of an episode."""

    # rest is slower than this in every column [the columns' unit per second]; null: nothing is cut
    speed: float | None = None
    # observation columns of the store, all in one unit; none: every one
    columns: list[str] = field(default_factory=list)
    # time over which the speed is measured [s]: a shorter one takes noise for motion
    window: float = 0.2

    def __post_init__(self) -> None:
        if self.speed is None:
            if self.columns:
                raise SettingsError("trim.columns is given without trim.speed. Give both.")
            return
        for name in ("speed", "window"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SettingsError(f"trim.{name} = {value}: give a positive number.")


def trim(path: Path, source: Demonstrations, settings: Trim) -> Demonstrations:
    """Cut the rows before the first motion and after the last one.

    Args:
        path: of the source, for messages.
        source: its observations are those of the store.
        settings: what counts as rest; its speed is not None.

    Raises:
        SettingsError: for columns that there are not, or of several units.
    """
    names, rate = source.attributes.observation_names, source.attributes.control_rate
    chosen = settings.columns or list(names)
    for name in chosen:
        if name not in names:
            raise SettingsError(f"trim.columns: {unknown('observation column', name, names)}")
    places = [names.index(name) for name in chosen]
    units = {source.attributes.observation_units[place] for place in places}
    if len(units) > 1:
        raise SettingsError(
            f"trim.speed = {settings.speed}: the columns are in {', '.join(sorted(units))}, and "
            "one speed fits one unit. Name columns of one unit as trim.columns."
        )
    span = max(1, round(settings.window * rate))
    least = float(settings.speed or 0.0) * span / rate

    def change(episode: Episode) -> Episode:
        return _cut(episode, *moving_span(episode.observations[:, places], span, least))

    return Changed(path, source, source.attributes, source.cameras, change)


def moving_span(values: NDArray[np.float32], span: int, least: float) -> tuple[int, int]:
    """From the row at which motion begins to the one after it ends.

    Args:
        values: (T,n).
        span: rows over which a motion is measured.
        least: that a column moves within them, for it to be motion [its unit].

    Raises:
        DataError: if nothing moves.
    """
    rows = min(span, len(values) - 1)
    way = np.abs(values[rows:].astype(np.float64) - values[: len(values) - rows])
    moving = np.flatnonzero((way > least).any(axis=1)) if rows else np.array([], np.int64)
    if not len(moving):
        raise DataError(
            "nothing moves faster than trim.speed, so no row would be left. Leave the episode out, "
            "or give a lower speed."
        )
    return int(moving[0]), int(moving[-1]) + rows + 1


def _cut(episode: Episode, first: int, stop: int) -> Episode:
    images = {name: frames[first:stop] for name, frames in episode.images.items()}
    tables: Sequence[NDArray[np.float32]] = (episode.observations, episode.actions)
    seen, acted = (table[first:stop] for table in tables)
    return replace(episode, observations=seen, actions=acted, images=images)
