"""The noise levels of a run in every coordinate; no demonstration is opened for it."""

import numpy as np

from ambient_policy.ambient.admission import Admission
from ambient_policy.diffusion.law import LawKind
from ambient_policy.diffusion.noise import as_table
from ambient_policy.settings import RunSettings, SourceSettings, Teaches, Trust
from ambient_policy.terminal import Screen, print_table
from ambient_policy.workflows.screen import arm_in_words

COLUMNS = {"step": "step", "ve": "sigma", "vp": "VP", "flow": "flow", "log_snr": "log-SNR"}
NUMBERS = ("sigma_min", "sigma_max")
UNSAID = "?"


def levels(settings: RunSettings) -> None:
    """Show the noise levels of a run in every coordinate, and who may teach where."""
    console = Screen()
    console.print(arm_in_words(settings))
    header = [*COLUMNS.values(), "solver", *settings.sources]
    print_table(console, header, level_rows(settings))
    thresholds = threshold_rows(settings)
    if thresholds:
        print_table(console, ["threshold", *COLUMNS.values()], thresholds)
    if any(_annotated(settings, source) for source in settings.sources.values()):
        console.print(
            f"{UNSAID}: as its store's annotation says, which comes before tuned numbers too",
        )


def level_rows(settings: RunSettings) -> list[list[str]]:
    """The levels of training, if they are discrete, and those of the solver."""
    visited, noise = [c.sigma for c in settings.solver.calls(settings.noise)], settings.noise
    trained = noise.schedule_levels() if noise.law is LawKind.discrete else visited
    rows = []
    for sigma in np.union1d(trained, visited):
        mark = ("", "visited", "twice")[visited.count(sigma)]  # heun calls twice at most levels
        answers = (teaches(settings, source, sigma) for source in settings.sources.values())
        rows.append([*coordinates(sigma, settings), mark, *answers])
    return rows


def threshold_rows(settings: RunSettings) -> list[list[str]]:
    """The thresholds that settings say, in every coordinate."""
    holders = {"tuned": settings.tuned, **settings.sources}
    rows = []
    for name, holder in holders.items():
        for key in NUMBERS:
            sigma = getattr(holder, key)
            if sigma is not None:
                rows.append([f"{name} {key}", *coordinates(sigma, settings)])
    return rows


def teaches(settings: RunSettings, source: SourceSettings, sigma: float) -> str:
    """Whether a source is admitted at a level under the run's arm: yes, no, or unsaid."""
    if source.trust in (None, Trust.rejected):
        return UNSAID if source.trust is None else "no"
    word = settings.arm.trusted if source.trust is Trust.trusted else settings.arm.suboptimal
    if word in (Teaches.everything, Teaches.nothing):
        return "yes" if word is Teaches.everything else "no"
    low, high = (_number(settings, source, key) for key in NUMBERS)
    if word is Teaches.below:
        low, high = np.inf, _lowest(settings)
    elif word is Teaches.above:
        high = 0.0
    if low is None or high is None:
        return UNSAID
    loss = settings.loss
    pair = np.array([[low], [high]], np.float64)
    admission = Admission(pair[0], pair[1], loss.ambient, loss.s_max)
    return "yes" if admission.admits(np.array([0]), np.array([sigma])).all() else "no"


def _annotated(settings: RunSettings, source: SourceSettings) -> bool:
    """Whether an annotation of the source's store, if there is one, would count."""
    unsaid = any(getattr(source, key) is None for key in settings.arm.reads)
    return source.trust is None or (source.trust is Trust.suboptimal and unsaid)


def _number(settings: RunSettings, source: SourceSettings, key: str) -> float | None:
    own: float | None = getattr(source, key)
    return getattr(settings.tuned, key) if own is None else own


def _lowest(settings: RunSettings) -> float | None:
    """The lowest sigma_min of the suboptimal sources, as far as the settings say."""
    suboptimal = [s for s in settings.sources.values() if s.trust is Trust.suboptimal]
    numbers = [_number(settings, source, "sigma_min") for source in suboptimal]
    return None if None in numbers else min((n for n in numbers if n is not None), default=None)


def coordinates(sigma: float, settings: RunSettings) -> list[str]:
    """A level in every coordinate; a dash where the schedule has no such step."""
    (row,) = as_table(np.array([sigma], np.float64), settings.noise.schedule_levels())
    return ["-" if np.isnan(row[name]) else f"{row[name]:.4g}" for name in COLUMNS]
