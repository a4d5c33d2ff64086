"""The noise levels of a run in every coordinate: ``python scripts/levels.py arm=ambient``.

Marks those its solver visits, says which sources may teach where, lists the sources' thresholds.
"""

import numpy as np
from rich.console import Console
from rich.table import Table

from ambient_policy.ambient.admission import Admission
from ambient_policy.diffusion.law import LawKind
from ambient_policy.diffusion.noise import as_table
from ambient_policy.settings import LossSettings, RunSettings, SourceSettings, Trust

COLUMNS = {"step": "step", "ve": "sigma", "vp": "VP", "flow": "flow", "log_snr": "log-SNR"}


def teaches(source: SourceSettings, loss: LossSettings, sigma: float) -> str:
    """Whether a source's settings admit it at a level: yes, no, or left to its annotation."""
    if source.trust is not Trust.bounds:
        known = {Trust.trusted: "yes", Trust.rejected: "no"}
        return known.get(source.trust or Trust.annotated, "annotated")
    low, high = np.array([[source.sigma_min], [source.sigma_max]], np.float64)
    admission = Admission(low, high, loss.ambient, loss.s_max)
    return "yes" if admission.admits(np.array([0]), np.array([sigma])).all() else "no"


def numbers(sigma: float, settings: RunSettings) -> list[str]:
    """A level in every coordinate; a dash where the schedule has no such step."""
    (row,) = as_table(np.array([sigma], np.float64), settings.noise.schedule_levels())
    return ["-" if np.isnan(row[name]) else f"{row[name]:.4g}" for name in COLUMNS]


def levels_table(settings: RunSettings) -> Table:
    """The levels of training, if they are discrete, and those of the solver."""
    visited, noise = [c.sigma for c in settings.solver.calls(settings.noise)], settings.noise
    trained = noise.schedule_levels() if noise.law is LawKind.discrete else visited
    table = Table(*COLUMNS.values(), "solver", *settings.sources)
    for sigma in np.union1d(trained, visited):
        mark = ("", "visited", "twice")[visited.count(sigma)]  # heun calls twice at most levels
        taught = (teaches(source, settings.loss, sigma) for source in settings.sources.values())
        table.add_row(*numbers(sigma, settings), mark, *taught)
    return table


def levels(settings: RunSettings) -> None:
    """The noise levels of a run in every coordinate, and who may teach where."""
    thresholds = Table("threshold", *COLUMNS.values())
    for name, source in settings.sources.items():
        for key in ("sigma_min", "sigma_max") if source.trust is Trust.bounds else ():
            thresholds.add_row(f"{name} {key}", *numbers(getattr(source, key), settings))
    Console().print(levels_table(settings), thresholds if thresholds.row_count else "")
