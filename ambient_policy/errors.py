"""The errors that this project raises on purpose.

Every message says what the value is, what is allowed and what to do.
"""

import difflib
from collections.abc import Iterable


class AmbientPolicyError(Exception):
    """The base of all errors raised on purpose; the command prints them without a traceback."""


class SettingsError(AmbientPolicyError):
    """A setting that is missing, misspelt, out of range or at odds with another."""


class DataError(AmbientPolicyError):
    """A store, episode or annotation that cannot be read or trusted as it stands."""


class CheckpointError(AmbientPolicyError):
    """A checkpoint that cannot be written, read or used for this task."""


class DivergenceError(AmbientPolicyError):
    """A training whose loss is no longer a finite number."""


def listed(names: Iterable[str], most: int = 12) -> str:
    """Write names for a message: all of them, or the first ones and how many there are."""
    known = list(names)
    more = f", .. ({len(known)} in all)" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def unknown(
    kind: str, name: str, allowed: Iterable[str], shown: Iterable[str] | None = None
) -> SettingsError:
    """Make the error for a name that does not exist; it lists the names and guesses the right one.

    Args:
        kind: what the name should be, e.g. "layout".
        name: the name that does not exist.
        allowed: the names that exist.
        shown: what to list in their place, where they are many; None lists them all.
    """
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    listing = names if shown is None else shown
    return SettingsError(f"unknown {kind} '{name}'; known: {', '.join(listing)}.{hint}")
