"""What a report is told: plain values, no store, no policy, no world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.evaluation.comparison import Episodes

Floats = NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]  # x_low, y_low, x_high, y_high [m]


@dataclass(frozen=True)
class Draws:
    """How often each source was drawn at each level.

    Attributes:
        sigma: (L,) noise levels [normalised action]. sources: their S names. counts: (L,S).
    """

    sigma: Floats
    sources: tuple[str, ...]
    counts: NDArray[Any]


@dataclass(frozen=True)
class Denoising:
    """One chunk from noise to plan: what the denoiser answers at each level.

    Attributes:
        sigma: (K+1,) noise levels [normalised action], falling; the last may be 0.
        chunks: (K+1,Tp,2) positions in the world [m].
        start, goal: positions (2,) [m] of the robot and its goal when it planned.
    """

    sigma: Floats
    chunks: Floats
    start: tuple[float, ...] | None = None
    goal: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ArmResult:
    """One arm: what it was told, how it trained, what it did. Empty parts leave sections out.

    Attributes:
        name: of the arm.
        episodes: training seed -> episodes.
        paths: training seed -> episode seed -> (T+1,2) executed path [m].
        training: training seed -> rows of the log with "step" and "loss".
        draws: how often each source was drawn at each level.
        thresholds: source -> (sigma_min, sigma_max) [normalised action].
        solver_levels: levels the solver visits [normalised action].
        denoising: one chunk, level by level.
        settings: training seed -> the exact settings of that training.
    """

    name: str
    episodes: Episodes
    paths: Mapping[int, Mapping[int, Floats]] = field(default_factory=dict)
    training: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    draws: Draws | None = None
    thresholds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    solver_levels: Sequence[float] = ()
    denoising: Denoising | None = None
    settings: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A whole comparison.

    Attributes:
        title: of the page.
        summary: what this run can and cannot show, in plain words.
        arms: in the order of the table.
        baseline: the arm the others are compared with, or None.
        walls: boxes [m] drawn under the paths. arena: the box all views show, or None.
        length_unit: unit of positions.
        paths_shown: executed paths drawn per arm, at most (of its first training seed).
        extra: keys of the world's own numbers to show in the table, e.g. "coverage".
        settings: the exact settings, as text. commands: the exact commands, one each.
        seed: of the bootstrap.
    """

    title: str
    summary: str
    arms: Sequence[ArmResult]
    baseline: str | None = None
    walls: Sequence[Box] = ()
    arena: Box | None = None
    length_unit: str = "m"
    paths_shown: int = 60
    extra: Sequence[str] = ()
    settings: str = ""
    commands: Sequence[str] = ()
    seed: int = 0
