"""From draws to a batch, by one vectorised gather; edges are repeated inside the episode.

The tables lie on the training device; what is copied there for a batch is a few numbers per draw.
"""

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ambient_datasets.mixture import Mixture
from ambient_policy.batch import STATE, Batch, Draw
from ambient_policy.errors import DataError
from ambient_policy.horizons import Horizons
from ambient_policy.seeding import normal_at


class Windows:
    """The windows of a mixture: observations at t-To+1..t, actions at t..t+Tp-1.

    Args:
        mixture: whose windows are drawn.
        horizons: To and Tp.
        seed: of the kept noise.
        device: where the tables lie and the batches come to be.
    """

    def __init__(
        self,
        mixture: Mixture,
        horizons: Horizons,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.mixture, self.seed, self.device = mixture, seed, torch.device(device)
        self._observed = torch.from_numpy(horizons.observed).to(self.device)
        self._predicted = torch.from_numpy(horizons.predicted).to(self.device)
        self._host_observed, self._host_predicted = horizons.observed, horizons.predicted
        self._states = self._table(mixture.observations)
        self._actions = self._table(mixture.actions)

    def gather(self, draw: Draw, crop: NDArray[np.float32] | None = None) -> Batch:
        """The batch of B draws.

        Args:
            draw: windows with their noise levels.
            crop: (B,2) in [0,1), where images are cropped; None is their centre.

        Returns:
            A batch on the device. ``kept_noise`` belongs to (source, episode, time step):
            overlapping windows share it, whatever else is in the mixture. Steps beyond the end of
            an episode repeat its last action but have noise of their own, for the ambient loss
            needs it independent from entry to entry. It is zero where sigma_trust is 0, since
            nothing multiplies it there.

        Raises:
            DataError: if a window lies outside the mixture.
        """
        _check_windows(self.mixture, draw.window)
        episode = self.mixture.episode_of_window(draw.window)
        first = self.mixture.episode_starts[episode]
        last = first + self.mixture.episode_lengths[episode] - 1
        t, lowest, highest = self._send(np.stack([draw.window, first, last]))[..., None]
        observed = torch.maximum(t + self._observed, lowest)
        predicted = t + self._predicted
        sigmas = self._send(np.stack([draw.sigma, draw.sigma_trust]).astype(np.float32))
        centre = np.full((len(draw), 2), 0.5, np.float32)
        return Batch(
            observations={STATE: self._states[observed], **self._images(draw.window, first)},
            actions=self._actions[torch.minimum(predicted, highest)],
            kept_noise=self._kept_noise(draw, last, self.mixture.noise_origin[episode]),
            sigma=sigmas[0],
            sigma_trust=sigmas[1],
            is_pad=predicted > highest,
            crop=self._send(centre if crop is None else crop),
        )

    def _images(self, t: NDArray[np.int64], first: NDArray[np.int64]) -> dict[str, Tensor]:
        """Frames (B,To,H,W,3) of each camera; read from disk, they are copied to the device."""
        cameras = self.mixture.cameras.items()
        if not cameras:
            return {}
        rows = np.maximum(t[:, None] + self._host_observed, first[:, None])
        return {name: self._send(frames.read(rows)) for name, frames in cameras}

    def _table(self, values: NDArray[np.float32]) -> Tensor:
        with warnings.catch_warnings():  # the array is read-only, and nothing writes to the tensor
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(values).to(self.device)

    def _send(self, values: NDArray[Any]) -> Tensor:
        """A small array to the device; from pinned memory the host need not wait for it."""
        tensor = torch.from_numpy(values)
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def _kept_noise(self, draw: Draw, last: NDArray[np.int64], origin: NDArray[np.int64]) -> Tensor:
        """(B,Tp,A) from the endless table, zero where it is not needed."""
        shape = (len(draw), len(self._host_predicted), self._actions.shape[1])
        needed = draw.sigma_trust > 0
        if not needed.any():
            return torch.zeros(shape, device=self.device)
        noise = np.zeros(shape, np.float32)
        steps = draw.window[:, None] + self._host_predicted - last[:, None]
        noise[needed] = self._noise_at((last + origin)[needed, None], steps[needed])
        return self._send(noise)

    def _noise_at(self, end: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.float32]:
        """(B,Tp,A) at ``steps`` (B,Tp) after the last one of an episode, which lies at ``end``.

        Those beyond it (steps > 0, under 4096) have a table of their own. Its addresses wrap
        around 2^64: what counts is that they differ.
        """
        actions, beyond = self._actions.shape[1], steps > 0
        noise = normal_at(self.seed, "kept noise", end + steps, actions)
        addresses = (end * 4096 + steps)[beyond]
        noise[beyond] = normal_at(self.seed, "kept noise beyond the end", addresses, actions)
        return noise


def _check_windows(mixture: Mixture, window: NDArray[np.int64]) -> None:
    outside = (window < 0) | (window >= len(mixture))
    if outside.any():
        raise DataError(
            f"window {window[outside][0]} was drawn, but the mixture has windows 0 to "
            f"{len(mixture) - 1}. Build the sampler from this mixture's episodes."
        )
