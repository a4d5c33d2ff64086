"""How precise a trained denoiser is.

For windows of each source, noised to each level the solver visits: the error of its answer and the
squared jerk of the answer beside that of the demonstrated chunk, in the unit of the actions, which
is taken to be ``task.path_unit``.
Where the answer is rougher than the data, the network's own error is what will be executed.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ambient_policy.batch import Draw
from ambient_policy.evaluation.metrics import squared_jerk
from ambient_policy.normalize import masked
from ambient_policy.policy import Policy
from ambient_policy.saved import open_policy
from ambient_policy.seeding import generator, torch_generator
from ambient_policy.terminal import Screen, print_table
from ambient_policy.workflows.preparation import Parts, prepare


@dataclass
class RoughnessSettings:
    """Which policy, on how many windows."""

    # folder of the run
    run: str = "???"
    # windows of each source, drawn by this seed
    windows: int = 400
    seed: int = 0


def measure(policy: Policy, parts: Parts, window: np.ndarray, sigma: float) -> list[float]:
    """Root mean square error, jerk of the answer and of the data, at one level."""
    draw = Draw(window, np.full(len(window), sigma), np.zeros(len(window)))
    batch = parts.windows_on("cpu").gather(draw)
    noise = torch.randn(batch.actions.shape, generator=torch_generator(0, "roughness"))
    seen, mask = batch.observations, policy.mask(batch.observations)
    noised = policy.represent(batch.actions, seen) + sigma * masked(noise, mask)
    with torch.no_grad():
        x0_hat = policy.denoise(noised, batch.sigma, policy.encode(seen), mask)
    own = parts.columns_of(int(window[0]))
    answer, demonstrated = policy.decode(x0_hat, seen)[..., own], batch.actions.numpy()[..., own]
    dt = 1 / policy.spec.control_rate
    jerks = [np.mean([squared_jerk(c, dt) for c in chunks]) for chunks in (answer, demonstrated)]
    error = float(np.sqrt(np.mean((answer - demonstrated) ** 2)))
    return [error, *map(float, jerks)]


def roughness(settings: RoughnessSettings) -> None:
    """Measure how precise and how rough a trained denoiser answers, beside its data."""
    saved = open_policy(settings.run)
    policy, parts = saved.policy, prepare(saved.settings)
    unit = parts.settings.task.path_unit
    jerks = (f"jerk² of {whose}\n[({unit}/s³)²]" for whose in ("answer", "data"))
    header = ("source", "sigma", f"error [{unit}]", *jerks)
    rows = []
    for i, name in enumerate(parts.mixture.names):
        of_source = np.flatnonzero(
            parts.mixture.source_of_window(np.arange(len(parts.mixture))) == i
        )
        window = generator(settings.seed, "roughness", i).choice(of_source, settings.windows)
        for sigma in np.unique(policy.solver_levels):
            error, answer, data = measure(policy, parts, window, float(sigma))
            numbers = (f"{number:.3g}" for number in (sigma, error, answer, data))
            rows.append((name, *numbers))
    print_table(Screen(), header, rows)
