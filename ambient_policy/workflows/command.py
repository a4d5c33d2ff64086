"""Settings as the command line that gives them."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any

PLAIN = re.compile(r"[A-Za-z_/.][\w/.-]*", re.ASCII)
NO_TEXT = ("null", "true", "false", "inf", "nan")


def command_line(verb: str, settings: Any) -> str:
    """``ambient-policy VERB`` with every key that is not at its default.

    Args:
        verb: whose settings they are.
        settings: a dataclass of plain values, lists and mappings; keys of mappings are plain words.
    """
    return shlex.join(["ambient-policy", verb, *overrides(settings)])


def overrides(settings: Any, prefix: str = "") -> Iterator[str]:
    """``key=value`` for every value that is not at its default, as hydra reads it."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        if value == _default(item):
            continue
        if is_dataclass(value):
            yield from overrides(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}={quoted(value)}"


def quoted(value: Any) -> str:
    """A value in hydra's grammar."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}: {quoted(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(quoted, value))}]"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return _quoted_text(value)
    return json.dumps(value)  # null, true, numbers


def _quoted_text(text: str) -> str:
    """In double quotes, in which only backslashes before a quote are doubled; words as they are."""
    if PLAIN.fullmatch(text) and text.lower() not in NO_TEXT:
        return text
    plain = text.replace("${", r"\${")  # no interpolation
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', plain)
    return f'"{escaped}{_backslashes(escaped)}"'


def _backslashes(text: str) -> str:
    """Those at the end of a text once more, for they stand before the closing quote."""
    return "\\" * (len(text) - len(text.rstrip("\\")))


def _default(item: Field[Any]) -> Any:
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default
