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
    """How often each source was drawn at each level, or how likely it is to be.

    Attributes:
        sigma: (L,) noise levels [normalised action]. sources: their S names. counts: (L,S).
    """

    sigma: Floats
    sources: tuple[str, ...]
    counts: NDArray[Any]


Span = tuple[float, float, float]  # lowest, median and highest


@dataclass(frozen=True)
class Contribution:
    """What one source of a mixture contributes, or several taken together.

    Attributes:
        name: of the source.
        trust: what it is taken for.
        episodes: those that teach. held_out: those kept for validation.
        windows: one for each control step that teaches.
        hours: that these last, at the mixture's rate.
        probability: of being drawn before anyone asks which noise levels it may teach.
        share: of all draws of the training, noise levels and thresholds considered.
        sigma_min, sigma_max: over its episodes that teach, each counted once [normalised action].
    """

    name: str
    trust: str
    episodes: int
    held_out: int
    windows: int
    hours: float
    probability: float
    share: float
    sigma_min: Span
    sigma_max: Span


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
        contributions: what each source of its mixture contributes.
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
    contributions: Sequence[Contribution] = ()
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
