"""What each source of a mixture contributes: counted, and likely at every noise level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.mixture import Mixture, SourceSummary
from ambient_policy.ambient.admission import Admission
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.diffusion.law import Law, UniformOverLevels
from ambient_policy.diffusion.noise import Sigma
from ambient_policy.evaluation.page import Contribution, Draws, Span

# sources that a table or figure names; the others are taken together
NAMED = 12

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def levels_of(law: Law) -> Sigma:
    """(L,) rising levels, each as likely as any other: all of a discrete law, or 100 quantiles."""
    if isinstance(law, UniformOverLevels):
        return law.levels
    return law.quantile((np.arange(100) + 0.5) / 100)


def chances(mixture: Mixture, admission: Admission, levels: Sigma) -> Floats:
    """(L,S) P(source | sigma): of the natural weights, what is admitted at that level.

    An episode is admitted at the levels above its threshold and at those below its sigma_max, so
    its weight is added where it begins to count and summed up from there.

    Args:
        mixture: of S sources.
        admission: of its episodes.
        levels: (L,) rising. At these it is exact; of a continuous law ``levels_of`` has 100.
    """
    above = np.searchsorted(levels, admission.threshold, side="right")  # sigma > threshold
    below = np.searchsorted(levels, admission.sigma_max, side="left")  # sigma < sigma_max
    everywhere = above <= below
    begins, ends = np.where(everywhere, 0, above), np.where(everywhere, 0, below)
    weight = mixture.window_weight * mixture.episode_lengths
    shape = len(mixture.names), len(levels) + 1
    rising, falling = (
        np.bincount(mixture.source_of_episode * shape[1] + at, weight, shape[0] * shape[1])
        for at in (begins, ends)
    )
    from_low = np.cumsum(rising.reshape(shape), axis=1)[:, :-1]
    from_high = np.cumsum(falling.reshape(shape)[:, ::-1], axis=1)[:, -2::-1]
    mass = (from_low + from_high).T
    probability: Floats = mass / mass.sum(axis=1, keepdims=True)
    return probability


@dataclass(frozen=True, eq=False)
class Contributions:
    """What the sources of a mixture contribute; of many, the smallest are taken together.

    Attributes:
        rows: one for each source, or for the largest and one for all others.
        row_of_source: (S,) which of them a source is in.
        chances: P(row | sigma) in the place of counts.
    """

    rows: Sequence[Contribution]
    row_of_source: Integers
    chances: Draws

    @property
    def thresholds(self) -> dict[str, tuple[float, float]]:
        """Row -> the medians of sigma_min and sigma_max over its episodes."""
        return {row.name: (row.sigma_min[1], row.sigma_max[1]) for row in self.rows}


def contributions(mixture: Mixture, sampler: Sampler, named: int = NAMED) -> Contributions:
    """A row for each source, and P(source | sigma).

    A row's share of the draws is the mean of its probability over the levels of ``levels_of``:
    exact for a discrete law, over 100 equally likely quantiles of a continuous one.

    Args:
        mixture, sampler: of the training.
        named: most rows; of more sources, the last row is all the others.
    """
    levels, summaries = levels_of(sampler.law), mixture.describe()
    likely = chances(mixture, sampler.admission, levels)
    size = np.maximum([row.probability for row in summaries], likely.mean(axis=0))
    group, names = _group(mixture.names, size, named)
    together = np.stack([likely[:, group == i].sum(axis=1) for i in range(len(names))], axis=1)
    roles = dict(zip(mixture.names, mixture.roles, strict=True))
    rows = []
    for i, name in enumerate(names):
        members = [row for row, of in zip(summaries, group, strict=True) if of == i]
        taught = mixture.taught & (group[mixture.source_of_episode] == i)
        spans = _span(mixture.sigma_min[taught]), _span(mixture.sigma_max[taught])
        share = float(together[:, i].mean())
        rows.append(_row(name, members, _trust(members, roles), share, *spans))
    return Contributions(rows, group, Draws(levels, tuple(names), together))


def _group(names: Sequence[str], size: Floats, named: int) -> tuple[Integers, list[str]]:
    """The row of each source, (S,), and the rows' names: the largest keep their order."""
    if len(names) <= named:
        return np.arange(len(names)), list(names)
    largest = np.sort(np.argsort(-size, kind="stable")[: named - 1])
    group = np.full(len(names), named - 1)
    group[largest] = np.arange(named - 1)
    return group, [*(names[i] for i in largest), f"{len(names) - named + 1} others"]


def _trust(members: Sequence[SourceSummary], roles: Mapping[str, str]) -> str:
    trusts = {roles[row.name] for row in members}
    return trusts.pop() if len(trusts) == 1 else "various"


def _row(
    name: str,
    members: Sequence[SourceSummary],
    trust: str,
    share: float,
    sigma_min: Span,
    sigma_max: Span,
) -> Contribution:
    return Contribution(
        name=name,
        trust=trust,
        episodes=sum(row.episodes for row in members),
        held_out=sum(row.held_out for row in members),
        windows=sum(row.windows for row in members),
        hours=sum(row.hours for row in members),
        probability=sum(row.probability for row in members),
        share=share,
        sigma_min=sigma_min,
        sigma_max=sigma_max,
    )


def _span(sigma: Sigma) -> Span:
    return float(sigma.min()), float(np.median(sigma)), float(sigma.max())
