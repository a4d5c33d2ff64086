"""Denoiser, normaliser and horizons together: observation history in, action chunk out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn

from ambient_policy.ambient.corrupt import corrupt
from ambient_policy.batch import Batch
from ambient_policy.diffusion.loss import denoising_loss, error_weight
from ambient_policy.diffusion.noise import Sigma, ddpm_levels
from ambient_policy.diffusion.precondition import c_noise, coefficients
from ambient_policy.diffusion.solve import leading_levels, noises_needed, solve
from ambient_policy.errors import SettingsError, unknown
from ambient_policy.horizons import Horizons
from ambient_policy.networks.encoders import StateEncoder
from ambient_policy.networks.unet1d import UNet1d
from ambient_policy.normalize import AffineLayer, Normalizer
from ambient_policy.seeding import integer
from ambient_policy.settings import NetworkSettings, NoiseSettings, SolverSettings

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PolicySpec:
    """What decides a policy besides its weights; saved with them.

    Attributes:
        task: gymnasium id of the world it was trained for, with its keyword arguments.
        observation_names, action_names: the O and A dimensions.
        control_rate: [Hz].
        relative_to: the observation dimension that each action dimension is counted from at time t;
            none for absolute actions. Noise levels keep their unit, for the scale is the same.
    """

    task: str
    task_kwargs: dict[str, Any]
    observation_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_rate: float
    normalizer: Normalizer
    horizons: Horizons
    noise: NoiseSettings
    network: NetworkSettings
    solver: SolverSettings
    relative_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown_names = sorted(set(self.relative_to) - set(self.observation_names))
        if unknown_names:
            raise unknown("observation in relative_to", unknown_names[0], self.observation_names)
        if len(self.relative_to) not in (0, len(self.action_names)):
            raise SettingsError(
                f"relative_to = {list(self.relative_to)} must name one observation for each of the "
                f"actions {list(self.action_names)}, or none."
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        record: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "PolicySpec":
        """The inverse of ``to_json``."""
        return _ADAPTER.validate_python(record)


_ADAPTER: TypeAdapter[PolicySpec] = TypeAdapter(PolicySpec)


class Policy(nn.Module):
    """A diffusion policy over action chunks.

    Args:
        spec: everything but the weights.
        seed: the random start of the weights.
    """

    def __init__(self, spec: PolicySpec, seed: int = 0) -> None:
        super().__init__()
        self.spec = spec
        network, horizons = spec.network, spec.horizons
        self.observation_map = AffineLayer(spec.normalizer.observations)
        self.action_map = AffineLayer(spec.normalizer.actions)
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
            torch.manual_seed(integer(seed, "weights"))
            self.encoder = StateEncoder(horizons.obs * len(spec.observation_names), network.encoder)
            self.network = UNet1d(
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
    def levels(self) -> Sigma:
        """(K,) trained noise levels, rising."""
        return ddpm_levels(self.spec.noise.schedule, self.spec.noise.levels)

    @property
    def solver_levels(self) -> Sigma:
        """Noise levels the solver visits, falling."""
        return leading_levels(self.levels, self.spec.solver.steps)

    @property
    def noises(self) -> int:
        """Standard normal chunks that ``plan`` needs for each world."""
        return noises_needed(self.spec.solver.kind, self.spec.solver.steps)

    def with_solver(self, solver: SolverSettings) -> "Policy":
        """This policy, weights shared, sampled by another solver."""
        other = Policy(replace(self.spec, solver=solver))
        other.encoder, other.network = self.encoder, self.network
        return other

    def encode(self, observations: Tensor) -> Tensor:
        """(B,To,O) in their units -> condition (B,C)."""
        encoded: Tensor = self.encoder(self.observation_map(observations))
        return encoded

    def denoise(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """D(x; sigma) of Karras et al. 2022, eq. 7: (B,Tp,A), (B,), (B,C) -> x0_hat (B,Tp,A)."""
        c_skip, c_out, c_in = coefficients(self.spec.noise.prediction, sigma)
        x0_hat: Tensor = c_skip * x + c_out * self.network(c_in * x, c_noise(sigma), condition)
        return x0_hat

    def origin(self, observations: Tensor) -> Tensor:
        """What chunks are counted from, normalised (B,1,A): 0, or the state now in (B,To,O)."""
        if not self.spec.relative_to:
            return torch.zeros_like(observations[:, -1:, :1])
        columns = [self.spec.observation_names.index(name) for name in self.spec.relative_to]
        origin: Tensor = self.action_map(observations[:, -1:, columns])
        return origin

    def decode(self, chunk: Tensor, history: Array) -> Array:
        """Normalised chunks (W,Tp,A) planned at (W,To,O) -> actions in their units."""
        origin = self.origin(torch.from_numpy(history).to(chunk.device))
        actions: Array = self.action_map.inverse(chunk + origin).cpu().numpy()
        return actions

    def loss(
        self,
        batch: Batch,
        eps: Tensor,
        mask_padding: bool = False,
        min_snr: float | None = None,
    ) -> Tensor:
        """Steps 5 to 7 of the walk: corrupt, denoise, compare; a scalar.

        Args:
            batch: B draws in their own units.
            eps: (B,Tp,A) fresh standard normal noise.
            mask_padding: leave steps beyond an episode's end out.
            min_snr: gamma of the min-SNR weight, or None for the network's plain error.
        """
        x0 = self.action_map(batch.actions) - self.origin(batch.observations)
        x_trust, x_sigma = corrupt(x0, batch.kept_noise, eps, batch.sigma, batch.sigma_trust)
        x0_hat = self.denoise(x_sigma, batch.sigma, self.encode(batch.observations))
        mask = ~batch.is_pad if mask_padding else torch.ones_like(batch.is_pad)
        weight = error_weight(self.spec.noise.prediction, batch.sigma, min_snr)
        return denoising_loss(
            x0_hat, x_trust, x_sigma, batch.sigma, batch.sigma_trust, weight, mask
        )

    def trajectory(self, history: Array, noise: Array) -> Iterator[tuple[Tensor, Tensor]]:
        """(x, x0_hat) at every visited level, normalised (W,Tp,A); the last pair is the chunk.

        Args:
            history: (W,To,O) in their units.
            noise: (``noises``,W,Tp,A) standard normal.
        """
        device = next(self.parameters()).device
        condition = self.encode(torch.from_numpy(history).to(device))

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return self.denoise(x, sigma, condition)

        start = torch.from_numpy(noise).to(device)
        return solve(denoise, start, self.solver_levels, self.spec.solver.kind)

    @torch.no_grad()
    def plan(self, history: Array, noise: Array) -> Array:
        """Action chunks (W,Tp,A) in their units; arguments as ``trajectory``."""
        for x, _ in self.trajectory(history, noise):
            chunk = x
        return self.decode(chunk, history)
