"""What is one unit of a column: the map that its statistics make, and what is worth a remark.

A column that hardly moves (a locked joint, whose encoder is noisy by 1e-6 rad) keeps its unit and
is only centred: scaled to [-1, 1], its noise would be as loud as any motion, and an observation
1e-3 beside it would enter the network as 1000. "Hardly" is diffusion_policy's ``range_eps`` (Chi et
al. 2023, model/common/normalizer.py): less than 1e-4 in the column's own unit, 0.1 mm or 0.006
degrees in SI units, of the range or, for moments, of the deviation. A share of what the other
columns span would need no unit; but then the unit of sigma would hang on which columns a source is
mixed with, and where units are unknown it would compare radians with counts. So the floor is a
setting, and what fell under it is said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.statistics import Statistics
from ambient_policy.errors import DataError, listed
from ambient_policy.normalize import Affine
from ambient_policy.settings import NormalizerKind, NormalizerSettings

FAR = 10  # units; an extreme beyond it is remarked: of a normal column 1 in 10^23 is
NAMED = 6  # columns of a remark
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The map of some columns.

    Attributes:
        affine: of the columns.
        narrow: the width of those that hardly move, by name; constant ones need no word.
        far: how many units the extremes of a column lie from 0, where that is more than ``FAR``.
    """

    affine: Affine
    narrow: dict[str, float]
    far: dict[str, float]


def units_of(settings: NormalizerSettings, statistics: Statistics, names: Sequence[str]) -> Units:
    """The map that the statistics of some columns make.

    Args:
        settings: of a kind that looks at numbers.
        statistics: of the columns.
        names: theirs.

    Raises:
        DataError: for a column whose quantiles make no unit though it moves.
    """
    width, affine = _map(settings, statistics, names)
    low, high = (np.asarray(ends, np.float64) for ends in (statistics.low, statistics.high))
    center, scale = np.array(affine.center), np.array(affine.scale)
    reach = np.maximum(np.abs(low - center), np.abs(high - center)) / scale
    narrow = (low < high) & (width < settings.smallest_range)
    far = (low < high) & (reach > FAR)
    return Units(affine, _named(names, width, narrow), _named(names, reach, far))


def _named(names: Sequence[str], values: Vector, where: NDArray[np.bool_]) -> dict[str, float]:
    return {names[i]: float(values[i]) for i in np.flatnonzero(where).tolist()}


def side_by_side(parts: Sequence[Units]) -> Units:
    """The columns of some, one after the other."""
    affine = Affine(
        tuple(number for part in parts for number in part.affine.center),
        tuple(number for part in parts for number in part.affine.scale),
    )
    return Units(affine, _union([p.narrow for p in parts]), _union([p.far for p in parts]))


def _union(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    nothing: dict[str, float] = {}
    return reduce(or_, parts, nothing)


def remarks(settings: NormalizerSettings, parts: Sequence[Units]) -> Iterator[str]:
    """What is allowed, and perhaps not what was meant: a line for each fault, whoever has it."""
    moments = settings.kind is NormalizerKind.moments
    narrow, far = _union([part.narrow for part in parts]), _union([part.far for part in parts])
    if narrow:
        what = "deviation" if moments else "range"
        columns = [f"{name} ({what} {width:.2g})" for name, width in narrow.items()]
        yield (
            f"{listed(columns, most=NAMED)}: less than normalizer.smallest_range = "
            f"{settings.smallest_range:g}, so scale 1, not [-1, 1], for what hardly moves. Lower "
            "that setting if this is motion, not noise."
        )
    if far:
        columns = [f"{name} ({reach:.4g} units)" for name, reach in far.items()]
        unit = "deviation" if moments else "quantiles"
        yield (
            f"{listed(columns, most=NAMED)}: extremes far outside of the {unit}, and nothing is "
            f"clipped: a loss sees squares up to {max(far.values()) ** 2:.2g}. Choose "
            "normalizer.kind=range, other quantiles, or leave those episodes out."
        )


def _map(
    settings: NormalizerSettings, statistics: Statistics, names: Sequence[str]
) -> tuple[Vector, Affine]:
    """How wide the columns are, in their own units, and their map."""
    smallest = settings.smallest_range
    if settings.kind is NormalizerKind.moments:
        deviation = statistics.deviation
        return deviation, Affine.from_moments(statistics.mean, deviation, smallest)
    low, high = (np.asarray(ends, np.float64) for ends in (statistics.low, statistics.high))
    if settings.kind is NormalizerKind.quantiles:
        ends = low, high
        low, high = (
            statistics.quantile(q) for q in (settings.low_quantile, settings.high_quantile)
        )
        _check_quantiles(settings, (low, high), ends, names)
    return high - low, Affine.from_range(low.tolist(), high.tolist(), smallest)


def _check_quantiles(
    settings: NormalizerSettings,
    quantiles: tuple[Vector, Vector],
    ends: tuple[Vector, Vector],
    names: Sequence[str],
) -> None:
    """Refuse a column that moves, though its quantiles lie closer than the floor."""
    (below, above), (low, high), floor = quantiles, ends, settings.smallest_range
    for i, name in enumerate(names):
        close = above[i] == below[i] or above[i] - below[i] < floor
        if close and low[i] < high[i] and high[i] - low[i] >= floor:
            raise DataError(
                f"normalizer.kind = quantiles: of '{name}' the quantiles {settings.low_quantile} "
                f"and {settings.high_quantile} are {below[i]:g} and {above[i]:g}, though its "
                f"values go from {low[i]:g} to {high[i]:g}: they make no unit. Choose "
                "normalizer.kind=range, or other quantiles."
            )
