"""The noise levels of a run in every coordinate; of the demonstrations only annotations are read.

A store need not lie here yet: then what it may say itself is unsaid.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.store import Annotation
from ambient_datasets.thresholds import KEYS, Thresholds, lowest_sigma_min, under_arm
from ambient_policy.ambient.admission import Admission
from ambient_policy.diffusion.law import LawKind
from ambient_policy.diffusion.noise import as_table
from ambient_policy.errors import listed
from ambient_policy.settings import RunSettings, SourceSettings, Tables, Trust
from ambient_policy.terminal import Screen, print_table
from ambient_policy.workflows.preparation import open_source
from ambient_policy.workflows.screen import TUNED, arm_in_words, origins_in_words

COLUMNS = {"step": "step", "ve": "sigma", "vp": "VP", "flow": "flow", "log_snr": "log-SNR"}
UNSAID = "?"

Annotations = Mapping[str, Annotation | None]


def levels(settings: RunSettings) -> None:
    """Show the noise levels of a run in every coordinate, and who may teach where."""
    console, annotations = Screen(), read_annotations(settings)
    own = own_thresholds(settings, annotations)
    origins = {name: thresholds.origin for name, thresholds in own.items()}
    console.print(arm_in_words(settings, list(origins.values()) or (TUNED,)))
    if any(origins.values()):
        console.print(origins_in_words(origins))
    header = [*COLUMNS.values(), "solver", *settings.sources]
    print_table(console, header, level_rows(settings, own))
    thresholds = list(threshold_rows(settings, own, annotations))
    if thresholds:
        print_table(console, ["threshold", *COLUMNS.values()], thresholds)
    for note in _notes(settings, annotations):
        console.print(note)


def _notes(settings: RunSettings, annotations: Annotations) -> Iterator[str]:
    """Of whom it is not known here what applies."""
    open_names = [n for n, source in settings.sources.items() if _annotates(settings, source)]
    absent = [name for name in open_names if name not in annotations]
    if absent:
        yield (
            f"{listed(absent, most=6)}: no store lies at the path yet. If it is annotated when you "
            "train, its annotation decides, before tuned numbers."
        )
    for name in open_names:
        if settings.sources[name].trust is None and annotations.get(name, ...) is None:
            yield (
                f"{name}: neither sources.{name}.trust nor an annotation of its store says what "
                "its episodes teach; training refuses it."
            )


def read_annotations(settings: RunSettings) -> dict[str, Annotation | None]:
    """What stores say of their episodes, where that decides and the store lies here; by source.

    Raises:
        DataError: for what is no store.
    """
    return {
        name: open_source(name, source, Tables.disk).annotation
        for name, source in settings.sources.items()
        if _annotates(settings, source) and source.path and Path(source.path).exists()
    }


def level_rows(settings: RunSettings, own: Mapping[str, Thresholds]) -> list[list[str]]:
    """The levels of training, if they are discrete, and those of the solver."""
    visited, noise = [c.sigma for c in settings.solver.calls(settings.noise)], settings.noise
    trained = noise.schedule_levels() if noise.law is LawKind.discrete else visited
    lowest = _lowest(own)
    admissions = [_admission(settings, name, each, lowest) for name, each in own.items()]
    rows = []
    for sigma in np.union1d(trained, visited):
        mark = ("", "visited", "twice")[visited.count(sigma)]  # heun calls twice at most levels
        answers = (teaches(admission, sigma) for admission in admissions)
        rows.append([*coordinates(sigma, settings), mark, *answers])
    return rows


def threshold_rows(
    settings: RunSettings, own: Mapping[str, Thresholds], annotations: Annotations
) -> Iterator[list[str]]:
    """The thresholds that settings and annotations say, in every coordinate."""
    silent = not any(annotations.values()) or any(TUNED in each.origin for each in own.values())
    holders = {**({"tuned": settings.tuned} if silent else {}), **settings.sources}
    for name, holder in holders.items():
        for key in KEYS:
            sigma = getattr(holder, key)
            if sigma is not None:
                yield [f"{name} {key}", *coordinates(sigma, settings)]
            elif name in annotations and annotations[name] is not None:
                for word, number in _ends(getattr(own[name], key)).items():
                    yield [f"{name} {key}, {word}", *coordinates(number, settings)]


def _ends(sigmas: NDArray[np.float64]) -> dict[str, float]:
    """What an annotation says of one threshold: the lowest and the highest, if they differ."""
    low, high = float(sigmas.min()), float(sigmas.max())
    return {"annotated": low} if low == high else {"lowest": low, "highest": high}


def teaches(admission: Admission | None, sigma: float) -> str:
    """Whether a source's episodes are admitted at a level: yes, no, how many, or unsaid."""
    if admission is None:
        return UNSAID
    count = len(admission.sigma_min)
    admitted = int(admission.admits(np.arange(count), np.full(count, sigma)).sum())
    return {0: "no", count: "yes"}.get(admitted, f"{admitted} of {count}")


