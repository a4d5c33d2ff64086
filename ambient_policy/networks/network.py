"""The signature of a denoising network: a policy takes any network with this signature."""

from typing import Protocol

from torch import Tensor


class Network(Protocol):
    """F of step 6 of the walk; the shape of x is the shape of the answer."""

    def __call__(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
        """(B,Tp,A), (B,), (B,C) -> (B,Tp,A)."""
        ...
