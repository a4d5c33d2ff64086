"""Layouts that others write.

``open_any`` reads in place what can be: our own stores and diffusion_policy's. Everything else, and
those too, is read one episode at a time by ``open_demonstrations`` and converted (``conversion/``).
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from ambient_datasets.demonstrations import Demonstrations, Request
from ambient_datasets.formats.diffusion_policy import open_diffusion_policy
from ambient_datasets.guards.archive import open_group
from ambient_datasets.layout import LAYOUT
from ambient_datasets.records import StrPath
from ambient_datasets.store import Store, open_store
from ambient_policy.errors import DataError, SettingsError, unknown
from ambient_policy.settings import SourceSettings, Tables

__all__ = ["FORMATS", "open_any", "open_demonstrations", "open_diffusion_policy"]

# format -> the module and function that reads it; imported when asked for, as each wants libraries
# of its own (the extra of the same name)
FORMATS = {
    "diffusion_policy": ("replay", "open_replay"),
    "lerobot": ("lerobot", "open_lerobot"),
    "rlds": ("rlds", "open_rlds"),
    "robomimic": ("robomimic", "open_robomimic"),
}


# settings of a request that not every format reads, what they are if left out, and who reads them
OWN: Mapping[str, tuple[object, Sequence[str]]] = {
    "episodes": (None, ["robomimic"]),
    "drop_last_observation": (False, ["robomimic"]),
    "stamps": ("check", ["lerobot", "diffusion_policy", "robomimic"]),
}


def open_demonstrations(path: StrPath, request: Request) -> Demonstrations:
    """Demonstrations in a format of others.

    Args:
        path: a file or folder, as the format has it.
        request: the format, one of ``FORMATS``; what to take, and what it means.

    Raises:
        SettingsError: for an unknown format, one whose libraries are not installed, or a setting
            of another format.
        DataError: naming file and place.
    """
    kind = request.format
    if kind not in FORMATS:
        raise unknown("format", kind, FORMATS)
    for name, (silent, formats) in OWN.items():
        if kind not in formats and getattr(request, name) != silent:
            raise SettingsError(
                f"{name} = {getattr(request, name)!r}: read of format={' or '.join(formats)}, and "
                f"format={kind} is asked for. Leave it out."
            )
    module, function = FORMATS[kind]
    try:
        loaded = import_module(f"ambient_datasets.formats.{module}")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"format '{kind}' needs the package '{error.name}', which is not installed. Install it "
            f"with: pip install 'ambient-policy[{kind}]'."
        ) from error
    opener: Callable[[StrPath, Request], Demonstrations] = getattr(loaded, function)
    return opener(path, request)


def open_any(settings: SourceSettings, tables: Tables = Tables.memory) -> Store:
    """The store of a source: of our layout, which describes itself, or of diffusion_policy's.

    Args:
        settings: its path and, of a diffusion_policy store, what its numbers mean.
        tables: whether its low-dimensional numbers lie in memory or on disk.

    Raises:
        DataError: if the store is invalid, described twice or not at all.
    """
    path = Path(settings.path)
    with open_group(path) as group:
        ours = LAYOUT in group.attrs
    if not ours:
        return open_diffusion_policy(settings, tables)
    if settings.attributes is not None or settings.observation_columns or settings.cameras:
        raise DataError(
            f"{path}: this store says itself what its numbers mean, and the config describes it "
            "too. Remove the source's attributes, observation_columns and cameras from the config."
        )
    return open_store(path, tables)
