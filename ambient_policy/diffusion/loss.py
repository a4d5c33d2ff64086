"""The denoising loss and the ambient loss, which are one formula.

E[x_trust | x_sigma] = (1 - r) E[x0 | x_sigma] + r x_sigma,   r = sigma_trust^2 / sigma^2
(Daras et al. 2024, Consistent Diffusion Meets Tweedie, theorem 4.1, in VE letters), so

    L = w ||D - (x_trust - r x_sigma) / (1 - r)||^2.

At sigma_trust = 0 it is the ordinary loss w ||D - x0||^2: a value, not a branch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ambient_policy.diffusion.precondition import Prediction, coefficients


class NoisyChunks(NamedTuple):
    """B chunks at two levels of noise, normalised.

    Attributes:
        x_trust: (B,Tp,A), the chunk at its level of trust.
        x_sigma: (B,Tp,A), the chunk at its noise level, as the denoiser sees it.
        sigma: (B,), the noise level.
        sigma_trust: (B,), the level of trust, 0 <= sigma_trust < sigma.
    """

    x_trust: Tensor
    x_sigma: Tensor
    sigma: Tensor
    sigma_trust: Tensor


def ambient_target(noisy: NoisyChunks) -> Tensor:
    """Return what D should equal in the mean: (x_trust - r x_sigma) / (1 - r), (B,Tp,A)."""
    x_trust, x_sigma, sigma, sigma_trust = noisy
    r = ((sigma_trust / sigma) ** 2)[:, None, None]
    return (x_trust - r * x_sigma) / (1 - r)


def error_weight(
    prediction: Prediction, sigma: Tensor, sigma_data: float, min_snr: float | None
) -> Tensor:
    """Return the weight w of the squared error of D, (B,1,1).

    It is 1 / c_out^2, the plain error of what the network estimates; or min(1/sigma^2, gamma), the
    min-SNR weight (Hang et al. 2023, eq. 5), under which levels whose noise hides the chunk count
    less: most of their error cannot be learned.
    """
    if min_snr is None:
        return coefficients(prediction, sigma, sigma_data).c_out ** -2
    return torch.clamp(sigma**-2, max=min_snr)[:, None, None]


def denoising_loss(
    x0_hat: Tensor,
    noisy: NoisyChunks,
    weight: Tensor,
    mask: Tensor,
    count: Tensor | None = None,
    present: Tensor | None = None,
) -> Tensor:
    """Return the mean weighted squared error over the chunk steps that count; a scalar.

    Args:
        x0_hat: (B,Tp,A), the denoiser's answer D.
        noisy: the chunks that the denoiser saw, from ``corrupt``.
        weight: (B,1,1), from ``error_weight``.
        mask: (B,Tp) bool, false where a step does not count.
        count: number of steps to divide by; None is the number that count here. For a part of a
            batch it is the number in the whole batch: the losses of the parts then add up to the
            batch's loss.
        present: (B,1,A), 1 for the dimensions that a row has and 0 for those it lacks; the error
            of a step is the mean over its row's dimensions. None means that all rows have all.
    """
    target = ambient_target(noisy)
    square = weight * (x0_hat - target) ** 2
    if present is None:
        error = square.mean(dim=-1)
    else:
        error = (square * present).sum(dim=-1) / present.sum(dim=-1)
    return torch.where(mask, error, 0).sum() / (mask.sum() if count is None else count)
