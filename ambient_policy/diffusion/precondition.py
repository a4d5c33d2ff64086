"""The quantity that the network estimates, as a preconditioning of one denoiser.

D(x_sigma; sigma) = c_skip x + c_out F(c_in x, c_noise)        Karras et al. 2022, eq. 7

With alpha = 1/sqrt(1 + sigma^2), so that alpha x is the VP image of the noised chunk; tau =
sigma / (1 + sigma), so that x / (1 + sigma) is its flow image; and beta^2 = sigma^2 + sigma_data^2:

==========  ==========================  ====================  ======================  ===========
prediction  F estimates                 c_skip                c_out                   c_in
==========  ==========================  ====================  ======================  ===========
x0          x0                          0                     1                       alpha
eps         eps = (x - x0) / sigma      1                     -sigma                  alpha
v           alpha eps - sigma alpha x0  alpha^2               -sigma alpha            alpha
edm         (x0 - c_skip x) / c_out     sigma_data^2/beta^2   sigma sigma_data/beta   1/beta
flow        u = eps - x0                1/(1 + sigma)         -tau                    1/(1 + sigma)
==========  ==========================  ====================  ======================  ===========

The mean squared error of F is then w ||D - x0||^2 with w = 1 / c_out^2.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Prediction(Enum):
    """The quantity that the network estimates."""

    x0 = "x0"  # the clean chunk
    eps = "eps"  # the noise
    v = "v"  # Salimans and Ho's velocity
    edm = "edm"  # Karras' scaled residual
    flow = "flow"  # the velocity of rectified flow


class Coefficients(NamedTuple):
    """Each (B,1,1), for chunks (B,Tp,A)."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor


def coefficients(prediction: Prediction, sigma: Tensor, sigma_data: float) -> Coefficients:
    """Return the table's row at sigma (B,); only edm uses sigma_data, the deviation of the data."""
    sigma = sigma[:, None, None]
    if prediction is Prediction.flow:
        c_in = 1 / (1 + sigma)
        return Coefficients(c_in, -sigma * c_in, c_in)
    if prediction is Prediction.edm:
        c_in = (sigma**2 + sigma_data**2).rsqrt()
        return Coefficients((sigma_data * c_in) ** 2, sigma * sigma_data * c_in, c_in)
    alpha, one = (1 + sigma**2).rsqrt(), sigma.new_ones(sigma.shape)
    if prediction is Prediction.x0:
        return Coefficients(0 * one, one, alpha)
    if prediction is Prediction.eps:
        return Coefficients(one, -sigma, alpha)
    return Coefficients(alpha**2, -sigma * alpha, alpha)


def c_noise(sigma: Tensor) -> Tensor:
    """100 (2/pi) arctan(sigma), in (0, 100): a step number for any schedule.

    With alpha_bar = cos^2(pi t / 2T), sigma = tan(pi t / 2T), so t = this for T = 100: one to two
    more than the step numbers of diffusion_policy's squaredcos schedule, which is offset a little.
    """
    return 100 * (2 / math.pi) * sigma.atan()
