"""The records of episodes, one JSON line each, and their motions, keyed by seed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import DataError
from ambient_policy.evaluation import metrics
from ambient_policy.evaluation.trajectory import Trajectory
from ambient_policy.files import replace_file, to_json, write_text

Floats = NDArray[np.floating[Any]]
LATER = frozenset({"sparc", "ldlj", "progress"})  # older records do not have them


@dataclass(frozen=True)
class EpisodeRecord:
    """The record of an episode; a number that is not defined is NaN here and null in JSON.

    Attributes:
        seed: the episode's seed; equal seeds are equal starts in every arm.
        start, goal: positions [m]; goal is None when the world names none.
        outcome: "success" or "failure".
        failure: why, "" for a success.
        duration: [s].
        path_length: [m].
        squared_jerk, boundary_squared_jerk, inside_squared_jerk: means [(m/s^3)^2] over the whole
            path, where two chunks meet, and inside chunks.
        squared_acceleration: mean [(m/s^2)^2].
        inference_seconds: this episode's share of all planning calls [s]; the shares of all
            episodes add up to the time spent planning.
        chunks: number of plans.
        total_reward, best_reward: sum and largest of the rewards.
        final, best: the world's own numbers (e.g. coverage) at the end, and their largest value.
        sparc, ldlj: smoothness without a unit, larger is smoother (``metrics``).
        progress: in [0,1]: 1 for a success, else the best coverage where the world names one, else
            the share of the straight way to the goal. These three are NaN in older records.
    """

    seed: int
    start: tuple[float, ...]
    goal: tuple[float, ...] | None
    outcome: str
    failure: str
    duration: float
    path_length: float
    squared_jerk: float
    squared_acceleration: float
    boundary_squared_jerk: float
    inside_squared_jerk: float
    inference_seconds: float
    chunks: int
    total_reward: float
    best_reward: float
    final: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    sparc: float = float("nan")
    ldlj: float = float("nan")
    progress: float = float("nan")

    @property
    def success(self) -> bool:
        """Whether the episode succeeded."""
        return self.outcome == "success"


@dataclass(frozen=True)
class Motion:
    """The motion of an episode, for figures and videos.

    Attributes:
        path: (T+1,D) executed positions [m].
        observations: (T+1,O). actions: (T,A).
        states: (T+1,S) physics states, None if the world reports none.
    """

    path: Floats
    observations: Floats
    actions: Floats
    states: Floats | None


def measure(
    trajectory: Trajectory, *, dt: float, path_dims: Sequence[int], act: int
) -> EpisodeRecord:
    """Measure an episode.

    Args:
        trajectory: the episode, from ``rollout``.
        dt: control period [s].
        path_dims: the observation dimensions that are the executed position [m].
        act: Ta, control steps between two plans.
    """
    path = executed_path(trajectory, path_dims)
    rewards = trajectory.rewards
    return EpisodeRecord(
        seed=trajectory.seed,
        start=tuple(map(float, path[0])),
        goal=None if trajectory.goal is None else tuple(map(float, trajectory.goal)),
        outcome="success" if trajectory.success else "failure",
        failure=trajectory.failure,
        duration=metrics.duration(path, dt),
        path_length=metrics.path_length(path),
        squared_jerk=metrics.squared_jerk(path, dt),
        squared_acceleration=metrics.squared_acceleration(path, dt),
        boundary_squared_jerk=metrics.boundary_squared_jerk(path, dt, act),
        inside_squared_jerk=metrics.inside_squared_jerk(path, dt, act),
        inference_seconds=float(trajectory.inference_seconds.sum()),
        chunks=len(trajectory.inference_seconds),
        total_reward=float(rewards.sum()),
        best_reward=float(rewards.max()) if len(rewards) else float("nan"),
        final=dict(trajectory.final),
        best=dict(trajectory.best),
        sparc=metrics.spectral_arc_length(path, dt),
        ldlj=metrics.log_dimensionless_jerk(path, dt),
        progress=_progress(trajectory, path),
    )


def _progress(trajectory: Trajectory, path: Floats) -> float:
    if trajectory.success:
        return 1.0
    if "coverage" in trajectory.best:
        return min(max(trajectory.best["coverage"], 0.0), 1.0)
    return metrics.progress(path, trajectory.goal)


def executed_path(trajectory: Trajectory, path_dims: Sequence[int]) -> Floats:
    """(T+1,D) positions: the observation dimensions ``path_dims``.

    Raises:
        DataError: for a dimension the observations do not have.
    """
    dimensions = trajectory.observations.shape[1]
    if not path_dims or not all(0 <= dim < dimensions for dim in path_dims):
        raise DataError(
            f"path_dims = {list(path_dims)} must name at least one of the {dimensions} "
            f"observation dimensions 0..{dimensions - 1}."
        )
    return trajectory.observations[:, list(path_dims)]


def write_episodes(path: Path, episodes: Sequence[EpisodeRecord]) -> None:
    """One JSON line per episode, atomically."""
    write_text(path, "".join(to_json(asdict(episode)) + "\n" for episode in episodes))


def read_episodes(path: Path) -> list[EpisodeRecord]:
    """The inverse of ``write_episodes``.

    Raises:
        DataError: naming the file and the line that is not an episode.
    """
    with path.open(encoding="utf-8") as lines:
        return [_episode(line, f"{path}, line {i}") for i, line in enumerate(lines, start=1)]


def _episode(line: str, where: str) -> EpisodeRecord:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON ({error}); evaluate again.") from error
    names = {f.name for f in fields(EpisodeRecord)}
    if not isinstance(record, dict) or not names - LATER <= set(record) <= names:
        raise DataError(
            f"{where} is not an episode: missing or unknown "
            f"{sorted((names - LATER).symmetric_difference(set(record) - LATER))}; evaluate again."
        )
    return EpisodeRecord(**{name: _restored(name, value) for name, value in record.items()})


def _restored(name: str, value: Any) -> Any:
    """Undo what JSON did: lists were tuples, null was NaN (but no goal is no goal)."""
    if isinstance(value, dict):
        return {key: _restored(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_restored("", item) for item in value)
    return float("nan") if value is None and name != "goal" else value


def motion_of(trajectory: Trajectory, path_dims: Sequence[int]) -> Motion:
    """The motion of an episode; ``path_dims`` are the dimensions of its executed position."""
    path = executed_path(trajectory, path_dims)
    return Motion(path, trajectory.observations, trajectory.actions, trajectory.states)


def write_motions(path: Path, motions: Mapping[int, Motion]) -> None:
    """All motions, by episode seed, in one ``.npz`` (arrays named "seed.part"), atomically."""
    arrays = {
        f"{seed}.{part}": array
        for seed, motion in motions.items()
        for part, array in vars(motion).items()
        if array is not None
    }
    with replace_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_motions(path: Path) -> dict[int, Motion]:
    """Episode seed -> motion, the inverse of ``write_motions``.

    Raises:
        DataError: naming a file that is no archive of motions.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        seeds = sorted({int(name.split(".")[0]) for name in arrays})
        return {seed: _motion(arrays, seed) for seed in seeds}
    except (BadZipFile, ValueError, KeyError, AttributeError, EOFError) as error:
        raise DataError(f"{path} holds no motions ({error}); evaluate again.") from error


def _motion(arrays: dict[str, Floats], seed: int) -> Motion:
    parts = {part: arrays[f"{seed}.{part}"] for part in ("path", "observations", "actions")}
    return Motion(states=arrays.get(f"{seed}.states"), **parts)
