"""The store's columns from the source's: which, in what unit, absolute or relative."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.conversion.gripper import Gripper, openness
from ambient_datasets.conversion.relabel import cut
from ambient_datasets.conversion.resample import AHEAD, METHODS, check_method, narrow, wrapped
from ambient_datasets.demonstrations import UNKNOWN, Changed, Demonstrations
from ambient_datasets.records import Attributes, Episode
from ambient_policy.errors import DataError, SettingsError, unknown

Table: TypeAlias = NDArray[np.float64]


@dataclass
class Column:
    """One column of the store: scale * source + offset, or what ``gripper`` makes of the source."""

    # the source's column, by the name it comes with (observation_names or action_names where
    # given, else the file's own, else key_0, key_1, ..)
    of: str
    # in the store; null keeps the source's, a unit where the number stays what it is
    name: str | None = None
    unit: str | None = None
    # from the source's unit to this one
    scale: float = 1.0
    offset: float = 0.0
    # of an action: the source's column is read so many rows later, and as many rows are dropped
    # from the end of the episode
    ahead: int = 0
    # observation column of the source whose value at the store's row is added, in this column's
    # unit: a difference becomes absolute
    plus: str | None = None
    # likewise subtracted: an absolute value becomes one relative to now
    minus: str | None = None
    # bring an angle [rad] to [wrap_from, wrap_from + 2 pi) at the end; 0 is for worlds that count
    # from 0 to 2 pi, as Push-T's
    wrap: bool = False
    wrap_from: float = -math.pi
    # the source's convention for open and closed
    gripper: Gripper | None = None
    # how it goes to another rate, as of resample.observations and resample.actions; null: as the
    # others
    resample: str | None = None

    def __post_init__(self) -> None:
        what = f"column '{self.name or self.of}'"
        if not (math.isfinite(self.scale) and self.scale != 0 and math.isfinite(self.offset)):
            raise SettingsError(
                f"{what}: scale = {self.scale}, offset = {self.offset}: give finite numbers, and a "
                "scale that is not 0."
            )
        if not math.isfinite(self.wrap_from):
            raise SettingsError(f"{what}: wrap_from = {self.wrap_from}: give an angle [rad].")
        if self.ahead < 0:
            raise SettingsError(f"{what}: ahead = {self.ahead}: give a number of rows, or 0.")
        if self.gripper is not None and self._is_moved():
            raise SettingsError(
                f"{what}: a gripper is 1 open and 0 closed, so scale, offset, plus, minus and wrap "
                "have nothing to do. Leave them out, or leave out gripper."
            )
        if self.unit is None and (self.gripper is not None or self.scale != 1):
            raise SettingsError(f'{what}: its numbers change, so give their unit ("1" for none).')
        if self.resample is not None:
            check_method(f"{what}: resample", self.resample, observed=False)

    def _is_moved(self) -> bool:
        other = Column(self.of)
        return any(
            getattr(self, name) != getattr(other, name)
            for name in ("scale", "offset", "plus", "minus", "wrap")
        )


def map_columns(
    path: Path,
    source: Demonstrations,
    observations: Sequence[Column] = (),
    actions: Sequence[Column] = (),
) -> Demonstrations:
    """The store's columns in their order; none given keeps the source's as they come.

    Args:
        path: of the source, for messages.
        source: its columns are named in its attributes.
        observations, actions: of the store.

    Raises:
        SettingsError: for a column that the source does not have, a unit that does not fit, or an
            observation of the future.
        DataError: for a name twice.
    """
    _check_now(path, observations)
    observed, acted = (
        _locate(path, source.attributes, kind, columns)
        for kind, columns in (("observation", observations), ("action", actions))
    )

    ahead = max(column.ahead for column in (Column(""), *actions))

    def change(episode: Episode) -> Episode:
        usable = cut(episode, ahead)
        state = usable.observations.astype(np.float64)
        return replace(
            usable,
            observations=_mapped("observation", state, state, observed),
            actions=_mapped("action", episode.actions.astype(np.float64), state, acted),
        )

    attributes = _rename(_rename(source.attributes, "observation", observed), "action", acted)
    return Changed(path, source, attributes, source.cameras, change)


def _check_now(path: Path, observations: Sequence[Column]) -> None:
    for column in observations:
        if column.ahead:
            raise SettingsError(
                f"{path}: observation column '{column.name or column.of}': ahead = {column.ahead}: "
                "an observation would show what comes after it. Leave ahead to action columns."
            )


@dataclass(frozen=True)
class _Entry:
    """A column, named and with its unit, and where the columns it is made of lie."""

    name: str
    unit: str
    column: Column
    of: int
    plus: int | None
    minus: int | None

    def value(self, raw: Table, state: Table) -> Table:
        """(T,) of the source's columns (T + k,C) of its kind and its observations (T,O)."""
        column, values = self.column, raw[:, self.of]
        later = slice(column.ahead, column.ahead + len(state))
        if column.gripper is not None:
            return openness(values, column.gripper)[later]
        values = column.scale * values[later] + column.offset
        if self.plus is not None:
            values = values + state[:, self.plus]
        if self.minus is not None:
            values = values - state[:, self.minus]
        return wrapped(values, column.wrap_from) if column.wrap else values


