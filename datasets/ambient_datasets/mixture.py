"""Several stores behind one index: whose windows exist, how often, and at which noise levels."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.frames import JoinedFrames
from ambient_datasets.source import Source
from ambient_datasets.store import Attributes
from ambient_datasets.tables import JoinedTable
from ambient_datasets.thresholds import resolve_thresholds
from ambient_datasets.union import places, unite
from ambient_policy.errors import DataError, SettingsError, listed
from ambient_policy.seeding import integer
from ambient_policy.settings import RunSettings, Trust


@dataclass(frozen=True)
class SourceSummary:
    """One row of ``Mixture.describe``.

    Attributes:
        name: of the source.
        episodes, windows: those that teach.
        hours: that these windows last.
        probability: of being drawn, before any admission by noise level.
        held_out: episodes for validation.
    """

    name: str
    episodes: int
    windows: int
    hours: float
    probability: float
    held_out: int


@dataclass(frozen=True, eq=False)
class Mixture:
    """N windows (one for each control step) of E episodes from S sources.

    Attributes:
        names: (S,) of the sources.
        attributes: of the whole: the columns are everyone's or their union, the rate is everyone's,
            the task is the first's.
        observations: (N,O) float32, in memory or on disk.
        actions: (N,A) float32, likewise.
        episode_starts: (E,) int64, first row of each episode.
        episode_lengths: (E,) int64 [control steps].
        source_of_episode: (E,) int64, index into names.
        window_weight: (E,) float64, weight of each window of the episode: w_i / N_i; 0 if it does
            not teach (N_i counts the others' windows).
        sigma_min, sigma_max: (E,) float64, sigma (VE) [normalised action].
        trusted: (E,) bool, their role.
        roles: (S,) of the sources: trusted, suboptimal, rejected, or "by episode".
        origins: (S,) where the thresholds that the arm reads come from; empty where it reads none.
        noise_origin: (E,) int64; row + noise_origin addresses kept noise by (source, row in it).
        held_out: (E,) bool, the episodes that no step teaches, for validation.
        taught: (E,) bool, the episodes that teach.
        cameras: the frames of the windows, on disk, by the name of the camera.
    """

    names: tuple[str, ...]
    attributes: Attributes
    observations: JoinedTable
    actions: JoinedTable
    episode_starts: NDArray[np.int64]
    episode_lengths: NDArray[np.int64]
    source_of_episode: NDArray[np.int64]
    window_weight: NDArray[np.float64]
    sigma_min: NDArray[np.float64]
    sigma_max: NDArray[np.float64]
    trusted: NDArray[np.bool_]
    roles: tuple[str, ...]
    origins: tuple[str, ...]
    noise_origin: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    taught: NDArray[np.bool_]
    cameras: Mapping[str, JoinedFrames]

    @classmethod
    def join(
        cls, sources: Sequence[Source], settings: RunSettings, fingerprints: Sequence[str]
    ) -> "Mixture":
        """All sources, one after the other, and of their cameras those of the settings.

        Args:
            sources: all of other names.
            settings: of the run: its arm, thresholds, cameras, and whether the columns must be the
                same; of a union, what a source lacks is 0.
            fingerprints: of the normaliser of each source.

        Raises:
            DataError: if two stores' names, units, control rates or frames do not fit together, or
                one has not all those cameras.
            SettingsError: if names repeat, weights do not make a distribution, or the arm needs a
                threshold that nobody gave.
        """
        _check_names(sources)
        _check_weights(sources)
        thresholds = resolve_thresholds(settings, sources, fingerprints)
        trusted = np.concatenate([each.trusted for each in thresholds])
        attributes = unite({source.name: source.store for source in sources}, settings.dimensions)
        counts = np.array([source.episodes for source in sources])
        windows = np.array([source.windows for source in sources])
        firsts = np.cumsum(windows) - windows
        lengths = np.concatenate([s.store.episode_lengths[: s.episodes] for s in sources])
        origins = [
            _noise_row(s.name) - int(first) for s, first in zip(sources, firsts, strict=True)
        ]
        return cls(
            names=tuple(source.name for source in sources),
            attributes=attributes,
            observations=_join_tables(sources, windows, attributes, "observation"),
            actions=_join_tables(sources, windows, attributes, "action"),
            episode_starts=np.cumsum(lengths) - lengths,
            episode_lengths=lengths,
            source_of_episode=np.repeat(np.arange(len(sources)), counts),
            window_weight=_window_weights(settings, sources, lengths, trusted),
            sigma_min=np.concatenate([each.sigma_min for each in thresholds]),
            sigma_max=np.concatenate([each.sigma_max for each in thresholds]),
            trusted=trusted,
            roles=tuple(_role(source) for source in sources),
            origins=tuple(each.origin for each in thresholds),
            noise_origin=np.repeat(np.array(origins, np.int64), counts),
            held_out=np.concatenate([source.held_out for source in sources]),
            taught=np.concatenate([source.taught for source in sources]),
            cameras={name: _join_frames(name, sources, firsts) for name in settings.cameras},
        )

    def __len__(self) -> int:
        """Windows."""
        return self.actions.shape[0]

    def episode_of_window(self, window: NDArray[np.int64]) -> NDArray[np.int64]:
        """(...,) windows -> (...,) episodes."""
        return np.searchsorted(self.episode_starts, window, side="right") - 1

    def source_of_window(self, window: NDArray[np.int64]) -> NDArray[np.int64]:
        """(...,) windows -> (...,) indices into ``names``."""
        return self.source_of_episode[self.episode_of_window(window)]

    def held_out_windows(self) -> NDArray[np.int64]:
        """(V,) the windows of the held-out episodes, rising."""
        starts, lengths = self.episode_starts[self.held_out], self.episode_lengths[self.held_out]
        before = np.cumsum(lengths) - lengths  # held-out windows of earlier episodes
        return np.repeat(starts - before, lengths) + np.arange(lengths.sum())

    def describe(self) -> list[SourceSummary]:
        """A row for each source."""
        return list(self._summaries())

    def _summaries(self) -> Iterator[SourceSummary]:
        episodes, windows, held_out, weight = (
            np.bincount(self.source_of_episode, amount, len(self.names))
            for amount in (
                self.taught,
                self.episode_lengths * self.taught,
                self.held_out,
                self.window_weight * self.episode_lengths,
            )
        )
        hours, probability = windows / self.attributes.control_rate / 3600, weight / weight.sum()
        columns = (episodes.astype(int), windows.astype(int), hours, probability)
        rows = zip(self.names, *(c.tolist() for c in (*columns, held_out.astype(int))), strict=True)
        yield from (SourceSummary(*row) for row in rows)


def _role(source: Source) -> str:
    trust = source.settings.trust
    return "by episode" if trust is None else trust.value


def _window_weights(
    settings: RunSettings,
    sources: Sequence[Source],
    lengths: NDArray[np.int64],
    trusted: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(E,) the weight of each window of an episode: w_i / N_i; 0 if it does not teach.

    Args:
        settings: of the run: whether its arm weighs the roles.
        sources: of the mixture.
        lengths: (E,) of the episodes.
        trusted: (E,) their role.
    """
    counts = [source.episodes for source in sources]
    taught = np.array([source.taught_windows for source in sources])
    shares = [source.settings.sampling_weight for source in sources]
    weights = [n if w is None else w for n, w in zip(taught, shares, strict=True)]
    weight = np.repeat(np.array(weights, np.float64) / taught, counts)
    weight = np.where(np.concatenate([source.taught for source in sources]), weight, 0.0)
    if not settings.arm.reweight:
        return weight
    rejected = np.repeat([s.settings.trust is Trust.rejected for s in sources], counts)
    masses = (trusted, settings.tuned.trusted_weight or 0.0), (~trusted & ~rejected, 1.0)
    return _reweighted(weight, lengths, *masses)


def _reweighted(
    weight: NDArray[np.float64],
    lengths: NDArray[np.int64],
    *masses: tuple[NDArray[np.bool_], float],
) -> NDArray[np.float64]:
    """Window weights (E,) under which all windows of a role weigh its mass, and of no role 0."""
    result = np.zeros_like(weight)
    for role, total in masses:
        mass = (weight * lengths)[role].sum()
        if mass > 0:
            result[role] = total * weight[role] / mass
    return result


def _noise_row(name: str) -> int:
    """Where the kept noise of a source begins in the endless table: far from everyone else's.

    It depends on the name alone, so a source keeps its noise whatever it is mixed with.
    """
    return integer(0, f"kept noise of {name}") >> 2  # with the rows of a store within an int64


def _join_tables(
    sources: Sequence[Source], rows: NDArray[np.int64], whole: Attributes, kind: str
) -> JoinedTable:
    """The first rows of each, one table after the other, each column where the whole has it."""
    tables = (getattr(source.store, f"{kind}_table") for source in sources)
    parts = tuple(table.head(int(n)) for table, n in zip(tables, rows, strict=True))
    columns = getattr(whole, f"{kind}_names")
    own = (getattr(source.store.attributes, f"{kind}_names") for source in sources)
    placed = tuple(places(names, columns) for names in own)
    return JoinedTable(parts, np.cumsum(rows) - rows, placed, len(columns))


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


def _check_names(sources: Sequence[Source]) -> None:
    names = [source.name for source in sources]
    if not names:
        raise SettingsError("a mixture needs at least one source; the config names none.")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise SettingsError(
            f"sources must have different names, but {listed(twice)} is given more than once in "
            f"{listed(names)}. Rename one."
        )


def _check_weights(sources: Sequence[Source]) -> None:
    weights = {source.name: source.settings.sampling_weight for source in sources}
    missing = [name for name, weight in weights.items() if weight is None]
    if missing and len(missing) < len(weights):
        raise SettingsError(
            f"sampling_weight: {listed(missing)} has none and others do. Give every source one, or "
            "none (then each is drawn in proportion to its windows)."
        )
    if not missing and sum(weight for weight in weights.values() if weight is not None) == 0:
        raise SettingsError(
            f"sampling_weight of {listed(weights)}: all are 0. Give at least one a positive weight."
        )
