"""From command line and ``configs/`` to checked settings; the only place that knows hydra."""

import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.text import Text

from ambient_policy.errors import AmbientPolicyError, SettingsError
from ambient_policy.settings import RunSettings

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def register(name: str, schema: type) -> None:
    """Make a dataclass known to the configs under a name: it types and completes their keys."""
    ConfigStore.instance().store(name, schema)


register("run_settings", RunSettings)


def _keys(node: Any, prefix: str = "") -> list[str]:
    names = []
    for key in node if isinstance(node, DictConfig) else []:
        names.append(f"{prefix}{key}")
        if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            names += _keys(node[key], f"{prefix}{key}.")
    return names


def _check_names(config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse an override of a key that does not exist, naming the nearest that do."""
    groups = [str(f.relative_to(CONFIGS).parent) for f in CONFIGS.glob("*/*.yaml")]
    known = sorted({*_keys(config), *groups})
    for override in overrides:
        name = override.split("=")[0].lstrip("+~/")
        if name not in known and not name.startswith(("sources.", "task.kwargs.")):
            parent = name.rpartition(".")[0] if name.rpartition(".")[0] in known else ""
            siblings = [k for k in known if k.rpartition(".")[0] == parent]
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise SettingsError(
                f"unknown setting '{name}'; beside it exist: {', '.join(siblings)}.{hint}"
            )


def compose(config: str, overrides: Sequence[str]) -> Any:
    """The settings object of configs/<config>.yaml with overrides ``key=value`` and ``group=name``.

    Raises:
        SettingsError: for an unknown key, group choice or value, or a key without a value.
    """
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            known = [o for o in overrides if "/" not in o.split("=")[0]]
            groups = [o for o in known if (CONFIGS / o.split("=")[0]).is_dir()]
            _check_names(hydra_compose(config, groups), overrides)
            composed = hydra_compose(config, list(overrides))
            missing = sorted(OmegaConf.missing_keys(composed))
            if missing:
                example = f"{missing[0]}=..."
                raise SettingsError(f"no value for {', '.join(missing)}; give it as {example}")
            return OmegaConf.to_object(composed)
    except (HydraException, OmegaConfBaseException) as error:
        text = f"{error} {error.__cause__ or ''}".split("full_key")[0].split("Config search path")[
            0
        ]
        raise SettingsError(" ".join(text.split())) from error


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a script on the command line; refusals are one red line and exit status 1."""
    try:
        main(sys.argv[1:])
    except AmbientPolicyError as error:
        console = Console(stderr=True, soft_wrap=True)
        console.print(Text.assemble(("error: ", "bold red"), str(error)))
        sys.exit(1)
