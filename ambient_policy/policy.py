"""Denoiser, normaliser and horizons together: observation history in, action chunk out."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn

from ambient_policy.actions import origin_columns, represent, restore
from ambient_policy.ambient.corrupt import corrupt
from ambient_policy.batch import STATE, Batch
from ambient_policy.diffusion.loss import denoising_loss, error_weight
from ambient_policy.diffusion.noise import Sigma
from ambient_policy.diffusion.precondition import c_noise, coefficients
from ambient_policy.diffusion.solve import noises_needed, solve
from ambient_policy.horizons import Horizons
from ambient_policy.networks.encoders import ImageEncoder, ObservationEncoder, Perceptron
from ambient_policy.networks.network import Network
from ambient_policy.networks.unet1d import UNet1d
from ambient_policy.normalize import AffineLayer, Normalizer
from ambient_policy.seeding import integer
from ambient_policy.settings import (
    ActionSettings,
    EncoderSettings,
    NetworkSettings,
    NoiseSettings,
    SolverSettings,
)

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PolicySpec:
    """What decides a policy besides its weights; saved with them.

    Attributes:
        task: gymnasium id of the world it was trained for, with its keyword arguments.
        observation_names, action_names: the O and A dimensions.
        control_rate: [Hz].
        cameras: those it looks through, each with its (height, width, channels) [px].
        actions: how a chunk is written down for the network.
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
    actions: ActionSettings = field(default_factory=ActionSettings)
    cameras: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self.origin_columns  # refuses names that do not fit

    @property
    def origin_columns(self) -> list[int]:
        """The state dimensions that actions are counted from, (A,) or none."""
        return origin_columns(
            self.actions.representation,
            self.actions.origin,
            self.observation_names,
            self.action_names,
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


def _encoder(spec: PolicySpec) -> ObservationEncoder:
    """An encoder for the state and one for each camera, as the settings of their names say."""
    choices, obs = spec.network.encoders, spec.horizons.obs
    default = EncoderSettings()
    state = choices.get(STATE, default)
    encoders: dict[str, Perceptron | ImageEncoder] = {
        STATE: Perceptron(obs * len(spec.observation_names), state.layers)
    }
    for name, shape in spec.cameras.items():
        chosen = choices.get(name, default)
        encoders[name] = ImageEncoder(
            shape, obs, chosen.crop, chosen.channels, chosen.keypoints, chosen.layers
        )
    return ObservationEncoder(encoders)


class Policy(nn.Module):
    """A diffusion policy over action chunks.

    Args:
        spec: everything but the weights.
        seed: the random start of the weights.
    """

    def __init__(self, spec: PolicySpec, seed: int = 0) -> None:
        super().__init__()
        self.spec, self.calls = spec, spec.solver.calls(spec.noise)
        network = spec.network
        self.observation_map = AffineLayer(spec.normalizer.observations)
        self.action_map = AffineLayer(spec.normalizer.actions)
        columns = torch.tensor(spec.origin_columns, dtype=torch.long)
        self.register_buffer("origin_columns", columns, persistent=False)
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
        state = self.observation_map(observations[STATE])
        where = crop if self.training else None
        encoded: Tensor = self.encoder({**observations, STATE: state}, where)
        return encoded

    def denoise(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """D(x; sigma) of Karras et al. 2022, eq. 7: (B,Tp,A), (B,), (B,C) -> x0_hat (B,Tp,A)."""
        noise = self.spec.noise
        c_skip, c_out, c_in = coefficients(noise.prediction, sigma, noise.sigma_data)
        x0_hat: Tensor = c_skip * x + c_out * self.network(c_in * x, c_noise(sigma), condition)
        return x0_hat

    def origin(self, observations: Mapping[str, Tensor]) -> Tensor:
        """What actions are counted from, in their units: (B,1,A), empty for absolute actions."""
        now = observations[STATE][:, -1:]
        return now.index_select(-1, self.get_buffer("origin_columns"))

    def represent(self, actions: Tensor, origin: Tensor) -> Tensor:
        """Actions (B,Tp,A) in their units -> x0, normalised."""
        x0: Tensor = self.action_map(represent(self.spec.actions.representation, actions, origin))
        return x0

    def decode(self, x0: Tensor, origin: Tensor) -> Array:
        """The inverse of ``represent``, as numpy."""
        learned = self.action_map.inverse(x0)
        actions = restore(self.spec.actions.representation, learned, origin)
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
        x0 = self.represent(batch.actions, self.origin(batch.observations))
        x_trust, x_sigma = corrupt(x0, batch.kept_noise, eps, batch.sigma, batch.sigma_trust)
        x0_hat = self.denoise(x_sigma, batch.sigma, self.encode(batch.observations, batch.crop))
        mask = ~batch.is_pad if mask_padding else torch.ones_like(batch.is_pad)
        weight = error_weight(
            self.spec.noise.prediction, batch.sigma, self.spec.noise.sigma_data, min_snr
        )
        return denoising_loss(
            x0_hat, x_trust, x_sigma, batch.sigma, batch.sigma_trust, weight, mask, count
        )

    def observe(self, history: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        """The parts of a history as tensors on the policy's device."""
        device = next(self.parameters()).device
        return {name: torch.from_numpy(part).to(device) for name, part in history.items()}

    def trajectory(
        self, observations: Mapping[str, Tensor], noise: Array
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(x, x0_hat) at every visited level, normalised (W,Tp,A); the last pair is the chunk.

        Args:
            observations: W histories, from ``observe``.
            noise: (``noises``,W,Tp,A) standard normal.
        """
        condition = self.encode(observations)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return self.denoise(x, sigma, condition)

        start = torch.from_numpy(noise).to(condition.device)
        return solve(denoise, start, self.calls)

    @torch.no_grad()
    def plan(self, history: Mapping[str, NDArray[Any]], noise: Array) -> Array:
        """Action chunks (W,Tp,A) in their units.

        Args:
            history: named parts, as in ``Batch``: (W,To,O) float32 or images (W,To,H,W,C) uint8.
            noise: (``noises``,W,Tp,A) standard normal.
        """
        observations = self.observe(history)
        for x, _ in self.trajectory(observations, noise):
            chunk = x
        return self.decode(chunk, self.origin(observations))
