"""The conditional 1-D U-Net over action chunks (Chi et al. 2023, Diffusion Policy, appendix A).

Time is convolved, observations and noise level enter every residual block by FiLM. The defaults
are those of diffusion_policy's ``ConditionalUnet1D``.
"""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from ambient_policy.networks.sizes import check_network


class NoiseEmbedding(nn.Module):
    """Sinusoids of c_noise, then two linear layers: (B,) -> (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        frequencies = torch.exp(torch.arange(width // 2) * (-math.log(10000.0) / (width // 2 - 1)))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.Mish(), nn.Linear(4 * width, width)
        )

    def forward(self, c_noise: Tensor) -> Tensor:
        angles = c_noise[:, None] * self.get_buffer("frequencies")
        embedded: Tensor = self.mlp(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return embedded


def conv_block(inputs: int, outputs: int, kernel: int, groups: int) -> nn.Sequential:
    """Convolution over time, group normalisation, Mish: (B, inputs, T) -> (B, outputs, T)."""
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2),
        nn.GroupNorm(groups, outputs),
        nn.Mish(),
    )


class ResidualBlock(nn.Module):
    """Two convolution blocks with FiLM (scale and shift per channel) between them."""

    def __init__(self, inputs: int, outputs: int, condition: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.first = conv_block(inputs, outputs, kernel, groups)
        self.film = nn.Linear(condition, 2 * outputs)
        self.second = conv_block(outputs, outputs, kernel, groups)
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[..., None].chunk(2, dim=1)
        hidden = self.second(scale * self.first(x) + shift)
        output: Tensor = hidden + self.shortcut(x)
        return output


class Pair(nn.Module):
    """The two residual blocks of one level."""

    def __init__(self, first: ResidualBlock, second: ResidualBlock) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        output: Tensor = self.second(self.first(x, condition), condition)
        return output


class UNet1d(nn.Module):
    """F(x, c_noise, condition) of step 6 of the walk; the shape of x is the shape of the answer.

    Args:
        actions: A, dimensions of one action.
        condition: C, dimensions of the encoded observation history.
        widths: channels per level; time is halved between levels.
        embedding: width of the noise-level embedding.
        kernel: odd length of the convolutions [control steps].
        groups: groups of the group normalisation; divides every width.

    Raises:
        SettingsError: for sizes that make no U-Net.
    """

    def __init__(
        self,
        actions: int,
        condition: int,
        widths: Sequence[int] = (256, 512, 1024),
        embedding: int = 256,
        kernel: int = 5,
        groups: int = 8,
    ) -> None:
        super().__init__()
        check_network(widths, embedding, kernel, groups)
        total = condition + embedding

        def block(inputs: int, outputs: int) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, total, kernel, groups)

        def pair(inputs: int, outputs: int) -> "Pair":
            return Pair(block(inputs, outputs), block(outputs, outputs))

        levels = list(zip([actions, *widths], widths, strict=False))
        self.embed = NoiseEmbedding(embedding)
        self.down = nn.ModuleList(pair(inputs, outputs) for inputs, outputs in levels)
        self.shrink = nn.ModuleList(nn.Conv1d(w, w, 3, stride=2, padding=1) for w in widths[:-1])
        self.middle = pair(widths[-1], widths[-1])
        self.up = nn.ModuleList(
            pair(2 * outputs, inputs) for inputs, outputs in reversed(levels[1:])
        )
        self.grow = nn.ModuleList(
            nn.ConvTranspose1d(w, w, 4, stride=2, padding=1) for w in reversed(widths[:-1])
        )
        self.last = nn.Sequential(
            conv_block(widths[0], widths[0], kernel, groups), nn.Conv1d(widths[0], actions, 1)
        )

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
        """(B,Tp,A), (B,), (B,C) -> (B,Tp,A)."""
        # Mish here and not in every block: all blocks share its answer.
        condition = nn.functional.mish(torch.cat([self.embed(c_noise), condition], dim=-1))
        x = rearrange(x, "b t a -> b a t")
        skips = []
        for level, pair in enumerate(self.down):
            x = pair(x, condition)
            skips.append(x)
            x = self.shrink[level](x) if level < len(self.shrink) else x
        x = self.middle(x, condition)
        for pair, grow in zip(self.up, self.grow, strict=True):
            x = grow(pair(torch.cat([x, skips.pop()], dim=1), condition))
        output: Tensor = rearrange(self.last(x), "b a t -> b t a")
        return output
