"""Episodes chosen by what is known of them: success, operator, length, instruction, ..

A filter is a value: a truth value, a number or a text ("*" and "?" stand for any letters), a list
of which one must fit, or {least: .., most: ..} for a number.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ambient_datasets.demonstrations import Demonstrations
from ambient_datasets.records import JSON
from ambient_policy.errors import DataError, SettingsError, listed

SPAN = {"least", "most"}
LENGTH, INSTRUCTION, SUCCESS = "length", "instruction", "success"


def check_filters(where: Mapping[str, Any]) -> None:
    """Refuse a filter that is none of the kinds above.

    Raises:
        SettingsError: naming it.
    """
    for name, wanted in where.items():
        choices = wanted if isinstance(wanted, list) else [wanted]
        if not choices or not all(map(_is_plain, choices)):
            raise SettingsError(
                f"where.{name} = {wanted}: give true or false, a number, a text in which * stands "
                "for any letters, a list of those, or {least: 20, most: 400} for a number."
            )


def _is_plain(wanted: Any) -> bool:
    if isinstance(wanted, dict):
        numbers = wanted.values()
        return bool(wanted) and wanted.keys() <= SPAN and all(map(_is_number, numbers))
    return isinstance(wanted, bool | int | float | str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def fits(value: JSON, wanted: Any) -> bool:
    """Whether what is known of an episode fits a filter."""
    if isinstance(wanted, list):
        return any(fits(value, each) for each in wanted)
    if isinstance(value, list):  # several tasks in one episode
        return any(fits(each, wanted) for each in value)
    if isinstance(wanted, dict):
        if not isinstance(value, int | float):
            return False
        return bool(wanted.get("least", value) <= value <= wanted.get("most", value))
    if isinstance(wanted, str):
        return isinstance(value, str) and fnmatchcase(value, wanted)
    return bool(value == wanted)


def select(
    path: Path, source: Demonstrations, where: Mapping[str, Any], numbers: Iterable[int]
) -> list[int]:
    """Of the episodes with some numbers, those that fit every filter.

    Raises:
        DataError: if nothing is known of an episode by a name, or none fits.
    """
    if not where:
        return list(numbers)
    known = {i: _known(path, source, where, i) for i in numbers}
    chosen = [i for i, values in known.items() if all(fits(values[k], v) for k, v in where.items())]
    if not chosen:
        seen = {name: sorted({str(values[name]) for values in known.values()}) for name in where}
        there = "; ".join(f"{name}: {listed(texts, 6)}" for name, texts in seen.items())
        raise DataError(f"{path}: where = {dict(where)}: no episode fits; there are {there}.")
    return chosen


def _known(
    path: Path, source: Demonstrations, where: Mapping[str, Any], i: int
) -> Mapping[str, JSON]:
    """What is known of an episode; its rows are read only where nothing else tells."""
    values = dict(source.about(i))
    missing = where.keys() - values.keys()
    if missing & {LENGTH, INSTRUCTION}:
        episode = source.episode(i)
        values |= {LENGTH: len(episode), INSTRUCTION: episode.instruction or ""}
    unknown = sorted(where.keys() - values.keys())
    if unknown:
        names = listed(sorted({*values, LENGTH, INSTRUCTION}), 20)
        raise DataError(
            f"{path}: where.{unknown[0]}: nothing of that name is known of episode {i}; there are "
            f"{names}. Name one of those, or leave the filter out."
        )
    return values


def count_failed(source: Demonstrations, numbers: Iterable[int]) -> int:
    """How many of some episodes a source marks as failed."""
    marks = (source.about(i).get(SUCCESS) for i in numbers)
    return sum(mark is not None and not mark for mark in marks)
