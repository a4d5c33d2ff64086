"""Images to features: a crop, the trunk of ResNet-18 (He et al. 2016), spatial softmax.

Group normalisation stands for batch normalisation, as in diffusion_policy (Chi et al. 2023): the
moving average of the weights that evaluation uses knows nothing of batch statistics.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ambient_policy.errors import SettingsError

GROUP = 16  # channels normalised together


def check_image(
    shape: tuple[int, int, int], size: tuple[int, int], channels: Sequence[int]
) -> None:
    """Refuse a crop outside its frame, and one of which the trunk leaves a single position.

    Args:
        shape: (H,W,C) of a frame [px].
        size: (height, width) of the crop [px].
        channels: channels of the trunk's stages.

    Raises:
        SettingsError: naming the setting and what fits.
    """
    height, width, _ = shape
    if size[0] > height or size[1] > width:
        raise SettingsError(
            f"network.encoders: crop = {list(size)} does not fit frames of {height} x {width} "
            "pixels; give a smaller height and width, or [] for the whole frame."
        )
    halvings = len(channels) + 1
    if min(size) <= 2**halvings:
        raise SettingsError(
            f"network.encoders: an image of {size[0]} x {size[1]} pixels is halved {halvings} times"
            f" by stages of channels {list(channels)}, which leaves a single place to look at: "
            f"give more than {2**halvings} pixels a side, or fewer channels, e.g. [64,128]."
        )


def crop(frames: Tensor, size: tuple[int, int], where: Tensor | None = None) -> Tensor:
    """Crop every frame; all frames of one history have the same crop.

    Args:
        frames: (B,To,H,W,C).
        size: (height, width) [px].
        where: (B,2) in [0,1), upper left corner as a fraction of the free margin; None = centre.

    Returns:
        (B,To,height,width,C).
    """
    batch, time, free = *frames.shape[:2], [frames.shape[2 + i] - size[i] for i in (0, 1)]
    if where is None:
        top, left = (free[0] + 1) // 2, (free[1] + 1) // 2  # as where = 0.5
        return frames[:, :, top : top + size[0], left : left + size[1]]
    arange = [torch.arange(count, device=frames.device) for count in (batch, time, *size)]
    # float32 may round up to the margin's end, hence the clamp
    first = [(where[:, i] * (free[i] + 1)).long().clamp(max=free[i]) for i in (0, 1)]
    rows, columns = (first[i][:, None] + arange[2 + i] for i in (0, 1))
    return frames[
        arange[0][:, None, None, None],
        arange[1][None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution and group normalisation; weights as torchvision's ResNet starts them."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.GroupNorm(outputs // GROUP, outputs))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is added: (B,I,H,W) -> (B,O,H/s,W/s)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, 3, stride)
        self.second = convolution(outputs, outputs, 3)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet without its pooling and classifier; 64, 128, 256, 512 channels make it ResNet-18.

    Args:
        inputs: C of an image.
        channels: channels of each stage of two blocks, multiples of 16. The stem halves the image
            twice, and every stage but the first halves it again.

    Raises:
        SettingsError: for other channels.
    """

    def __init__(self, inputs: int, channels: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__()
        if not channels or any(width < GROUP or width % GROUP for width in channels):
            raise SettingsError(
                f"network.encoders: channels = {list(channels)} must be multiples of {GROUP}, at "
                "least one; ResNet-18 has [64,128,256,512]."
            )
        self.stem = nn.Sequential(
            convolution(inputs, channels[0], 7, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks = [BasicBlock(channels[0], channels[0]), BasicBlock(channels[0], channels[0])]
        for before, after in pairwise(channels):
            blocks += [BasicBlock(before, after, 2), BasicBlock(after, after)]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """(B,C,H,W) in [-1,1] -> (B,channels,h,w)."""
        features: Tensor = self.blocks(self.stem(images))
        return features


class SpatialSoftmax(nn.Module):
    """Find the places of K learned features (Finn et al. 2016, Deep Spatial Autoencoders).

    Args:
        inputs: channels of the feature maps.
        keypoints: K, number of features.
    """

    def __init__(self, inputs: int, keypoints: int) -> None:
        super().__init__()
        self.maps = nn.Conv2d(inputs, keypoints, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,2K): x and y in [-1,1] of each keypoint, expected under its softmax."""
        maps: Tensor = self.maps(features)
        attention = maps.flatten(2).softmax(dim=-1).reshape(maps.shape)
        points = [_expected(attention.sum(dim=axis)) for axis in (2, 3)]
        return torch.stack(points, dim=-1).flatten(1)


def _expected(attention: Tensor) -> Tensor:
    """(B,K,n) probabilities of n places from -1 to 1 -> (B,K)."""
    places = torch.linspace(-1, 1, attention.shape[-1], device=attention.device)
    return (attention * places).sum(dim=-1)
