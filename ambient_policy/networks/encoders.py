"""From what was observed to the condition that enters every block of the denoiser.

Each part of an observation (the state, each camera) has an encoder with weights of its own; the
condition is their answers side by side.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from ambient_policy.networks.images import ResNet, SpatialSoftmax, check_image, crop


class Perceptron(nn.Module):
    """History of feature vectors, flattened, through layers of given widths.

    Without layers the history itself is the answer, as in diffusion_policy; a few help where the
    plan is an intricate function of the position, as in a maze.

    Args:
        inputs: To F.
        layers: units of each; the last is the width of the answer.
    """

    def __init__(self, inputs: int, layers: Sequence[int] = ()) -> None:
        super().__init__()
        self.width = [inputs, *layers][-1]
        modules: list[nn.Module] = []
        for before, after in pairwise([inputs, *layers]):
            modules += [nn.Linear(before, after), nn.Mish()]
        self.layers = nn.Sequential(*modules)

    def forward(self, features: Tensor, where: Tensor | None = None) -> Tensor:
        """(B,To,F) -> (B,width); ``where`` is for images."""
        encoded: Tensor = self.layers(features.flatten(1))
        return encoded


class ImageEncoder(nn.Module):
    """Frames of one camera: crop, ResNet, spatial softmax, then a perceptron over the history.

    Args:
        shape: (H,W,C) of a frame [px].
        obs: To.
        size: (height, width) of the crop; none is the whole frame.
        channels: of the ResNet's stages.
        keypoints: K.
        layers: of the perceptron; none = the 2 To K coordinates are the answer.

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
    """All parts of an observation, each through its own encoder, in their order.

    Args:
        encoders: by the name of the part.
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
