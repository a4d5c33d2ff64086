"""The thresholds of a store's episodes: one pair for all, or a table with a line for each."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.diffusion.noise import resolve_sigma
from ambient_policy.errors import SettingsError
from ambient_policy.settings import NoiseSettings

Thresholds = NDArray[np.float64]


@dataclass
class ThresholdSettings:
    """Which thresholds."""

    # for all episodes: sigma [normalised action], or {vp: 0.074}, {flow: 0.07}, {log_snr: 5.2},
    # {step: 3}; sigma_max = 0 switches locality off
    sigma_min: Any = None
    sigma_max: Any = None
    # or a file with one line "sigma_min,sigma_max" per episode
    table: str | None = None
    # the schedule that steps belong to
    noise: NoiseSettings = field(default_factory=NoiseSettings)


def resolve_thresholds(settings: ThresholdSettings, source: str, episodes: int) -> Thresholds:
    """(E,2) sigma_min and sigma_max.

    Args:
        settings: which.
        source: whose, for the message.
        episodes: E of its store.

    Raises:
        SettingsError: naming what is missing, cannot be read or does not fit the store.
    """
    pair = settings.sigma_min, settings.sigma_max
    if sum(number is not None for number in pair) != (2 if settings.table is None else 0):
        raise SettingsError(
            f"sigma_min = {pair[0]}, sigma_max = {pair[1]}, table = {settings.table}: give both "
            "numbers (sigma_max=0 switches locality off), or a table, not a part of each."
        )
    if settings.table is not None:
        return _read(settings.table, source, episodes)
    levels = settings.noise.schedule_levels()
    low = resolve_sigma("sigma_min", settings.sigma_min, levels)
    high = resolve_sigma("sigma_max", settings.sigma_max, levels)
    return np.tile([low, high], (episodes, 1))


def _read(file: str, source: str, episodes: int) -> Thresholds:
    try:
        table = np.loadtxt(file, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"table = {file} cannot be read: {str(error).rstrip('.')}. Write one line per episode "
            "and no heading: sigma_min, a comma, sigma_max."
        ) from error
    if table.shape != (episodes, 2):
        raise SettingsError(
            f"table = {file} has shape {table.shape}, but the store of '{source}' has {episodes} "
            "episodes: give one line of two numbers for each."
        )
    return table
