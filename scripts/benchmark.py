"""How fast draws are: ``python scripts/benchmark.py``; medians of repeated runs, with their spread.

50 trusted and E - 50 suboptimal episodes, each suboptimal one with a sigma_min of its own.
"""

import platform
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from ambient_policy.ambient.admission import Admission
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.diffusion.noise import Schedule, UniformOverLevels, ddpm_levels
from ambient_policy.seeding import generator

SIZES = (5_050, 1_000_000)
BATCH, STEPS, REPEATS = 65_536, 8, 7


def make_sampler(episodes: int) -> Sampler:
    """The sampler of an invented mixture; half of its weight is trusted."""
    random = generator(0, "benchmark", episodes)
    trusted = np.arange(episodes) < 50
    lengths = random.integers(20, 200, episodes)
    weight = np.where(trusted, 0.5 / lengths[trusted].sum(), 0.5 / lengths[~trusted].sum())
    own = random.uniform(0.01, 8.0, episodes)
    admission = Admission(np.where(trusted, 0.0, own), np.where(trusted, np.inf, 0.0))
    law = UniformOverLevels(ddpm_levels(Schedule.squaredcos, 100))
    return Sampler(admission, np.cumsum(lengths) - lengths, lengths, weight, law)


def rates(sampler: Sampler) -> list[float]:
    """Draws per second, once per repeat."""
    measured = []
    for repeat in range(REPEATS):
        start = time.perf_counter()
        for step in range(STEPS):
            sampler.draw(repeat, step, BATCH)
        measured.append(STEPS * BATCH / (time.perf_counter() - start))
    return measured


def main() -> None:
    """Measure both sizes in one run and print them with their ratio."""
    table = Table("episodes", "draws/s, median", "lowest", "highest")
    medians = []
    for size in SIZES:
        measured = rates(make_sampler(size))
        medians.append(float(np.median(measured)))
        row = (medians[-1], min(measured), max(measured))
        table.add_row(f"{size:,}", *(f"{value:,.0f}" for value in row))
    Console().print(table)
    print(f"ratio of medians {medians[1] / medians[0]:.2f}; {platform.processor()}, one thread")


if __name__ == "__main__":
    main()
