"""Encoders: from observations to the condition that enters every block of the denoiser.

Each part of an observation (the state, each camera) has an encoder with weights of its own; the
condition is the outputs of all encoders side by side.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from ambient_policy.networks.images import ResNet, SpatialSoftmax, check_image, crop


class Perceptron(nn.Module):
    """Flatten a history of feature vectors and pass it through fully connected layers.

    Without layers the history itself is the output, as in diffusion_policy. A few layers help if
    the plan is an intricate function of the position, as in a maze.

    Args:
        inputs: To F, length of the flat history.
        layers: units of each layer; the last number is the width of the output.
        octaves: of ``octaves_of`` that stand beside the history.
    """

    def __init__(self, inputs: int, layers: Sequence[int] = (), octaves: int = 0) -> None:
        super().__init__()
        sizes = [inputs * (1 + 2 * octaves), *layers]
        self.octaves, self.width = octaves, sizes[-1]
        modules: list[nn.Module] = []
        for before, after in pairwise(sizes):
            modules += [nn.Linear(before, after), nn.Mish()]
        self.layers = nn.Sequential(*modules)

    def forward(self, features: Tensor, where: Tensor | None = None) -> Tensor:
        """(B,To,F) -> (B,width); ``where`` is for images."""
        flat = features.flatten(1)
        encoded: Tensor = self.layers(torch.cat([flat, octaves_of(flat, self.octaves)], dim=1))
        return encoded


def octaves_of(features: Tensor, count: int) -> Tensor:
    """Sines and cosines of normalised features, (B,F) -> (B, 2 count F).

    sin(2^k pi x / 2), cos(2^k pi x / 2) for k = 0 .. count - 1: a network of few layers learns
    slow functions of its inputs first, and these make sharp ones slow (Tancik et al. 2020,
    Fourier Features, section 6; the octaves of Mildenhall et al. 2020, NeRF, eq. 4).
    """
    angles = [features * (torch.pi / 2 * 2**k) for k in range(count)]
    waves = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
    return torch.cat(waves, dim=1) if waves else features[:, :0]


class ImageEncoder(nn.Module):
    """Encode the frames of a camera: crop, ResNet, spatial softmax, perceptron over the history.

    Args:
        shape: (H,W,C) of a frame [px].
        obs: To.
        size: (height, width) of the crop; an empty size takes the whole frame.
        channels: channels of the ResNet's stages.
        keypoints: K, number of keypoints.
        layers: units of the perceptron's layers; without any the 2 To K coordinates are the output.

    Raises:
        SettingsError: for a crop that does not fit the frame, or sizes that make no ResNet.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        obs: int,
        size: Sequence[int] = (),
        channels: Sequence[int] = (64, 128, 256, 512),
        keypoints: int = 32,
        layers: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.size = (size[0], size[1]) if size else shape[:2]
        check_image(shape, self.size, channels)
        self.trunk = ResNet(shape[2], channels)
        self.keypoints = SpatialSoftmax(channels[-1], keypoints)
        self.head = Perceptron(obs * 2 * keypoints, layers)
        self.width = self.head.width

    def forward(self, frames: Tensor, where: Tensor | None = None) -> Tensor:
        """(B,To,H,W,C) uint8, and where to crop (B,2) or None for the centre -> (B,width)."""
        cropped = crop(frames, self.size, where)
        images = cropped.flatten(0, 1).movedim(-1, 1) / 127.5 - 1  # as if one batch; to [-1,1]
        points: Tensor = self.keypoints(self.trunk(images))
        encoded: Tensor = self.head(points.reshape(*frames.shape[:2], -1))
        return encoded


class ObservationEncoder(nn.Module):
    """Encode all parts of an observation, each with its own encoder, in their order.

    Args:
        encoders: the encoder of each part, by its name.
    """

    def __init__(self, encoders: Mapping[str, Perceptron | ImageEncoder]) -> None:
        super().__init__()
        self.names = tuple(encoders)
        self.parts = nn.ModuleList(encoders.values())
        self.width = sum(encoder.width for encoder in encoders.values())

    def forward(self, observations: Mapping[str, Tensor], where: Tensor | None = None) -> Tensor:
        """Parts (B,To,...), and where to crop (B,2) or None for the centre -> (B,C)."""
        encoded = [
            cast(Tensor, encoder(observations[name], where))
            for name, encoder in zip(self.names, self.parts, strict=True)
        ]
        return torch.cat(encoded, dim=-1) if len(encoded) > 1 else encoded[0]
