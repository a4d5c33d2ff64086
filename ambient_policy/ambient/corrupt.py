"""Corruption in two steps: to the level of trust with kept noise, then on with fresh noise.

    x_trust = x0 + sigma_trust * kept_noise
    x_sigma = x_trust + sqrt(sigma^2 - sigma_trust^2) * eps

Kept noise belongs to (episode, time step, or step beyond the end) and never changes: a noise fixed
per window would show one action under Tp independent noises, from which x0 leaks.
"""

from torch import Tensor

from ambient_policy.diffusion.loss import NoisyChunks


def corrupt(
    x0: Tensor, kept_noise: Tensor, eps: Tensor, sigma: Tensor, sigma_trust: Tensor
) -> NoisyChunks:
    """Noise chunks to their levels of trust, and on to their noise levels.

    Args:
        x0, kept_noise, eps: (B,Tp,A), normalised; the last two standard normal.
        sigma, sigma_trust: (B,), 0 <= sigma_trust <= sigma.
    """
    fresh = (sigma**2 - sigma_trust**2).sqrt()
    x_trust = x0 + sigma_trust[:, None, None] * kept_noise
    return NoisyChunks(x_trust, x_trust + fresh[:, None, None] * eps, sigma, sigma_trust)
