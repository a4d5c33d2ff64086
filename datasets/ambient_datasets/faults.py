"""The errors of this package: file, key, episode, fault and remedy, always in this order."""

from pathlib import Path

from ambient_policy.errors import DataError


def fault(path: Path, key: str, what: str, remedy: str, episode: int | None = None) -> DataError:
    """What is wrong at a key of a file, and what to do about it."""
    where = "" if episode is None else f"episode {episode}: "
    return DataError(f"{path}: {key}: {where}{what}. {remedy}")


def corrupt_chunk(path: Path, key: str, name: str, reason: str, episode: int | None) -> DataError:
    """The error for a chunk file whose content cannot be right."""
    return fault(
        path,
        key,
        f"chunk file '{name}' is truncated or corrupt ({reason})",
        "Restore that file from a copy, or collect the store again.",
        episode,
    )
