"""The conditional 1-D U-Net over action chunks (Chi et al. 2023, Diffusion Policy, appendix A).

Time is convolved, observations and noise level enter every residual block by FiLM. The defaults
are those of diffusion_policy's ``ConditionalUnet1D``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from ambient_policy.networks.sizes import Padding, check_network


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


@dataclass(frozen=True)
class Convolution:
    """How time is convolved: ``kernel`` [control steps], ``groups`` of the norm, ``padding``."""

    kernel: int
    groups: int
    padding: Padding

    def block(self, inputs: int, outputs: int) -> nn.Sequential:
        """Convolution over time, group normalisation, Mish: (B, inputs, T) -> (B, outputs, T)."""
        return nn.Sequential(
            nn.Conv1d(
                inputs,
                outputs,
                self.kernel,
                padding=self.kernel // 2,
                padding_mode=self.padding.value,
            ),
            nn.GroupNorm(self.groups, outputs),
            nn.Mish(),
        )


class Shrink(nn.Conv1d):
    """Half the time steps: (B,C,T) -> (B,C,T/2)."""

    def __init__(self, channels: int, padding: Padding) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1, padding_mode=padding.value)


class Grow(nn.ConvTranspose1d):
    """Twice the time steps: (B,C,T) -> (B,C,2T)."""

    def __init__(self, channels: int, padding: Padding) -> None:
        # a step more at either end goes in, and what it makes comes out cut off
        self.beyond = int(padding is Padding.replicate)
        super().__init__(channels, channels, 4, stride=2, padding=1 + 2 * self.beyond)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        ends = (self.beyond, self.beyond)
        padded = nn.functional.pad(x, ends, mode="replicate") if self.beyond else x
        return super().forward(padded, output_size)


class ResidualBlock(nn.Module):
    """Two convolution blocks with FiLM (scale and shift per channel) between them."""

    def __init__(self, inputs: int, outputs: int, condition: int, convolution: Convolution) -> None:
        super().__init__()
        self.first = convolution.block(inputs, outputs)
        self.film = nn.Linear(condition, 2 * outputs)
        self.second = convolution.block(outputs, outputs)
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
        padding: what convolutions see beyond the ends of a chunk.

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
        padding: Padding = Padding.zeros,
    ) -> None:
        super().__init__()
        check_network(widths, embedding, kernel, groups)
        total, convolution = condition + embedding, Convolution(kernel, groups, padding)

        def block(inputs: int, outputs: int) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, total, convolution)

        def pair(inputs: int, outputs: int) -> "Pair":
            return Pair(block(inputs, outputs), block(outputs, outputs))

        levels = list(zip([actions, *widths], widths, strict=False))
        self.embed = NoiseEmbedding(embedding)
        self.down = nn.ModuleList(pair(inputs, outputs) for inputs, outputs in levels)
        self.shrink = nn.ModuleList(Shrink(w, padding) for w in widths[:-1])
        self.middle = pair(widths[-1], widths[-1])
        self.up = nn.ModuleList(
            pair(2 * outputs, inputs) for inputs, outputs in reversed(levels[1:])
        )
        self.grow = nn.ModuleList(Grow(w, padding) for w in reversed(widths[:-1]))
        self.last = nn.Sequential(
            convolution.block(widths[0], widths[0]), nn.Conv1d(widths[0], actions, 1)
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
