"""What the network is asked for (eps, x0 or v), expressed as a preconditioning of one denoiser.

D(x_sigma; sigma) = c_skip x + c_out F(c_in x, c_noise)        Karras et al. 2022, eq. 7

With the VP image of the noised chunk, alpha = 1/sqrt(1 + sigma^2), s = sigma alpha, c_in = alpha:

==========  ===========================  ======  =========
prediction  F estimates                  c_skip  c_out
==========  ===========================  ======  =========
x0          x0                           0       1
eps         eps = (x - x0) / sigma       1       -sigma
v           v = alpha eps - s x0         alpha^2 -s
==========  ===========================  ======  =========

The mean squared error of F is then w ||D - x0||^2 with w = 1 / c_out^2.
"""

from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor


class Prediction(Enum):
    """What F estimates."""

    x0 = "x0"
    eps = "eps"
    v = "v"


class Coefficients(NamedTuple):
    """Each (B,1,1), for chunks (B,Tp,A)."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor


def coefficients(prediction: Prediction, sigma: Tensor) -> Coefficients:
    """The table above at sigma (B,)."""
    sigma = sigma[:, None, None]
    alpha = (1 + sigma**2).rsqrt()
    one = torch.ones_like(sigma)
    c_skip, c_out = {
        Prediction.x0: (0 * one, one),
        Prediction.eps: (one, -sigma),
        Prediction.v: (alpha**2, -sigma * alpha),
    }[prediction]
    return Coefficients(c_skip, c_out, alpha)


def c_noise(sigma: Tensor) -> Tensor:
    """100 (2/pi) arctan(sigma), in (0, 100): a step number for any schedule.

    With alpha_bar = cos^2(pi t / 2T), sigma = tan(pi t / 2T), so t = this for T = 100: one to two
    more than the step numbers of diffusion_policy's squaredcos schedule, which is offset a little.
    """
    return 100 * (2 / torch.pi) * torch.atan(sigma)
