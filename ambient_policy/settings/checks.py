"""Checks that all settings share."""

from enum import Enum
from functools import cache
from typing import Any, get_args, get_type_hints

from ambient_policy.errors import SettingsError, unknown


def require(condition: bool, message: str) -> None:
    """Raise SettingsError with the message unless the condition holds."""
    if not condition:
        raise SettingsError(message)


@cache
def _enums(schema: type) -> dict[str, type[Enum]]:
    """The fields of a dataclass that hold a word of an Enum."""
    hints = get_type_hints(schema)
    kinds = {name: (hint, *get_args(hint)) for name, hint in hints.items()}
    return {
        name: kind
        for name, options in kinds.items()
        for kind in options
        if isinstance(kind, type) and issubclass(kind, Enum)
    }


def words_to_enums(settings: Any) -> None:
    """Replace words by the members of their Enum, in place: Python users write plain strings.

    Raises:
        SettingsError: for a word that is none of them, listing those.
    """
    for name, kind in _enums(type(settings)).items():  # type: ignore[arg-type]
        value = getattr(settings, name)
        if isinstance(value, str):
            if value not in kind.__members__:
                raise unknown(name, value, kind.__members__)
            setattr(settings, name, kind[value])