def _locate(
    path: Path, attributes: Attributes, kind: str, columns: Sequence[Column]
) -> list[_Entry]:
    names, units = (getattr(attributes, f"{kind}_{part}") for part in ("names", "units"))
    state = attributes.observation_names
    entries = []
    for j, column in enumerate(columns or [Column(of=name) for name in names]):
        place = f"{path}: {kind}_columns[{j}]"
        of = _find(f"{place}: of", column.of, names)
        entry = _Entry(
            column.name if column.name is not None else names[of],
            column.unit if column.unit is not None else units[of],
            column,
            of,
            None if column.plus is None else _find(f"{place}: plus", column.plus, state),
            None if column.minus is None else _find(f"{place}: minus", column.minus, state),
        )
        for other in (entry.plus, entry.minus):
            _check_unit(place, entry, attributes, other)
        entries.append(entry)
    return entries


def _find(place: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise SettingsError(f"{place}: {unknown('column of the source', name, names)}")
    return list(names).index(name)


def _check_unit(place: str, entry: _Entry, attributes: Attributes, other: int | None) -> None:
    """Refuse metres plus millimetres, where both say what they are."""
    if other is None:
        return
    unit = attributes.observation_units[other]
    if UNKNOWN not in (unit, entry.unit) and unit != entry.unit:
        raise SettingsError(
            f"{place}: '{entry.name}' is in {entry.unit}, but the source's "
            f"'{attributes.observation_names[other]}' that is added or subtracted is in {unit}. "
            "Bring the column to that unit by scale."
        )


def _rename(attributes: Attributes, kind: str, entries: Sequence[_Entry]) -> Attributes:
    names, units = tuple(c.name for c in entries), tuple(c.unit for c in entries)
    if kind == "observation":
        return replace(attributes, observation_names=names, observation_units=units)
    return replace(attributes, action_names=names, action_units=units)


def _mapped(kind: str, raw: Table, state: Table, entries: Sequence[_Entry]) -> NDArray[np.float32]:
    """(T + k,C) of the source as (T,n) of the store."""
    out = np.empty((len(state), len(entries)), np.float32)
    for j, column in enumerate(entries):
        with np.errstate(over="ignore"):
            value = column.value(raw, state)
            out[:, j] = narrow(value, column.column.wrap_from) if column.column.wrap else value
        bad = ~np.isfinite(out[:, j])
        if bad.any():
            raise DataError(
                f"{kind} column '{column.name}', made of '{column.column.of}': row "
                f"{int(np.argmax(bad))} is beyond float32. Check its scale and offset."
            )
    return out


def unused(
    attributes: Attributes, observations: Sequence[Column], actions: Sequence[Column]
) -> tuple[str, ...]:
    """The columns of the source that no column of the store is made of, by name."""
    every = (*observations, *actions)
    beside = {name for column in every for name in (column.plus, column.minus) if name is not None}
    state = {column.of for column in observations or map(Column, attributes.observation_names)}
    acted = {column.of for column in actions or map(Column, attributes.action_names)}
    return (
        *(name for name in attributes.observation_names if name not in state | beside),
        *(name for name in attributes.action_names if name not in acted),
    )


def methods(
    kind: str, columns: Sequence[Column], names: Sequence[str], common: str | None
) -> tuple[str, ...]:
    """How each column of the store goes to another rate: as it says itself, else as all do.

    Args:
        kind: "observation" or "action", for messages.
        columns: of the store; none where it keeps the source's.
        names: of the store's columns.
        common: ``Resample.observations`` or ``.actions``.

    Raises:
        SettingsError: naming the columns of which nobody says it.
    """
    own = [column.resample for column in columns] or [None] * len(names)
    silent = [name for name, method in zip(names, own, strict=True) if (method or common) is None]
    if silent:
        fit = ", ".join(name for name in METHODS if kind == "action" or name not in AHEAD)
        raise SettingsError(
            f"resample.rate is given, but nobody says how {kind} columns {', '.join(silent)} go "
            f"there. Give resample.{kind}s, one of {fit}, or resample of a column in "
            f"{kind}_columns."
        )
    return tuple(str(method or common) for method in own)
