"""From draws to a batch, by one vectorised gather; edges are repeated inside the episode."""

import numpy as np
import torch
from numpy.typing import NDArray

from ambient_datasets.mixture import Mixture
from ambient_policy.batch import Batch, Draw
from ambient_policy.errors import DataError
from ambient_policy.horizons import Horizons
from ambient_policy.seeding import normal_at


def gather(mixture: Mixture, horizons: Horizons, draw: Draw, seed: int) -> Batch:
    """The windows of a draw: observations at t-To+1..t, actions at t..t+Tp-1.

    Args:
        mixture: whose windows are drawn.
        horizons: To and Tp.
        draw: B windows with their noise levels.
        seed: of the kept noise.

    Returns:
        A batch on the CPU. ``kept_noise`` belongs to (source, episode, time step): overlapping
        windows share it, whatever else is in the mixture. It is zero where sigma_trust is 0, since
        nothing multiplies it there.

    Raises:
        DataError: if a window lies outside the mixture.
    """
    t = draw.window
    _check_windows(mixture, t)
    episode = mixture.episode_of_window(t)
    first = mixture.episode_starts[episode][:, None]
    last = first + mixture.episode_lengths[episode][:, None] - 1
    observed = np.maximum(t[:, None] + horizons.observed, first)
    predicted = t[:, None] + horizons.predicted
    is_pad = predicted > last
    rows = np.minimum(predicted, last)
    noise_rows = rows + mixture.noise_origin[episode][:, None]
    noise = _kept_noise(noise_rows, draw.sigma_trust > 0, mixture.actions.shape[1], seed)
    return Batch(
        observations=torch.from_numpy(mixture.observations.take(observed, axis=0)),
        actions=torch.from_numpy(mixture.actions.take(rows, axis=0)),
        kept_noise=torch.from_numpy(noise),
        sigma=torch.from_numpy(draw.sigma.astype(np.float32)),
        sigma_trust=torch.from_numpy(draw.sigma_trust.astype(np.float32)),
        is_pad=torch.from_numpy(is_pad),
    )


def _kept_noise(
    rows: NDArray[np.int64], needed: NDArray[np.bool_], dimensions: int, seed: int
) -> NDArray[np.float32]:
    """(B,Tp) rows of the endless table -> (B,Tp,A), zero where it is not needed (B,)."""
    noise = np.zeros((*rows.shape, dimensions), np.float32)
    if needed.any():
        noise[needed] = normal_at(seed, "kept noise", rows[needed], dimensions)
    return noise


def _check_windows(mixture: Mixture, window: NDArray[np.int64]) -> None:
    outside = (window < 0) | (window >= len(mixture))
    if outside.any():
        raise DataError(
            f"window {window[outside][0]} was drawn, but the mixture has windows 0 to "
            f"{len(mixture) - 1}. Build the sampler from this mixture's episodes."
        )
