"""The optimiser's schedules, each a function of the step alone, and the average of the weights."""

import math

import torch
from torch import Tensor, nn

from ambient_policy.settings import TrainingSettings


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Linear warm-up, then a half cosine to 0 at ``settings.steps``."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def average_decay(step: int, settings: TrainingSettings) -> float:
    """Decay of the moving average: min(ema_max, 1 - (1 + step)^-ema_power), as diffusion_policy."""
    return float(min(settings.ema_max, 1 - (1 + step) ** -settings.ema_power))


@torch.no_grad()
def update_average(average: nn.Module, policy: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) weights."""
    averages: list[Tensor] = [p.data for p in average.parameters()]
    weights: list[Tensor] = [p.data for p in policy.parameters()]
    torch._foreach_lerp_(averages, weights, 1 - decay)


def adamw(policy: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over all weights."""
    return torch.optim.AdamW(
        policy.parameters(),
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )
