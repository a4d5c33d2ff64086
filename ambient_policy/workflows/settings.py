"""From the command line and ``configs/`` to a checked settings object; hydra composes."""

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from functools import cache
from itertools import product
from typing import Any, get_origin, get_type_hints

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ambient_policy.errors import SettingsError
from ambient_policy.workflows import settings_of
from ambient_policy.workflows.configs import CONFIGS, folders
from ambient_policy.workflows.refusals import explain, no_value

# what hydra raises for overrides and configs; the last three where it trips over them
REFUSALS = (
    HydraException,
    OmegaConfBaseException,
    yaml.YAMLError,
    ValueError,
    AttributeError,
    AssertionError,
)


class OwnConfigs(SearchPathPlugin):
    """The user's own configs, in front of ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Hydra calls this whenever it composes."""
        for folder in folders()[:-1]:
            search_path.prepend("own", f"file://{folder}")


Plugins.instance().register(OwnConfigs)


def _mappings(kind: type, prefix: str = "") -> Iterator[str]:
    """The keys that hold mappings by names that a user chooses."""
    for name, hint in get_type_hints(kind).items():
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _mappings(hint, f"{prefix}{name}.")
        elif get_origin(hint) is dict:
            yield f"{prefix}{name}"


@cache
def _typed(verb: str) -> DictConfig:
    """The settings of a verb with their defaults."""
    config: DictConfig = OmegaConf.structured(settings_of(verb))
    for name, hint in get_type_hints(settings_of(verb)).items():
        if is_dataclass(hint) and OmegaConf.is_missing(config, name):
            config[name] = hint
    return config


@cache
def _keys(verb: str) -> DictConfig:
    """What ``<verb>_settings`` is in the configs: every key with its default, but no types yet.

    Mappings take new names without a plus, as ``sources.mine.path=mine.zarr``.
    """
    config = OmegaConf.create(OmegaConf.to_container(_typed(verb), enum_to_str=True))
    assert isinstance(config, DictConfig)
    for name in _mappings(settings_of(verb)):
        OmegaConf.set_struct(OmegaConf.select(config, name), False)
    return config


def _infinite(word: str) -> str:
    """Hydra's word for infinity where an override has YAML's: loss.s_max=.inf."""
    key, equals, value = word.partition("=")
    return f"{key}=inf" if equals and value.lower() == ".inf" else word


def _compose_config(verb: str, overrides: Sequence[str]) -> DictConfig:
    ConfigStore.instance().store(f"{verb}_settings", _keys(verb))
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = hydra_compose(verb, [_infinite(word) for word in overrides])
        typed = OmegaConf.merge(_typed(verb), config)
        missing = OmegaConf.missing_keys(typed) | OmegaConf.missing_keys(config)
    except REFUSALS as error:
        raise explain(error, verb, overrides) from error
    if missing:
        raise no_value(sorted(missing), verb)
    assert isinstance(typed, DictConfig)
    return typed


def compose(verb: str, overrides: Sequence[str]) -> Any:
    """The settings object of ``configs/<verb>.yaml`` with overrides ``key=value``, ``group=name``.

    Raises:
        SettingsError: for an unknown key, choice or value, a key without a value, or values that
            do not go together.
    """
    config = _compose_config(verb, overrides)
    try:
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise explain(error, verb, overrides) from error


def compose_yaml(verb: str, overrides: Sequence[str]) -> str:
    """The same as YAML, before the checks across keys."""
    return OmegaConf.to_yaml(_compose_config(verb, overrides))


def combinations(words: Sequence[str]) -> list[list[str]]:
    """The overrides of every run of a sweep: each combination of the values that keys have.

    Raises:
        SettingsError: for what hydra cannot read, or a key without any value.
    """
    choices = [_values(word) for word in words]
    for word, values in zip(words, choices, strict=True):
        if not values:
            raise SettingsError(f"{word}: the key has no value, so there is no run.")
    return [list(point) for point in product(*choices)]


def _values(word: str) -> list[str]:
    """The overrides that one with several values stands for."""
    try:
        override = OverridesParser.create().parse_overrides([word])[0]
        if not override.is_sweep_override():
            return [word]
        key = override.get_key_element()
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    except OverrideParseException as error:
        raise explain(error, "sweep", [word]) from error
    except HydraException as error:
        raise SettingsError(
            f"{word}: {error}. Give the values of a sweep as key=a,b or key=range(5)."
        ) from error
