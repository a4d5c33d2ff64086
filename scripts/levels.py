"""The noise levels of a run in every coordinate: ``python scripts/levels.py arm=ambient``.

Marks the levels its solver visits and says which sources may teach where.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ambient_policy.diffusion.noise import as_table, ddpm_levels
from ambient_policy.diffusion.solve import leading_levels
from ambient_policy.settings import RunSettings, SourceSettings, Trust
from compose import compose, run


def teaches(source: SourceSettings, sigma: float) -> str:
    """Whether a source's settings admit it at a level: yes, no, or left to its annotation."""
    if source.trust in (None, Trust.annotated):
        return "annotated"
    if source.trust is not Trust.bounds:
        return "yes" if source.trust is Trust.trusted else "no"
    above = source.sigma_min is not None and sigma > source.sigma_min
    below = source.sigma_max is not None and sigma < source.sigma_max
    return "yes" if above or below else "no"


def main(overrides: Sequence[str]) -> None:
    """Compose and print."""
    settings: RunSettings = compose("train", overrides)
    levels = ddpm_levels(settings.noise.schedule, settings.noise.levels)
    visited = set(leading_levels(levels, settings.solver.steps).tolist())
    table = Table("step", "sigma", "VP", "flow", "log-SNR", "solver", *settings.sources)
    for row in as_table(levels):
        numbers = (f"{row[name]:.4g}" for name in ("sigma", "vp", "flow", "log_snr"))
        mark = "visited" if row["sigma"] in visited else ""
        taught = (teaches(source, row["sigma"]) for source in settings.sources.values())
        table.add_row(str(row["step"]), *numbers, mark, *taught)
    Console().print(table)


if __name__ == "__main__":
    run(main)
