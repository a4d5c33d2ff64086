"""One source of a mixture: a store, how much of it, how often, and what it may teach.

What a store's episodes may teach is never assumed: the config says so (``Trust``), or the store's
annotation does, made under the very normaliser that training uses.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.store import Store
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.seeding import generator
from ambient_policy.settings import Trust


@dataclass(frozen=True, eq=False)
class Source:
    """The first E episodes of a store, with what they may teach.

    Attributes:
        name: unique within the mixture; kept noise hangs on it.
        store: validated.
        weight: how often the source is drawn, relative to the others; None is natural, i.e. in
            proportion to its windows.
        sigma_min, sigma_max: (E,) float64, sigma (VE) [normalised action].
        held_out: (E,) bool, the episodes that no step teaches, for validation.
        taught: (E,) bool, the episodes that teach: those not held out, or the first of them.
    """

    name: str
    store: Store
    weight: float | None
    sigma_min: NDArray[np.float64]
    sigma_max: NDArray[np.float64]
    held_out: NDArray[np.bool_]
    taught: NDArray[np.bool_]

    @property
    def episodes(self) -> int:
        """E."""
        return len(self.sigma_min)

    @property
    def windows(self) -> int:
        """One for each control step of its episodes."""
        return int(self.store.episode_ends[self.episodes - 1])

    @property
    def taught_windows(self) -> int:
        """Those of the episodes that teach."""
        return int(self.store.episode_lengths[: self.episodes][self.taught].sum())


def resolve_source(
    name: str,
    store: Store,
    *,
    trust: Trust | None = None,
    fingerprint: str | None = None,
    weight: float | None = None,
    max_episodes: int | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    held_out: float = 0.0,
    max_train_episodes: int | None = None,
) -> Source:
    """A source from what a config says of it.

    Args:
        name: unique within the mixture.
        store: opened.
        trust: may be left out only where the store is annotated.
        fingerprint: of the normaliser used in training; needed for ``Trust.annotated``.
        weight: >= 0, or None for the natural weight (all sources of a mixture, or none).
        max_episodes: take the first so many; None takes all.
        sigma_min, sigma_max: for ``Trust.bounds`` only, 0 to inf.
        held_out: share of the episodes that no step teaches, from 0 to below 1.
        max_train_episodes: of those not held out, only the first so many teach; None takes all.

    Raises:
        DataError: if the store cannot deliver this.
        SettingsError: if the settings contradict each other.
    """
    episodes = _count_episodes(name, store, max_episodes)
    if weight is not None and not 0 <= weight < np.inf:
        raise SettingsError(
            f"source '{name}': weight = {weight}; give a number of at least 0, or leave it out for "
            "the natural weight."
        )
    trust = trust if trust is not None else _infer_trust(name, store)
    if trust is not Trust.bounds and not (sigma_min is None and sigma_max is None):
        raise SettingsError(
            f"source '{name}': sigma_min and sigma_max are read only with trust = bounds, and "
            f"trust is {trust.value}. Set trust = bounds or leave them out."
        )
    if trust is Trust.annotated:
        low, high = _annotated(name, store, fingerprint)
    elif trust is Trust.bounds:
        low, high = _bounds(name, sigma_min, sigma_max, episodes)
    else:
        pair = (0.0, np.inf) if trust is Trust.trusted else (np.inf, 0.0)
        low, high = np.full(episodes, pair[0]), np.full(episodes, pair[1])
    out = hold_out(name, episodes, held_out)
    taught = choose_taught(name, out, max_train_episodes)
    return Source(name, store, weight, low[:episodes], high[:episodes], out, taught)


def hold_out(name: str, episodes: int, share: float) -> NDArray[np.bool_]:
    """Which episodes of a source are held out: (E,), ``share`` of them, rounded up.

    They hang on the source's name alone, so every arm and every training seed leaves out the same.

    Raises:
        SettingsError: unless 0 <= share < 1 and an episode is left to teach.
    """
    count = ceil(round(share * episodes, 9)) if 0 <= share < 1 else episodes  # 0.07 * 100 is 7
    if count == episodes:
        raise SettingsError(
            f"source '{name}': held_out = {share} of {episodes} episodes (rounded up) leaves none "
            "to teach; give a share from 0 to below 1 that leaves at least one."
        )
    held_out = np.zeros(episodes, np.bool_)
    held_out[np.argsort(generator(0, f"held out of {name}").random(episodes))[:count]] = True
    return held_out


def choose_taught(name: str, held_out: NDArray[np.bool_], most: int | None) -> NDArray[np.bool_]:
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
    taught: NDArray[np.bool_] = left & (np.cumsum(left) <= most)
    return taught


def _count_episodes(name: str, store: Store, max_episodes: int | None) -> int:
    if len(store) == 0:
        raise DataError(f"{store.path}: source '{name}': no episodes yet. Collect some first.")
    if max_episodes is None:
        return len(store)
    if not 1 <= max_episodes <= len(store):
        raise DataError(
            f"{store.path}: source '{name}': max_episodes = {max_episodes}, but the store holds "
            f"{len(store)}. Give 1 to {len(store)}, leave it out, or collect more."
        )
    return max_episodes


def _infer_trust(name: str, store: Store) -> Trust:
    if store.annotation is None:
        raise DataError(
            f"{store.path}: source '{name}': the store is not annotated and the config does not "
            "say what it may teach; nothing is trusted silently. Set trust to trusted, rejected or "
            "bounds (with sigma_min, sigma_max), or annotate the store (scripts/annotate.py)."
        )
    return Trust.annotated


def _annotated(
    name: str, store: Store, fingerprint: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if store.annotation is None:
        raise DataError(
            f"{store.path}: source '{name}': trust = annotated, but the store has no meta/sigma_min"
            " and meta/sigma_max. Annotate it (scripts/annotate.py), or set trust to trusted, "
            "rejected or bounds."
        )
    if store.annotation.fingerprint != fingerprint:
        raise DataError(
            f"{store.path}: source '{name}': annotated under the normaliser "
            f"{store.annotation.fingerprint}, but training uses {fingerprint}; its noise levels "
            "mean something else there. Train with the normaliser of the annotation, or annotate "
            "again with this one (scripts/annotate.py)."
        )
    return store.annotation.sigma_min, store.annotation.sigma_max


def _bounds(
    name: str, sigma_min: float | None, sigma_max: float | None, episodes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    for key, value in (("sigma_min", sigma_min), ("sigma_max", sigma_max)):
        if value is None or not value >= 0:
            raise SettingsError(
                f"source '{name}': trust = bounds needs {key} from 0 to inf, got {value}. An "
                "episode teaches sigma > sigma_min or sigma < sigma_max; sigma_max = 0 switches "
                "the second off, sigma_min = inf the first."
            )
    return np.full(episodes, sigma_min, np.float64), np.full(episodes, sigma_max, np.float64)
