"""One line for one condition across fields."""

from ambient_policy.errors import SettingsError


def require(condition: bool, message: str) -> None:
    """Raise SettingsError with the message unless the condition holds."""
    if not condition:
        raise SettingsError(message)
