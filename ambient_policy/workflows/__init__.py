"""The work of each verb, from settings to what lies on disk: the one folder that knows all others.

A verb is the function of that name in a module named by a noun. The type of its parameter
``settings`` is the schema of ``configs/<verb>.yaml``. A verb with a parameter ``words`` instead
reads what the user typed itself; if it composes, the schema is ``<Verb>Settings`` beside it.
"""

from collections.abc import Callable
from importlib import import_module
from inspect import getmodule, signature
from typing import Any, get_type_hints

from ambient_policy.errors import SettingsError, unknown

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
    "migrate": "migration",
    "benchmark": "benchmark",
    "new": "template",
    "configs": "configs",
    "completion": "completion",
}
# verbs that go on where they stopped when they are started again
CONTINUED = {"collect", "convert", "train", "sweep", "compare"}


def check_verb(verb: str) -> None:
    """Refuse a verb that does not exist.

    Raises:
        SettingsError: with the verbs there are.
    """
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)


def function_of(verb: str) -> Callable[[Any], Any]:
    """The function that does a verb's work.

    Raises:
        SettingsError: for a verb that does not exist, with those that do.
    """
    check_verb(verb)
    function: Callable[[Any], Any] = getattr(import_module(f"{__name__}.{VERBS[verb]}"), verb)
    return function


def is_composed(verb: str) -> bool:
    """Whether its settings come from configs; else it takes the words as they were typed."""
    return "settings" in signature(function_of(verb)).parameters


def settings_of(verb: str) -> type:
    """The dataclass of a verb's settings; of one that reads words, the class named after it.

    Raises:
        SettingsError: for a verb that has none.
    """
    function = function_of(verb)
    own = getattr(getmodule(function), settings_name(verb), None)
    schema: type | None = get_type_hints(function).get("settings", own)
    if schema is None:
        raise SettingsError(f"{verb} has no config: ambient-policy {verb} --help says what it is.")
    return schema


def settings_name(verb: str) -> str:
    """What the settings of a verb that reads words itself are called."""
    return f"{verb.capitalize()}Settings"
