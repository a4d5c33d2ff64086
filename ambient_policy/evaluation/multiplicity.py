"""Many comparisons at once: Holm's adjustment, and letters for arms that are not told apart."""

from collections.abc import Mapping, Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values so that any false finding among them has at most the level's chance.

    Holm 1979: the i-th smallest of m, times m - i + 1, never falling.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def letters(arms: Sequence[str], differ: Mapping[frozenset[str], bool]) -> dict[str, str]:
    """Letters of each arm; two arms share one unless they differ.

    Piepho 2004 (J. Comput. Graph. Stat. 13, 456-466): each pair that differs splits the groups
    that hold both, and groups inside others are dropped.

    Args:
        arms: from the best to the worst; "a" is in the group of the first.
        differ: for every two arms, whether they differ.
    """
    groups = [frozenset(arms)]
    for pair, differs in differ.items():
        if differs:
            groups = _absorb([part for group in groups for part in _split(group, pair)])
    position = {arm: i for i, arm in enumerate(arms)}
    groups.sort(key=lambda group: sorted(position[arm] for arm in group))
    names = [chr(ord("a") + i % 26) * (1 + i // 26) for i in range(len(groups))]
    return {
        arm: "".join(name for name, group in zip(names, groups, strict=True) if arm in group)
        for arm in arms
    }


def _split(group: frozenset[str], pair: frozenset[str]) -> list[frozenset[str]]:
    return [group - {arm} for arm in pair] if pair <= group else [group]


def _absorb(groups: list[frozenset[str]]) -> list[frozenset[str]]:
    """Drop groups that lie in another one."""
    distinct = list(dict.fromkeys(groups))
    return [group for group in distinct if not any(group < other for other in distinct)]
