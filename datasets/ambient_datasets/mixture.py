"""Several stores behind one index: whose windows exist, how often, and at which noise levels."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.frames import JoinedFrames
from ambient_datasets.source import Source
from ambient_datasets.store import Attributes, Store
from ambient_policy.errors import DataError, SettingsError

COMPARED = (
    "observation_names",
    "observation_units",
    "action_names",
    "action_units",
    "control_rate",
)


@dataclass(frozen=True)
class SourceSummary:
    """One row of ``Mixture.describe``."""

    name: str
    episodes: int
    windows: int
    hours: float
    probability: float
    held_out: int


@dataclass(frozen=True, eq=False)
class Mixture:
    """N windows (one for each control step) of E episodes from S sources, in memory.

    Attributes:
        names: (S,) of the sources.
        attributes: of the whole: names, units and rate are everyone's, the task is the first's.
        observations: (N,O) float32, read-only.
        actions: (N,A) float32, read-only.
        episode_starts: (E,) int64, first row of each episode.
        episode_lengths: (E,) int64 [control steps].
        source_of_episode: (E,) int64, index into names.
        window_weight: (E,) float64, weight of each window of the episode: w_i / N_i; 0 if it is
            held out (N_i counts the others' windows).
        sigma_min, sigma_max: (E,) float64, sigma (VE) [normalised action].
        noise_origin: (E,) int64; row + noise_origin addresses kept noise by (source, row in it).
        held_out: (E,) bool, the episodes that no step teaches.
        cameras: the frames of the windows, on disk, by the name of the camera.
    """

    names: tuple[str, ...]
    attributes: Attributes
    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    episode_starts: NDArray[np.int64]
    episode_lengths: NDArray[np.int64]
    source_of_episode: NDArray[np.int64]
    window_weight: NDArray[np.float64]
    sigma_min: NDArray[np.float64]
    sigma_max: NDArray[np.float64]
    noise_origin: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    cameras: Mapping[str, JoinedFrames]

    @classmethod
    def join(cls, sources: Sequence[Source], cameras: Sequence[str] = ()) -> "Mixture":
        """All sources, one after the other, and of their cameras those named.

        Raises:
            DataError: if two stores' names, units, control rates or frames differ, or one has not
                all those cameras.
            SettingsError: if names repeat or weights do not make a distribution.
        """
        _check_names(sources)
        _check_weights(sources)
        check_alike({source.name: source.store for source in sources})
        counts = np.array([source.episodes for source in sources])
        windows = np.array([source.windows for source in sources])
        firsts = np.cumsum(windows) - windows
        lengths = np.concatenate([s.store.episode_lengths[: s.episodes] for s in sources])
        taught = np.array([source.taught_windows for source in sources])
        held_out = np.concatenate([source.held_out for source in sources])
        weights = [s.taught_windows if s.weight is None else s.weight for s in sources]
        window_weight = np.repeat(np.array(weights, np.float64) / taught, counts)
        origins = [
            _noise_row(s.name) - int(first) for s, first in zip(sources, firsts, strict=True)
        ]
        return cls(
            names=tuple(source.name for source in sources),
            attributes=_attributes_of_whole(sources),
            observations=_join_tables([s.store.observations()[: s.windows] for s in sources]),
            actions=_join_tables([s.store.actions()[: s.windows] for s in sources]),
            episode_starts=np.cumsum(lengths) - lengths,
            episode_lengths=lengths,
            source_of_episode=np.repeat(np.arange(len(sources)), counts),
            window_weight=np.where(held_out, 0.0, window_weight),
            sigma_min=np.concatenate([source.sigma_min for source in sources]),
            sigma_max=np.concatenate([source.sigma_max for source in sources]),
            noise_origin=np.repeat(np.array(origins, np.int64), counts),
            held_out=held_out,
            cameras={name: _join_frames(name, sources, firsts) for name in cameras},
        )

    def __len__(self) -> int:
        """Windows."""
        return len(self.actions)

    def episode_of_window(self, window: NDArray[np.int64]) -> NDArray[np.int64]:
        """(...,) windows -> (...,) episodes."""
        return np.searchsorted(self.episode_starts, window, side="right") - 1

    def source_of_window(self, window: NDArray[np.int64]) -> NDArray[np.int64]:
        """(...,) windows -> (...,) indices into ``names``."""
        return self.source_of_episode[self.episode_of_window(window)]

    def held_out_windows(self) -> NDArray[np.int64]:
        """(V,) the windows of the held-out episodes, rising."""
        return np.flatnonzero(np.repeat(self.held_out, self.episode_lengths))

    def describe(self) -> list[SourceSummary]:
        """A row for each source; probability is before any admission by noise level."""
        return list(self._summaries())

    def _summaries(self) -> Iterator[SourceSummary]:
        total = float((self.window_weight * self.episode_lengths).sum())
        for i, name in enumerate(self.names):
            mine = self.source_of_episode == i
            windows = int(self.episode_lengths[mine].sum())
            hours = windows / self.attributes.control_rate / 3600
            weight = float((self.window_weight * self.episode_lengths)[mine].sum())
            held_out = int(self.held_out[mine].sum())
            yield SourceSummary(name, int(mine.sum()), windows, hours, weight / total, held_out)


def _noise_row(name: str) -> int:
    """Where the kept noise of a source begins in the endless table: far from everyone else's.

    It depends on the name alone, so a source keeps its noise whatever it is mixed with.
    """
    return zlib.crc32(name.encode()) << 31


def _join_tables(tables: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    joined = np.concatenate(tables)
    joined.setflags(write=False)
    return joined


def _join_frames(camera: str, sources: Sequence[Source], firsts: NDArray[np.int64]) -> JoinedFrames:
    for source in sources:
        if camera not in source.store.cameras:
            raise DataError(
                f"{source.store.path}: source '{source.name}' has no camera '{camera}'; it has "
                f"{', '.join(sorted(source.store.cameras)) or 'none'}. Choose among these with "
                "cameras=[...], or collect with that camera (of a diffusion_policy store, map it "
                "in sources.<name>.cameras)."
            )
    parts = tuple(source.store.cameras[camera] for source in sources)
    shapes = {source.name: part.shape for source, part in zip(sources, parts, strict=True)}
    if len(set(shapes.values())) > 1:
        raise DataError(
            f"frames of camera '{camera}' have different sizes (height, width, colours): {shapes}. "
            "Leave one source out, or record it again in the size of the others."
        )
    return JoinedFrames(parts, firsts)


def _attributes_of_whole(sources: Sequence[Source]) -> Attributes:
    first = sources[0].store.attributes
    compared: dict[str, Any] = {name: getattr(first, name) for name in COMPARED}
    return Attributes(task=first.task, source=" + ".join(s.name for s in sources), **compared)


def _check_names(sources: Sequence[Source]) -> None:
    names = [source.name for source in sources]
    if not names:
        raise SettingsError("a mixture needs at least one source; the config names none.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(
            f"sources must have different names, but {', '.join(twice)} is given more than once "
            f"in {', '.join(names)}. Rename one."
        )


def _check_weights(sources: Sequence[Source]) -> None:
    given = {source.name: source.weight for source in sources}
    missing = [name for name, weight in given.items() if weight is None]
    if missing and len(missing) < len(given):
        raise SettingsError(
            f"weights {given}: {', '.join(missing)} has none and others do. Give every source a "
            "weight, or none (then each is drawn in proportion to its windows)."
        )
    if not missing and sum(weight for weight in given.values() if weight is not None) == 0:
        raise SettingsError(f"weights {given}: all are 0. Give at least one a positive weight.")


def check_alike(stores: Mapping[str, Store]) -> None:
    """Refuse to mix stores whose numbers do not mean the same.

    Raises:
        DataError: naming two stores, and which names, units or control rate differ.
    """
    (one, first), *others = stores.items()
    for other, store in others:
        differing = [
            f"{name} is {getattr(first.attributes, name)} in '{one}' but "
            f"{getattr(store.attributes, name)} in '{other}'"
            for name in COMPARED
            if getattr(first.attributes, name) != getattr(store.attributes, name)
        ]
        if differing:
            raise DataError(
                f"sources '{one}' ({first.path}) and '{other}' ({store.path}) cannot be mixed: "
                f"{'; '.join(differing)}. Convert one store so that both agree, or leave one out."
            )
