"""What hydra refuses, in one line: what was typed, what exists, what to do."""

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import yaml
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from ambient_policy.errors import SettingsError, unknown
from ambient_policy.workflows import settings_of
from ambient_policy.workflows.configs import choices, chosen
from ambient_policy.workflows.schema import keys


def explain(error: BaseException, verb: str, overrides: Sequence[str]) -> SettingsError:
    """The error to show for one of hydra's."""
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, yaml.YAMLError):
        return SettingsError(
            f"a config cannot be read: {' '.join(str(error).split())}. A config is plain YAML, "
            "without tags of Python: mend that file."
        )
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _unknown_choice(*str(error.missing_cfg_file).split("/", 1))
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return _of_hydra(str(error), verb, overrides)
    key, text = str(cause.full_key), str(cause.msg or cause).split("\n")[0]
    typed = _typed(key, overrides)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        return unknown_key(typed, cause.parent_node._get_root(), verb)
    if "MissingMandatoryValue" in text:
        name = text.rpartition(" ")[2]
        return no_value([name], verb)
    if "is not a ListConfig" in text:
        return SettingsError(f"{typed} is a list: write {typed}={_in_brackets(typed, overrides)}")
    return SettingsError(f"{key}: {text}")


def _unknown_choice(group: str, name: str = "") -> SettingsError:
    """Lists a group's choices; of a subfolder that is not meant only how many it has."""
    names = list(choices(group))
    folder = f"{name.rpartition('/')[0]}/"
    own = [choice for choice in names if "/" not in choice or choice.startswith(folder)]
    others = Counter(c.rpartition("/")[0] for c in names if c not in own)
    more = [f"{other}/* ({n}; ambient-policy configs {group})" for other, n in others.items()]
    return unknown(group, name, names, [*own, *more])


def unknown_key(key: str, config: DictConfig, verb: str) -> SettingsError:
    """Names what lies beside an unknown key, and the nearest."""
    entry = OmegaConf.get_type(config) not in (dict, settings_of(verb))  # of a list: has no groups
    known = sorted({*_keys(config), *(() if entry else chosen(verb))} - {key, "hydra"})
    parent, _, name = key.rpartition(".")
    while parent and not OmegaConf.is_dict(OmegaConf.select(config, parent)):
        parent, _, name = parent.rpartition(".")
    own = [k.removeprefix(f"{parent}.") for k in known if k.rpartition(".")[0] == parent]
    has = f"{parent} has" if parent else "there are"
    text = f"unknown setting '{key}'; {has} {', '.join(own) or 'none'}."
    if key == f"{parent}.{name}":  # the last part alone is wrong
        close = [f"{parent}.{other}" for other in difflib.get_close_matches(name, own, n=1)]
    else:
        close = difflib.get_close_matches(key, known, n=1)
    return SettingsError(f"{text} Did you mean '{close[0]}'?" if close else text)


def no_value(names: Sequence[str], verb: str) -> SettingsError:
    """For keys without a value: what each is, as --help has it."""
    meanings = {key.name: key.meaning for key in keys(verb)}
    parts = (f"{name} ({meanings[name]})" if meanings.get(name) else name for name in names)
    return SettingsError(
        f"no value for {', '.join(parts)}; give {' '.join(f'{name}=...' for name in names)}"
    )


def _unreadable(override: str) -> SettingsError:
    key, equals, value = override.partition("=")
    if not equals:
        return SettingsError(f"'{override}' is no key=value; all that follows the verb is.")
    if value.startswith(("[", "{")):
        return SettingsError(
            f"{override} cannot be read. Close every bracket, and quote the texts in it that hold "
            f"= ( ) [ ] {{ }} , : ~ or quotes, as in '{key}=[\"a=b\"]'."
        )
    inner = value.replace("'", "").replace('"', "")
    return SettingsError(
        f"{override} cannot be read. Values that hold = ( ) [ ] {{ }} , : ~ or quotes stand in "
        f"quotes of their own, inside those of the shell: '{key}=\"{inner}\"'."
    )


def _of_hydra(text: str, verb: str, overrides: Sequence[str]) -> SettingsError:
    """For what hydra refuses without naming a key of the settings."""
    words = " ".join(text.split("\nTo append")[0].split("Config search path")[0].split())
    if "No match in the defaults list" in words:
        groups = ", ".join(chosen(verb)) or "from no group"
        close = _deeper(words.split("'")[1], verb) if "'" in words else []
        meant = f" Did you mean '{close[0]}'?" if close else ""
        return SettingsError(f"{words} ambient-policy {verb} chooses {groups}.{meant}")
    if words.startswith("Ambiguous value"):
        return SettingsError(
            f"{words.split(' 1.')[0]}: several values are for ambient-policy sweep. A list is "
            "key=[a,b]; a text that holds a comma stands in quotes, 'key=\"a,b\"'."
        )
    if words.startswith("invalid literal for int()"):  # a name in a list
        words = f"A list has no entry {words.rpartition(' ')[2]}; give it whole, as key=[a,b]."
    return SettingsError(f"{words} ({' '.join(overrides)})")


def _deeper(name: str, verb: str) -> list[str]:
    """The settings of a verb one level down that have this name."""
    parts = get_type_hints(settings_of(verb)).items()
    return [f"{key}.{name}" for key, kind in parts if _has(kind, name)]


def _has(kind: Any, name: str) -> bool:
    return is_dataclass(kind) and name in {part.name for part in fields(kind)}


def _in_brackets(key: str, overrides: Sequence[str]) -> str:
    """The last value that was typed for a key, as a list."""
    pairs = [override.partition("=") for override in overrides]
    values = [value for name, _, value in pairs if name.lstrip("+~") == key]
    return f"[{values[-1] if values else 'a,b'}]"


def _typed(key: str, overrides: Sequence[str]) -> str:
    """The whole key that was typed, of which hydra names the part it stopped at."""
    names = (override.partition("=")[0].lstrip("+~") for override in overrides)
    return next((name for name in names if f"{name}.".startswith(f"{key}.")), key)


def _children(node: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    for name in map(str, node):
        if not OmegaConf.is_missing(node, name) and not OmegaConf.is_interpolation(node, name):
            child: Any = node[name]
            if isinstance(child, DictConfig):
                yield name, child


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    yield from (f"{prefix}{name}" for name in map(str, node))
    for name, child in _children(node):
        yield from _keys(child, f"{prefix}{name}.")
