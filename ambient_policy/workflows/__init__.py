"""The work of each verb, from settings to what lies on disk: the one folder that knows all others.

A verb is the function of that name in a module named by a noun; its settings are the type of its
first argument.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, get_type_hints

from ambient_policy.errors import unknown

VERBS = {
    "collect": "collection",
    "convert": "conversion",
    "plot": "plot",
    "annotate": "annotation",
    "describe": "description",
    "levels": "levels",
    "train": "training",
    "sweep": "sweep",
    "evaluate": "evaluation",
    "roughness": "roughness",
    "compare": "comparison",
    "export": "export",
    "benchmark": "benchmark.verb",
}


def function_of(verb: str) -> Callable[[Any], Any]:
    """The function that does a verb's work.

    Raises:
        SettingsError: for a verb that does not exist, with those that do.
    """
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    function: Callable[[Any], Any] = getattr(import_module(f"{__name__}.{VERBS[verb]}"), verb)
    return function


def settings_of(verb: str) -> type:
    """The dataclass of a verb's settings."""
    schema: type = get_type_hints(function_of(verb))["settings"]
    return schema
