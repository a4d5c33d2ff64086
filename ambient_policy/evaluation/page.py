"""The values that a report shows: plain ones, without store, policy or world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambient_policy.evaluation.comparison import MARGIN, Episodes

Floats = NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]  # x_low, y_low, x_high, y_high [m]


@dataclass(frozen=True)
class Draws:
    """The counts of the draws of each source at each level, or their probabilities.

    Attributes:
        sigma: (L,) noise levels [normalised action].
        sources: (S,) names of the sources.
        counts: (L,S) counts or probabilities.
    """

    sigma: Floats
    sources: tuple[str, ...]
    counts: NDArray[Any]


Span = tuple[float, float, float]  # lowest, median and highest


@dataclass(frozen=True)
class Contribution:
    """The contribution of one source of a mixture, or of several sources together.

    Attributes:
        name: name of the source.
        trust: its role.
        episodes: number of episodes that teach.
        held_out: number of episodes for validation.
        windows: number of windows that teach, one for each control step.
        hours: duration of these windows at the mixture's rate [h].
        probability: probability of a draw before the noise level decides who may teach.
        share: share of all draws of the training, after noise levels and thresholds.
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
    """One chunk from noise to plan: the denoiser's answer at each level.

    Attributes:
        sigma: (K+1,) noise levels [normalised action], falling; the last may be 0.
        chunks: (K+1,Tp,2) positions in the world [m].
        start, goal: positions (2,) [m] of the robot and its goal at the time of planning.
    """

    sigma: Floats
    chunks: Floats
    start: tuple[float, ...] | None = None
    goal: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ArmResult:
    """One arm: its data, its trainings and its episodes. The page leaves empty parts out.

    Attributes:
        name: name of the arm.
        episodes: training seed -> episodes.
        paths: training seed -> episode seed -> (T+1,2) executed path [m].
        training: training seed -> rows of the log with "step" and "loss".
        contributions: contribution of each source of its mixture.
        draws: counts of the draws of each source at each level.
        thresholds: source -> (sigma_min, sigma_max) [normalised action].
        solver_levels: levels of the solver [normalised action].
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
        title: title of the page.
        summary: what this comparison can and cannot show, in plain words.
        arms: in the order of the table.
        baseline: the arm the others are compared with, or None.
        walls: boxes [m] under the paths.
        arena: the box that all views show, or None.
        length_unit: unit of positions.
        paths_shown: most executed paths to draw per arm (of its first training seed).
        extra: keys of the world's own numbers for the table, e.g. "coverage".
        settings: the exact settings, as text.
        commands: the exact commands, one string each.
        seed: seed of the bootstrap.
        margin: smallest difference in success that matters.
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
    margin: float = MARGIN
