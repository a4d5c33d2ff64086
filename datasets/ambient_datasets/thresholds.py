"""What each episode of a mixture may teach, from its role, its thresholds and the arm.

Nothing is trusted silently: the settings say a source's role, or its store's annotation says that
of each episode, made under the very normaliser that training uses. An arm that needs a number which
nobody gave is refused: with a number made up it would be another arm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.source import Source
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.settings import ArmSettings, RunSettings, Teaches, Trust

Sigma = NDArray[np.float64]
KEYS = ("sigma_min", "sigma_max")


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Of the E episodes of a source.

    Attributes:
        sigma_min, sigma_max: (E,) sigma (VE) [normalised action]: an episode teaches
            sigma > sigma_min or sigma < sigma_max.
        trusted: (E,) bool, its role.
        origin: where the numbers that the arm reads come from, e.g. "source and tuned"; empty
            where it reads none.
    """

    sigma_min: Sigma
    sigma_max: Sigma
    trusted: NDArray[np.bool_]
    origin: str


def resolve_thresholds(
    settings: RunSettings, sources: Sequence[Source], fingerprints: Sequence[str]
) -> list[Thresholds]:
    """What the episodes of each source teach under the arm of a run.

    Args:
        settings: of the run: its arm, and the numbers that sources share.
        sources: of the mixture.
        fingerprints: of the normaliser of each.

    Raises:
        SettingsError: for a number that the arm needs and nobody gave, or one that nobody reads.
        DataError: for a source without a role, or an annotation under another normaliser.
    """
    own = [_own(settings, *pair) for pair in zip(sources, fingerprints, strict=True)]
    lowest = lowest_sigma_min(own)
    return [
        _under_arm(settings, source, each, lowest)
        for source, each in zip(sources, own, strict=True)
    ]


def _own(settings: RunSettings, source: Source, fingerprint: str) -> Thresholds:
    """The roles and thresholds of a source's episodes; NaN where nobody gave a number."""
    count, trust = source.episodes, source.settings.trust
    _check_role(source)
    if trust in (Trust.trusted, Trust.rejected):
        pair = (0.0, np.inf) if trust is Trust.trusted else (np.inf, 0.0)
        low, high = (np.full(count, number) for number in pair)
        return Thresholds(low, high, np.full(count, trust is Trust.trusted), "")
    origins = {key: _origin(source, key) for key in KEYS}
    read = [origins[key] for key in settings.arm.reads]
    if "annotation" in read:
        _check_fingerprint(source, fingerprint)
    low, high = (_numbers(settings, source, *pair) for pair in origins.items())
    trusted = (low == 0) & (high == np.inf) & (trust is None)
    return Thresholds(low, high, trusted, " and ".join(dict.fromkeys(read)))


def _origin(source: Source, key: str) -> str:
    """Who says a threshold of a source that is neither trusted nor rejected."""
    if getattr(source.settings, key) is not None:
        return "source"
    return "tuned" if source.store.annotation is None else "annotation"


def _numbers(settings: RunSettings, source: Source, key: str, origin: str) -> Sigma:
    """(E,) a threshold of a source's episodes; NaN where nobody gave one."""
    holders = {
        "source": source.settings,
        "tuned": settings.tuned,
        "annotation": source.store.annotation,
    }
    number = getattr(holders[origin], key)
    if origin == "annotation":
        return np.asarray(number[: source.episodes], np.float64)
    return np.full(source.episodes, np.nan if number is None else number, np.float64)


def _under_arm(settings: RunSettings, source: Source, own: Thresholds, lowest: float) -> Thresholds:
    if source.settings.trust is Trust.rejected:
        return own
    if not own.trusted.all():
        _check_numbers(settings, source, own)
    if settings.arm.trusted is Teaches.below and own.trusted.any() and np.isnan(lowest):
        raise SettingsError(
            f"arm '{settings.label}': trusted episodes teach below the lowest sigma_min of the "
            "suboptimal ones, and there is none. Name a suboptimal source and its sigma_min "
            "(tuned.sigma_min=...)."
        )
    return Thresholds(*under_arm(settings.arm, own, lowest), own.trusted, own.origin)


