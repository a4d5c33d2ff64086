"""A mixture as a list of stores, in the form that cotraining code of the field reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ambient_policy.errors import listed
from ambient_policy.settings.checks import require
from ambient_policy.settings.data import SourceSettings, Threshold, Trust


@dataclass
class MixtureEntry:
    """One store of the list; what it says beyond the field's four keys is optional."""

    # folder (or .zarr.zip of diffusion_policy) with the episodes
    path: str = ""
    # of the episodes that are not for validation, the first so many teach; null = all
    max_train_episodes: int | None = None
    # share of the mixture, relative to the others; null for all entries = as many as their windows
    sampling_weight: float | None = None
    # share of all its episodes that no step teaches, rounded up; null = none
    val_ratio: float | None = None
    # what the source is called; null = the end of the path, without suffix
    name: str | None = None
    # what it is; null is allowed only for annotated stores and then means annotated
    trust: Trust | None = None
    # for trust = bounds, and only then
    sigma_min: Threshold = None
    sigma_max: Threshold = None
    # of diffusion_policy's stores, which do not say what their numbers mean: as in `sources`
    attributes: dict[str, Any] | None = None
    observation_keys: list[str] = field(default_factory=lambda: ["state"])
    action_key: str = "action"
    observation_columns: list[int] | None = None
    cameras: dict[str, str] = field(default_factory=dict)

    def as_source(self) -> SourceSettings:
        """The same, as one of `sources`."""
        return SourceSettings(
            path=self.path,
            trust=self.trust,
            sigma_min=self.sigma_min,
            sigma_max=self.sigma_max,
            weight=self.sampling_weight,
            held_out=0.0 if self.val_ratio is None else self.val_ratio,
            max_train_episodes=self.max_train_episodes,
            observation_keys=self.observation_keys,
            action_key=self.action_key,
            observation_columns=self.observation_columns,
            cameras=self.cameras,
            attributes=self.attributes,
        )


def add_mixture(
    sources: Mapping[str, SourceSettings], mixture: Sequence[MixtureEntry]
) -> dict[str, SourceSettings]:
    """The sources, and after them those of the list, in its order.

    Raises:
        SettingsError: for an entry without a path, or a name that is given twice.
    """
    named = name_entries(mixture)
    twice = sorted(name for name in named if name in sources)
    require(
        not twice,
        f"mixture: {listed(twice)} {'is' if len(twice) == 1 else 'are'} among the sources "
        f"already ({listed(sources)}). Give the entry another name, or take it out of one.",
    )
    return {**sources, **{name: entry.as_source() for name, entry in named.items()}}


def name_entries(mixture: Sequence[MixtureEntry]) -> dict[str, MixtureEntry]:
    """Each entry under its name: the one given, else the last part of its path.

    The last part goes without its suffix, ``demos`` of ``data/lift/demos.zarr``. A name depends on
    nothing but its entry: kept noise and held-out episodes hang on it, and no other source may
    change them.

    Raises:
        SettingsError: for an entry without a path, or a name that several entries would have.
    """
    named: dict[str, MixtureEntry] = {}
    for i, entry in enumerate(mixture):
        require(bool(entry.path), f"mixture[{i}].path is empty; name the folder of its store.")
        name = entry.name or _end(entry.path)
        other = named.get(name, entry).path
        require(
            name not in named,
            f"mixture: {name} would name {other} and {entry.path}. Give each a name of its own, "
            f"e.g. {{path: {entry.path}, name: ..}}.",
        )
        named[name] = entry
    return named


def _end(path: str) -> str:
    """The last part of a path, without the suffixes of stores."""
    return PurePath(path).name.removesuffix(".zip").removesuffix(".zarr")
