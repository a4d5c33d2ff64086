"""Denoiser, normaliser and horizons together: observation history in, action chunk out."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ambient_policy.actions import represent, restore
from ambient_policy.actor import Actor
from ambient_policy.ambient.corrupt import corrupt
from ambient_policy.batch import EMBODIMENT, INSTRUCTION, STATE, Batch
from ambient_policy.diffusion.loss import denoising_loss, error_weight
from ambient_policy.diffusion.noise import Sigma
from ambient_policy.diffusion.precondition import c_noise, coefficients
from ambient_policy.diffusion.solve import noises_needed, solve
from ambient_policy.embodiments import spread
from ambient_policy.horizons import Horizons
from ambient_policy.interface import Interface
from ambient_policy.networks.encoders import ImageEncoder, ObservationEncoder, Perceptron
from ambient_policy.networks.network import Network
from ambient_policy.networks.unet1d import UNet1d
from ambient_policy.normalize import AffineLayer, masked
from ambient_policy.seeding import integer
from ambient_policy.settings import EncoderSettings, SolverSettings
from ambient_policy.spec import PolicySpec

__all__ = ["Policy", "PolicySpec"]

Array = NDArray[np.float32]


def _encoder(spec: PolicySpec) -> ObservationEncoder:
    """An encoder for each part of an observation, as the settings of their names say.

    Where an embodiment lacks observations, which ones it has is read along.
    """
    choices, obs, default = spec.network.encoders, spec.horizons.obs, EncoderSettings()
    rows, state = obs + int(spec.partial), choices.get(STATE, default)
    encoders: dict[str, Perceptron | ImageEncoder] = {
        STATE: Perceptron(rows * len(spec.observation_names), state.layers, state.octaves)
    }
    for name, shape in spec.cameras.items():
        chosen = choices.get(name, default)
        encoders[name] = ImageEncoder(
            shape, obs, chosen.crop, chosen.channels, chosen.keypoints, chosen.layers
        )
    if spec.language is not None:
        layers = choices.get(INSTRUCTION, default).layers
        encoders[INSTRUCTION] = Perceptron(spec.language.width, layers)
    return ObservationEncoder(encoders)


class Policy(nn.Module):
    """A diffusion policy over action chunks.

    Args:
        spec: everything but the weights.
        seed: the random start of the weights.
        rows: (L + 1, V) of the instructions it knows; None where it knows none, or they are about
            to be loaded with the weights.
    """

    def __init__(
        self, spec: PolicySpec, seed: int = 0, rows: NDArray[np.float32] | None = None
    ) -> None:
        super().__init__()
        self.spec, self.calls = spec, spec.solver.calls(spec.noise)
        network, bodies = spec.network, spec.embodiments.values()
        self.observation_map = AffineLayer(
            [body.normalizer.observations for body in bodies],
            [body.observation_columns for body in bodies],
            len(spec.observation_names),
        )
        self.action_map = AffineLayer(
            [body.normalizer.actions for body in bodies],
            [body.action_columns for body in bodies],
            len(spec.action_names),
        )
        columns = torch.tensor(spec.origin_columns, dtype=torch.long)
        self.register_buffer("origin_columns", columns, persistent=False)
        if spec.language is not None:
            empty = np.zeros((len(spec.language.texts) + 1, spec.language.width), np.float32)
            self.register_buffer("instructions", torch.tensor(empty if rows is None else rows))
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
            torch.manual_seed(integer(seed, "weights"))
            self.encoder = _encoder(spec)
            self.network: Network = UNet1d(
                actions=len(spec.action_names),
                condition=self.encoder.width,
                widths=network.widths,
                embedding=network.embedding,
                kernel=network.kernel,
                groups=network.groups,
            )

    @property
    def horizons(self) -> Horizons:
        """To, Tp, Ta [control steps]."""
        return self.spec.horizons

    @property
    def solver_levels(self) -> Sigma:
        """Noise level of each network call, falling."""
        return np.array([call.sigma for call in self.calls])

    @property
    def noises(self) -> int:
        """Standard normal chunks that ``plan`` needs for each world."""
        return noises_needed(self.spec.solver.kind, self.spec.solver.steps)

    @property
    def interface(self) -> Interface:
        """What it must be shown and what it commands, in the acting embodiment's own columns."""
        spec = self.spec
        return Interface(spec.own_observations, spec.own_actions, spec.cameras)

    def actor(self, seed: int = 0, episodes: int | Sequence[int] = 0) -> Actor:
        """This policy in one robot, or in W worlds (``actor.Actor``).

        Args:
            seed: of the denoising noise.
            episodes: number of the first episode; of W of them, for W worlds.
        """
        return Actor(self, seed, episodes)

    def with_solver(self, solver: SolverSettings) -> "Policy":
        """This policy, weights shared, sampled by another solver."""
        other = copy(self)  # shallow: the same modules, on their device and in their mode
        other.spec = replace(self.spec, solver=solver)
        other.calls = solver.calls(self.spec.noise)
        return other

    def encode(self, observations: Mapping[str, Tensor], crop: Tensor | None = None) -> Tensor:
        """Named parts, as in ``Batch``, in their units -> condition (B,C).

        Args:
            observations: of B histories.
            crop: (B,2) as in ``Batch``, used in training; else images are cropped centrally.
        """
        which = observations.get(EMBODIMENT)
        state = self.observation_map(observations[STATE], which)
        mask = self.observation_map.mask(which)
        if mask is not None:  # one row more: which dimensions there are
            state = torch.cat([state, mask], dim=1)
        parts = {**observations, STATE: state}
        if INSTRUCTION in parts:
            parts[INSTRUCTION] = self.get_buffer("instructions")[parts[INSTRUCTION]]
        where = crop if self.training else None
        encoded: Tensor = self.encoder(parts, where)
        return encoded

    def mask(self, observations: Mapping[str, Tensor]) -> Tensor | None:
        """(B,1,A), 1 for the action dimensions that each row has; None where all have all."""
        return self.action_map.mask(observations.get(EMBODIMENT))

    def denoise(
        self, x: Tensor, sigma: Tensor, condition: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """D(x; sigma) of Karras et al. 2022, eq. 7: (B,Tp,A), (B,), (B,C) -> x0_hat (B,Tp,A).

        Args:
            x: chunks at their noise levels, 0 in missing dimensions.
            sigma: these levels.
            condition: of ``encode``.
            mask: of ``mask``; the answer is 0 in missing dimensions.
        """
        noise = self.spec.noise
        c_skip, c_out, c_in = coefficients(noise.prediction, sigma, noise.sigma_data)
        x0_hat: Tensor = c_skip * x + c_out * self.network(c_in * x, c_noise(sigma), condition)
        return masked(x0_hat, mask)

    def _origin(self, observations: Mapping[str, Tensor]) -> Tensor:
        """What actions are counted from, in their units: (B,1,A), empty for absolute actions."""
        now = observations[STATE][:, -1:]
        return now.index_select(-1, self.get_buffer("origin_columns"))

    def represent(self, actions: Tensor, observations: Mapping[str, Tensor]) -> Tensor:
        """Actions (B,Tp,A) in their units -> x0, normalised, 0 in missing dimensions.

        Args:
            actions: of B chunks.
            observations: seen at their start, as in ``Batch``.
        """
        kind, origin = self.spec.actions.representation, self._origin(observations)
        learned = represent(kind, actions, origin)
        x0: Tensor = self.action_map(learned, observations.get(EMBODIMENT))
        return x0

    def decode(self, x0: Tensor, observations: Mapping[str, Tensor]) -> Array:
        """The inverse of ``represent``, as numpy; 0 in missing dimensions."""
        learned = self.action_map.inverse(x0, observations.get(EMBODIMENT))
        kind, origin = self.spec.actions.representation, self._origin(observations)
        actions = masked(restore(kind, learned, origin), self.mask(observations))
        decoded: Array = actions.cpu().numpy()
        return decoded

    def loss(
        self,
        batch: Batch,
        eps: Tensor,
        mask_padding: bool = False,
        min_snr: float | None = None,
        count: Tensor | None = None,
    ) -> Tensor:
        """Steps 5 to 7 of the walk: corrupt, denoise, compare; a scalar.

        Args:
            batch: B draws in their own units.
            eps: (B,Tp,A) fresh standard normal noise.
            mask_padding: leave steps beyond an episode's end out.
            min_snr: gamma of the min-SNR weight, or None for the network's plain error.
            count: of chunk steps to divide by, as in ``denoising_loss``: None for a whole batch.
        """
        present = self.mask(batch.observations)
        x0 = self.represent(batch.actions, batch.observations)
        kept_noise, eps = masked(batch.kept_noise, present), masked(eps, present)
        noisy = corrupt(x0, kept_noise, eps, batch.sigma, batch.sigma_trust)
        condition = self.encode(batch.observations, batch.crop)
        x0_hat = self.denoise(noisy.x_sigma, batch.sigma, condition, present)
        mask = ~batch.is_pad if mask_padding else torch.ones_like(batch.is_pad)
        weight = error_weight(
            self.spec.noise.prediction, batch.sigma, self.spec.noise.sigma_data, min_snr
        )
        return denoising_loss(x0_hat, noisy, weight, mask, count, present)

    def observe(self, history: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        """What the acting embodiment saw, as the parts of a ``Batch`` on the policy's device.

        Args:
            history: (W,To,O) float32 in its own columns, images (W,To,H,W,C) uint8.
        """
        spec, worlds = self.spec, len(history[STATE])
        columns, width = spec.body.observation_columns, len(spec.observation_names)
        parts = {**history, STATE: spread(history[STATE], columns, width)}
        if len(spec.embodiments) > 1:
            parts[EMBODIMENT] = np.full(worlds, list(spec.embodiments).index(spec.acting))
        if spec.language is not None:
            parts[INSTRUCTION] = np.full(worlds, spec.language.number(spec.language.said))
        device = next(self.parameters()).device
        return {name: torch.from_numpy(part).to(device) for name, part in parts.items()}

    def trajectory(
        self, observations: Mapping[str, Tensor], noise: Array
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(x, x0_hat) at every visited level, normalised (W,Tp,A); the last pair is the chunk.

        Args:
            observations: W histories, as in ``Batch``.
            noise: (``noises``,W,Tp,A) standard normal; what lies in missing dimensions is ignored.
        """
        condition, mask = self.encode(observations), self.mask(observations)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return self.denoise(x, sigma, condition, mask)

        start = masked(torch.from_numpy(noise).to(condition.device), mask)
        return solve(denoise, start, self.calls)

    @torch.no_grad()
    def sample(self, observations: Mapping[str, Tensor], noise: Array) -> Array:
        """Action chunks (W,Tp,A) in their units, 0 in missing dimensions.

        Args:
            observations: W histories, as in ``Batch``.
            noise: (``noises``,W,Tp,A) standard normal.
        """
        for x, _ in self.trajectory(observations, noise):
            chunk = x
        return self.decode(chunk, observations)

    def from_own(self, noise: Array) -> Array:
        """(...,A) of the acting embodiment's own actions -> of the policy's."""
        return spread(noise, self.spec.body.action_columns, len(self.spec.action_names))

    def to_own(self, actions: Array) -> Array:
        """(...,A) of the policy's actions -> the acting embodiment's own."""
        own: Array = actions[..., list(self.spec.body.action_columns)]
        return own

    def plan(self, history: Mapping[str, NDArray[Any]], noise: Array) -> Array:
        """Action chunks (W,Tp,A) of the acting embodiment, in its own columns and units.

        Args:
            history: what it saw, named as in ``Batch``: (W,To,O) float32 in its own columns, or
                images (W,To,H,W,C) uint8.
            noise: (``noises``,W,Tp,A) standard normal, for its own columns.

        Raises:
            DataError: naming the part or column that is missing, misshapen or not finite.
        """
        parts = self.interface.histories(history, self.horizons.obs)
        return self.to_own(self.sample(self.observe(parts), self.from_own(noise)))
