"""From what was observed to the condition that enters every block of the denoiser."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class StateEncoder(nn.Module):
    """History of low-dimensional states, flattened, through a perceptron of given widths.

    Without widths the history itself is the condition, as in diffusion_policy; a few layers help
    where the plan is an intricate function of the position, as in a maze.

    Args:
        inputs: To O.
        widths: units of each layer; the last is C, the width of the condition.
    """

    def __init__(self, inputs: int, widths: Sequence[int] = ()) -> None:
        super().__init__()
        self.width = [inputs, *widths][-1]
        layers: list[nn.Module] = []
        for before, after in pairwise([inputs, *widths]):
            layers += [nn.Linear(before, after), nn.Mish()]
        self.layers = nn.Sequential(*layers)

    def forward(self, observations: Tensor) -> Tensor:
        """(B,To,O) normalised -> (B,C)."""
        condition: Tensor = self.layers(observations.flatten(1))
        return condition
