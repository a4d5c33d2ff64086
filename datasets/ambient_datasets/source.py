"""One source of a mixture: its settings, its store, and which of its episodes teach."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.store import Store
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.seeding import generator
from ambient_policy.settings import SourceSettings

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Source:
    """The first E episodes of a store.

    Attributes:
        name: unique within the mixture; kept noise and held-out episodes hang on it.
        settings: what the run says of it.
        store: opened and checked.

    Raises:
        SettingsError: if the settings contradict each other.
        DataError: if the store cannot deliver what they ask for.
    """

    name: str
    settings: SourceSettings
    store: Store

    def __post_init__(self) -> None:
        _check_weight(self)
        _check_episodes(self)
        _ = self.taught  # refuses shares and numbers that do not fit

    @property
    def episodes(self) -> int:
        """E."""
        most = self.settings.max_episodes
        return len(self.store) if most is None else most

    @property
    def windows(self) -> int:
        """One for each control step of its episodes."""
        return int(self.store.episode_ends[self.episodes - 1])

    @property
    def taught_windows(self) -> int:
        """Those of the episodes that teach."""
        return int(self.store.episode_lengths[: self.episodes][self.taught].sum())

    @cached_property
    def held_out(self) -> Mask:
        """(E,) the episodes that no step teaches, for validation."""
        return hold_out(self.name, self.episodes, self.settings.val_ratio or 0.0)

    @cached_property
    def taught(self) -> Mask:
        """(E,) the episodes that teach: those not held out, or the first of them."""
        return choose_taught(self.name, self.held_out, self.settings.max_train_episodes)

    @property
    def taught_rows(self) -> Mask:
        """(N,) the rows of the store that are windows of episodes that teach."""
        lengths = self.store.episode_lengths
        taught = np.pad(self.taught, (0, len(lengths) - self.episodes))
        rows: Mask = np.repeat(taught, lengths)
        return rows


def hold_out(name: str, episodes: int, share: float) -> Mask:
    """Which episodes of a source are held out: (E,), ``share`` of them, rounded up.

    They hang on the source's name alone, so every arm and every training seed leaves out the same.

    Raises:
        SettingsError: unless 0 <= share < 1 and an episode is left to teach.
    """
    count = ceil(round(share * episodes, 9)) if 0 <= share < 1 else episodes  # 0.07 * 100 is 7
    if count == episodes:
        raise SettingsError(
            f"source '{name}': val_ratio = {share} of {episodes} episodes (rounded up) leaves none "
            "to teach; give a share from 0 to below 1 that leaves at least one."
        )
    held_out = np.zeros(episodes, np.bool_)
    held_out[np.argsort(generator(0, f"held out of {name}").random(episodes))[:count]] = True
    return held_out


def choose_taught(name: str, held_out: Mask, most: int | None) -> Mask:
    """Which episodes of a source teach: (E,), the first ``most`` of those not held out.

    Who is held out does not depend on ``most``, so runs on more and fewer episodes share one
    validation, and the fewer are among the more.

    Raises:
        DataError: unless there are so many.
    """
    left = ~held_out
    if most is None:
        return left
    if not 1 <= most <= left.sum():
        raise DataError(
            f"source '{name}': max_train_episodes = {most}, but {left.sum()} episodes are left to "
            f"teach and {held_out.sum()} are held out. Give 1 to {left.sum()}, or leave it out."
        )
    taught: Mask = left & (np.cumsum(left) <= most)
    return taught


def _check_weight(source: Source) -> None:
    weight = source.settings.sampling_weight
    if weight is not None and not 0 <= weight < np.inf:
        raise SettingsError(
            f"source '{source.name}': sampling_weight = {weight}; give a number of at least 0, or "
            "leave it out for the natural weight."
        )


def _check_episodes(source: Source) -> None:
    store, most = source.store, source.settings.max_episodes
    if len(store) == 0:
        raise DataError(
            f"{store.path}: source '{source.name}': no episodes yet. Collect some first."
        )
    if most is not None and not 1 <= most <= len(store):
        raise DataError(
            f"{store.path}: source '{source.name}': max_episodes = {most}, but the store holds "
            f"{len(store)}. Give sources.{source.name}.max_episodes 1 to {len(store)} or null, or "
            "collect more."
        )
