"""Planner libraries are an extra: imported when first needed, missed with a remedy."""

import importlib
from typing import Any

from ambient_policy.errors import SettingsError


def planner_library(module: str, package: str) -> Any:
    """Import a module of a planner library.

    Raises:
        SettingsError: if the package is not installed, naming the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SettingsError(
            f"this expert needs the package '{package}', which is not installed ({error}). "
            "Install the planners: pip install 'ambient-policy[planners]'."
        ) from error