def _admission(
    settings: RunSettings, name: str, own: Thresholds, lowest: float
) -> Admission | None:
    """Who of a source may teach where under the run's arm; None where that is unsaid."""
    low, high = own.sigma_min, own.sigma_max
    if settings.sources[name].trust is not Trust.rejected:
        low, high = under_arm(settings.arm, own, lowest)
    if np.isnan(low).any() or np.isnan(high).any():
        return None
    return Admission(low, high, settings.loss.ambient, settings.loss.s_max)


def own_thresholds(settings: RunSettings, annotations: Annotations) -> dict[str, Thresholds]:
    """Roles and thresholds of each source's episodes, or one for all; NaN where they are unsaid."""
    return {name: _own(settings, name, annotations) for name in settings.sources}


def _own(settings: RunSettings, name: str, annotations: Annotations) -> Thresholds:
    source, annotation = settings.sources[name], annotations.get(name)
    if source.trust in (Trust.trusted, Trust.rejected):
        trusted = source.trust is Trust.trusted
        ends = np.array([[0.0, np.inf] if trusted else [np.inf, 0.0]])
        return Thresholds(ends[:, 0], ends[:, 1], np.array([trusted]), "")
    numbers, origins = zip(
        *(_number(settings, source, key, annotation) for key in KEYS), strict=True
    )
    low, high = np.broadcast_arrays(*numbers)
    read = [origins[KEYS.index(key)] for key in settings.arm.reads]
    everywhere = (low == 0) & (high == np.inf) & (source.trust is None)
    return Thresholds(low, high, everywhere, " and ".join(filter(None, dict.fromkeys(read))))


def _number(
    settings: RunSettings, source: SourceSettings, key: str, annotation: Annotation | None
) -> tuple[NDArray[np.float64], str]:
    """A threshold of a source's episodes, and who says it."""
    number, origin = getattr(source, key), "source"
    if number is None and annotation is not None:
        return getattr(annotation, key)[: source.max_episodes], "annotation"
    if number is None and source.trust is Trust.suboptimal:
        number, origin = getattr(settings.tuned, key), TUNED
    return np.array([np.nan if number is None else number]), "" if number is None else origin


def _lowest(own: Mapping[str, Thresholds]) -> float:
    """The lowest sigma_min of suboptimal episodes; NaN where one is unsaid."""
    unsaid = any(np.isnan(each.sigma_min).any() for each in own.values())
    return np.nan if unsaid or not own else lowest_sigma_min(list(own.values()))


def _annotates(settings: RunSettings, source: SourceSettings) -> bool:
    """Whether an annotation of the source's store, if there is one, would count."""
    unsaid = any(getattr(source, key) is None for key in settings.arm.reads)
    return source.trust is None or (source.trust is Trust.suboptimal and unsaid)


def coordinates(sigma: float, settings: RunSettings) -> list[str]:
    """A level in every coordinate; a dash where the schedule has no such step."""
    (row,) = as_table(np.array([sigma], np.float64), settings.noise.schedule_levels())
    return ["-" if np.isnan(row[name]) else f"{row[name]:.4g}" for name in COLUMNS]
