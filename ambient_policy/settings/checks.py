"""Checks that all settings share."""

from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, get_args, get_type_hints

from ambient_policy.errors import SettingsError, unknown

E = TypeVar("E")

if TYPE_CHECKING:

    class Word(Generic[E]):
        """A field that holds a member of an Enum; Python users may give its name as a string."""

        def __get__(self, settings: Any, kind: Any) -> E: ...

        def __set__(self, settings: Any, value: E | str) -> None: ...

    def word(default: E) -> Word[E]: ...

else:
    Word = Annotated[E, "or its name"]  # omegaconf and pydantic see the Enum

    def word(default: E) -> E:
        """The default of such a field."""
        return default


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