def under_arm(arm: ArmSettings, own: Thresholds, lowest: float) -> tuple[Sigma, Sigma]:
    """What episodes teach under an arm: (E,) sigma_min and sigma_max.

    Args:
        arm: what each role teaches.
        own: their roles and thresholds; NaN where nobody gave a number that the arm reads, and
            then NaN comes out too.
        lowest: sigma_min of all suboptimal episodes.
    """
    low, high = own.sigma_min, own.sigma_max
    suboptimal: dict[Teaches, tuple[Sigma | float, Sigma | float]] = {
        Teaches.everything: (0.0, np.inf),
        Teaches.nothing: (np.inf, 0.0),
        Teaches.above: (low, 0.0),
        Teaches.above_or_below: (low, high),
    }
    trusted = {
        Teaches.everything: (0.0, np.inf),
        Teaches.nothing: (np.inf, 0.0),
        Teaches.below: (np.inf, lowest),
    }[arm.trusted]
    sigma_min, sigma_max = (
        np.where(own.trusted, of_trusted, of_others)
        for of_trusted, of_others in zip(trusted, suboptimal[arm.suboptimal], strict=True)
    )
    return sigma_min, sigma_max


def lowest_sigma_min(own: Sequence[Thresholds]) -> float:
    """The lowest finite sigma_min of all suboptimal episodes; NaN if there is none."""
    numbers = np.concatenate([each.sigma_min[~each.trusted] for each in own])
    finite = numbers[np.isfinite(numbers)]
    return float(finite.min()) if len(finite) else float("nan")


def _check_role(source: Source) -> None:
    settings, store = source.settings, source.store
    if settings.trust is None and store.annotation is None:
        raise DataError(
            f"{store.path}: source '{source.name}': the store is not annotated and the settings do "
            f"not say what it is; nothing is trusted silently. Set sources.{source.name}.trust to "
            "trusted, suboptimal or rejected, or annotate the store (ambient-policy annotate)."
        )
    numbers = [getattr(settings, key) for key in KEYS]
    if settings.trust is not Trust.suboptimal and numbers != [None, None]:
        role = "null" if settings.trust is None else settings.trust.value
        raise SettingsError(
            f"source '{source.name}': sigma_min and sigma_max are read only with trust = "
            f"suboptimal, and trust is {role}. Set trust = suboptimal or leave them out."
        )


def _check_fingerprint(source: Source, fingerprint: str) -> None:
    annotation = source.store.annotation
    if annotation is not None and annotation.fingerprint != fingerprint:
        raise DataError(
            f"{source.store.path}: source '{source.name}': annotated under the normaliser "
            f"{annotation.fingerprint}, but training uses {fingerprint}; its noise levels mean "
            "something else there. Train with the normaliser of the annotation (normalizer.kind, "
            ".statistics, .smallest_range; actions; which episodes teach), or annotate again with "
            "this one (ambient-policy annotate)."
        )


def _check_numbers(settings: RunSettings, source: Source, own: Thresholds) -> None:
    """Refuse an arm that needs a number which nobody gave."""
    word, suboptimal = settings.arm.suboptimal, ~own.trusted
    if word in (Teaches.everything, Teaches.nothing):
        return
    for key in settings.arm.reads:
        if np.isnan(getattr(own, key)[suboptimal]).any():
            raise SettingsError(
                f"arm '{settings.label}' lets suboptimal episodes teach "
                f"{word.value.replace('_', ' ')} their thresholds, and nobody says {key} of source "
                f"'{source.name}'. Give it for all sources (tuned.{key}=0.3, or tuned.{key}="
                f"{{step: 20}}), for this one (sources.{source.name}.{key}=...), or annotate its "
                "store (ambient-policy annotate). arm=cotrain uses every episode at every level."
            )
