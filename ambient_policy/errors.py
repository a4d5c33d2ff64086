"""What goes wrong on purpose. Every message says what was given, what is allowed, what to do."""

import difflib
from collections.abc import Iterable


class AmbientPolicyError(Exception):
    """Anything this project refuses knowingly; scripts print it without a traceback."""


class SettingsError(AmbientPolicyError):
    """A setting that is missing, misspelt, out of range or at odds with another."""


class DataError(AmbientPolicyError):
    """A store, episode or annotation that cannot be read or trusted as it stands."""


class CheckpointError(AmbientPolicyError):
    """A checkpoint that cannot be written, read or used for this task."""


class DivergenceError(AmbientPolicyError):
    """A training whose loss is no longer a finite number."""


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message: all of them, or the first and how many there are."""
    known = list(names)
    more = f", .. ({len(known)} in all)" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def unknown(kind: str, given: str, allowed: Iterable[str]) -> SettingsError:
    """The error for a name that does not exist: lists those that do and guesses what was meant."""
    names = sorted(allowed)
    close = difflib.get_close_matches(given, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return SettingsError(f"unknown {kind} '{given}'; known: {', '.join(names)}.{hint}")
