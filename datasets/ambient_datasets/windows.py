"""From draws to a batch, by one vectorised gather; edges are repeated inside the episode.

Tables in memory lie on the training device; what is copied there for a batch is the rows' numbers.
Tables on disk are gathered on the host, and what is copied is the rows.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ambient_datasets.mixture import Mixture
from ambient_datasets.tables import JoinedTable
from ambient_policy.batch import STATE, Batch, Draw
from ambient_policy.embodiments import spread
from ambient_policy.errors import DataError
from ambient_policy.horizons import Horizons
from ambient_policy.seeding import normal_among, normal_at


class Windows:
    """The windows of a mixture: observations at t-To+1..t, actions at t..t+Tp-1.

    Args:
        mixture: whose windows are drawn.
        horizons: To and Tp.
        seed: of the kept noise.
        device: where the batches come to be, and tables that are in memory lie.
        labels: of every episode, by the name of the observation's part they become: (E,) int64,
            e.g. whose "embodiment" it shows.
    """

    def __init__(
        self,
        mixture: Mixture,
        horizons: Horizons,
        seed: int,
        device: torch.device | str = "cpu",
        labels: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> None:
        self.mixture, self.seed, self.device = mixture, seed, torch.device(device)
        self._labels = labels or {}
        self._observed, self._predicted = horizons.observed, horizons.predicted
        self._states = self._look_up(mixture.observations)
        self._actions = self._look_up(mixture.actions)
        numbers: dict[tuple[int, ...], int] = {}  # of the different places of actions
        of_source = [numbers.setdefault(tuple(p), len(numbers)) for p in mixture.actions.places]
        self._layouts = list(numbers)
        self._layout_of_episode = np.array(of_source)[mixture.source_of_episode]

    def gather(self, draw: Draw, crop: NDArray[np.float32] | None = None) -> Batch:
        """The batch of B draws.

        Args:
            draw: windows with their noise levels.
            crop: (B,2) in [0,1), where images are cropped; None is their centre.

        Returns:
            A batch on the device. ``kept_noise`` belongs to (source, episode, time step, own
            action dimension): overlapping windows share it, whatever else is in the mixture; in
            dimensions that the source lacks it is 0. Steps beyond the end of an episode repeat its
            last action but have noise of their own, for the ambient loss needs it independent from
            entry to entry. It is zero where sigma_trust is 0, since nothing multiplies it there.

        Raises:
            DataError: if a window lies outside the mixture; of frames and tables on disk, what
                their first reading finds.
        """
        _check_windows(self.mixture, draw.window)
        episode = self.mixture.episode_of_window(draw.window)
        first = self.mixture.episode_starts[episode]
        last = first + self.mixture.episode_lengths[episode] - 1
        observed = np.maximum(draw.window[:, None] + self._observed, first[:, None])
        predicted = draw.window[:, None] + self._predicted
        sigmas = self._send(np.stack([draw.sigma, draw.sigma_trust]).astype(np.float32))
        centre = np.full((len(draw), 2), 0.5, np.float32)
        labels = {name: self._send(of[episode]) for name, of in self._labels.items()}
        return Batch(
            observations={STATE: self._states(observed), **self._images(observed), **labels},
            actions=self._actions(np.minimum(predicted, last[:, None])),
            kept_noise=self._kept_noise(draw, episode, last),
            sigma=sigmas[0],
            sigma_trust=sigmas[1],
            is_pad=self._send(predicted > last[:, None]),
            crop=self._send(centre if crop is None else crop),
        )

    def _images(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Frames (B,To,H,W,3) of each camera; read from disk, they are copied to the device."""
        return {
            name: self._send(frames.read(rows)) for name, frames in self.mixture.cameras.items()
        }

    def _look_up(self, table: JoinedTable) -> Callable[[NDArray[np.int64]], Tensor]:
        """From rows (B,T) on the host to their numbers (B,T,D) on the device."""
        if not table.in_memory:
            return lambda rows: self._send(table.read(rows))
        with warnings.catch_warnings():  # the array is read-only, and nothing writes to the tensor
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            values = torch.from_numpy(table.whole()).to(self.device)
        return lambda rows: values[self._send(rows)]

    def _send(self, values: NDArray[Any]) -> Tensor:
        """A small array to the device; from pinned memory the host need not wait for it."""
        tensor = torch.from_numpy(values)
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def _kept_noise(
        self, draw: Draw, episode: NDArray[np.int64], last: NDArray[np.int64]
    ) -> Tensor:
        """(B,Tp,A) from the endless table, zero where it is not needed."""
        shape = (len(draw), len(self._predicted), self.mixture.actions.shape[1])
        needed = draw.sigma_trust > 0
        if not needed.any():
            return torch.zeros(shape, device=self.device)
        noise = np.zeros(shape, np.float32)
        steps = draw.window[:, None] + self._predicted - last[:, None]
        end = last + self.mixture.noise_origin[episode]
        for i, columns in enumerate(self._layouts):
            rows = needed & (self._layout_of_episode[episode] == i)
            own = self._noise_at(end[rows, None], steps[rows], len(columns))
            noise[rows] = spread(own, columns, shape[-1])
        return self._send(noise)

    def _noise_at(
        self, end: NDArray[np.int64], steps: NDArray[np.int64], actions: int
    ) -> NDArray[np.float32]:
        """(B,Tp,A) at ``steps`` (B,Tp) after the last one of an episode, which lies at ``end``.

        Each step beyond it, of which a chunk has at most Tp - 1, has a table of its own, addressed
        by the end: so ends that differ differ there too.
        """
        noise = normal_at(self.seed, "kept noise", end + steps, actions)
        beyond = steps > 0
        ends = np.broadcast_to(end, steps.shape)[beyond]
        purposes = [f"kept noise {k} beyond the end" for k in range(1, steps.max(initial=0) + 1)]
        noise[beyond] = normal_among(self.seed, purposes, steps[beyond] - 1, ends, actions)
        return noise


def _check_windows(mixture: Mixture, window: NDArray[np.int64]) -> None:
    outside = (window < 0) | (window >= len(mixture))
    if outside.any():
        raise DataError(
            f"window {window[outside][0]} was drawn, but the mixture has windows 0 to "
            f"{len(mixture) - 1}. Build the sampler from this mixture's episodes."
        )
