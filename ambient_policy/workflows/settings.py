"""From command line and ``configs/`` to checked settings; the only place that knows hydra."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ambient_policy.errors import SettingsError
from ambient_policy.workflows import settings_of

# mappings whose keys are names that the user invents, so they need no plus to be added
FREE = ("task.kwargs", "task.observation", "cameras", "observations")
# likewise, of settings objects; a source needs the plus, for nobody should invent one by a typo
OBJECTS = ("network.encoders", "+sources")
PACKAGE = Path(__file__).resolve().parent.parent
# in the wheel inside of the package, in a checkout beside it
CONFIGS = next(p for p in (PACKAGE / "configs", PACKAGE.parent / "configs") if p.is_dir())


def register(name: str, schema: type) -> None:
    """Make a dataclass known to the configs under a name: it types and completes their keys."""
    ConfigStore.instance().store(name, schema)


def _keys(node: Any, prefix: str = "") -> list[str]:
    names = []
    for key in node if isinstance(node, DictConfig) else []:
        names.append(f"{prefix}{key}")
        if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            names += _keys(node[key], f"{prefix}{key}.")
    return names


def _groups(config: str) -> set[str]:
    """The folders of choices that configs/<config>.yaml chooses from."""
    loaded: Any = OmegaConf.load(CONFIGS / f"{config}.yaml")
    return {
        str(name) for entry in loaded.defaults if isinstance(entry, DictConfig) for name in entry
    }


def _key(override: str) -> str:
    return override.split("=")[0]


def _beginnings(names: Sequence[str], config: DictConfig) -> tuple[str, ...]:
    """How overrides of keys in these mappings begin, for the mappings that a config has."""
    mappings = {name: OmegaConf.select(config, name.lstrip("+")) for name in names}
    return tuple(f"{name}." for name, node in mappings.items() if isinstance(node, DictConfig))


def _added(override: str, free: tuple[str, ...]) -> str:
    """Told to hydra to be added where need be: cameras.front=key, or cameras={front: key}."""
    key, _, value = override.partition("=")
    adds = override.startswith(free) or (f"{key}." in free and value.startswith("{"))
    return f"++{override}" if adds else override


def _quoted(override: str) -> str:
    """Text that hydra's grammar does not know, such as action_from=state[t+1], as plain text."""
    try:
        OverridesParser.create().parse_override(override)
    except HydraException as error:
        key, equals, value = override.partition("=")
        if value.startswith(("[", "{", "'", '"')):
            raise SettingsError(
                f"{key} = {value}: no list, mapping or quoted text that can be read ("
                f"{str(error).splitlines()[0]}). Close every bracket and quote, and quote texts in "
                'it that hold = ( ) [ ] or a comma: [{path: "a(1).zarr"}].'
            ) from error
        # in quotes only backslashes before a quote are doubled, those before the last one too
        plain = re.sub(r'(\\*)"', r'\1\1\\"', value) + "\\" * (len(value) - len(value.rstrip("\\")))
        return f'{key}{equals}"{plain}"' if equals else override
    return override


def _check_names(config: DictConfig, groups: set[str], overrides: Sequence[str]) -> None:
    """Refuse an override of a key that neither exists nor may be invented, naming the nearest."""
    free, objects = _beginnings(FREE, config), _beginnings(OBJECTS, config)
    known = sorted({*_keys(config), *groups})
    for override in overrides:
        name = _key(override).lstrip("+~/") or override
        invented = name.startswith(free) or override.startswith(objects) or ".attributes." in name
        if name not in known and not invented:
            parent = name.rpartition(".")[0]
            while parent and not any(key.startswith(f"{parent}.") for key in known):
                parent = parent.rpartition(".")[0]
            siblings = [k for k in known if k.rpartition(".")[0] == parent]
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise SettingsError(
                f"unknown setting '{name}'; beside it exist: {', '.join(siblings)}.{hint}"
            )


def _allowed(error: BaseException) -> str:
    """The keys that would have been allowed where a config file has another."""
    cause: BaseException | None = error
    while cause is not None:
        kind = getattr(cause, "object_type", None)
        if isinstance(kind, type) and is_dataclass(kind):
            return f"; it has {', '.join(field.name for field in fields(kind))}."
        cause = cause.__cause__ or cause.__context__
    return ""


def compose(config: str, overrides: Sequence[str]) -> Any:
    """The settings object of configs/<config>.yaml with overrides ``key=value`` and ``group=name``.

    Raises:
        SettingsError: for an unknown key, group choice or value, or a key without a value.
    """
    ConfigStore.instance().store(f"{config}_settings", settings_of(config))
    overrides = [_quoted(override) for override in overrides]
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            groups = _groups(config)
            chosen = [o for o in overrides if _key(o) in groups]
            base = hydra_compose(config, chosen)
            _check_names(base, groups, overrides)
            overrides = [_added(override, _beginnings(FREE, base)) for override in overrides]
            # A setting that is named like a folder of choices this config does not choose from:
            # hydra would look for such a choice.
            plain = [o for o in overrides if (CONFIGS / _key(o)).is_dir() and o not in chosen]
            # a settings object by a name of the user's: hydra cannot make one, merging can
            named = [o for o in overrides if o.startswith(_beginnings(OBJECTS, base))]
            composed = hydra_compose(config, [o for o in overrides if o not in plain + named])
            composed.merge_with_dotlist(plain)
            with open_dict(composed):
                composed.merge_with(OmegaConf.from_dotlist([o.lstrip("+") for o in named]))
            missing = sorted(OmegaConf.missing_keys(composed))
            if missing:
                example = f"{missing[0]}=..."
                raise SettingsError(f"no value for {', '.join(missing)}; give it as {example}")
            return OmegaConf.to_object(composed)
    except (HydraException, OmegaConfBaseException) as error:
        text = f"{error} {error.__cause__ or ''}".split("full_key")[0].split("Config search path")[
            0
        ]
        raise SettingsError(" ".join(text.split()) + _allowed(error)) from error
