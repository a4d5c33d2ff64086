"""The optimiser: its schedules, which are functions of the step, and the update of the weights."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ambient_policy.settings import TrainingSettings


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Return the rate at a step: a linear warm-up, then a half cosine to 0 at ``steps``."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def average_decay(step: int, settings: TrainingSettings) -> float:
    """Return the moving average's decay min(ema_max, 1 - (1 + step)^-ema_power).

    This is the schedule of diffusion_policy.
    """
    return float(min(settings.ema_max, 1 - (1 + step) ** -settings.ema_power))


@torch.no_grad()
def update_average(average: nn.Module, policy: nn.Module, decay: float | Tensor) -> None:
    """Set average <- decay average + (1 - decay) weights; torch compiles a decay tensor ()."""
    averages: list[Tensor] = [p.data for p in average.parameters()]
    weights: list[Tensor] = [p.data for p in policy.parameters()]
    if not isinstance(decay, Tensor):
        torch._foreach_lerp_(averages, weights, 1 - decay)
        return
    for mean, weight in zip(averages, weights, strict=True):
        mean.lerp_(weight, 1 - decay)


def adamw(policy: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """Make AdamW (Loshchilov and Hutter 2019) over all weights.

    torch.compile cannot take torch's own fused AdamW, and it needs the rate as a tensor: a rate
    that is a number is part of the code, and every step would compile anew.
    """
    parameters = list(policy.parameters())
    device, fused = parameters[0].device, not settings.compile
    rate = settings.learning_rate
    return torch.optim.AdamW(
        parameters,
        lr=rate if fused else torch.tensor(rate, device=device),
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=fused,
        capturable=not fused and device.type == "cuda",
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def compile_mode(device: torch.device) -> str:
    """Return torch.compile's mode: on CUDA, CUDA graphs that launch as one."""
    return "reduce-overhead" if device.type == "cuda" else "default"


class Update:
    """Clip the gradient, step AdamW, update the average; in one piece if training.compile is set.

    Args:
        policy: the module with the weights.
        average: the module with their moving average.
        optimizer: the optimiser of the weights.
        settings: the training's settings.
    """

    def __init__(
        self,
        policy: nn.Module,
        average: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: TrainingSettings,
    ) -> None:
        self._policy, self._average = policy, average
        self._optimizer, self._settings = optimizer, settings
        self._apply: Callable[[float | Tensor], Tensor] = self._apply_eagerly
        self._decay: Tensor | None = None
        if settings.compile:
            device = next(policy.parameters()).device
            self._decay = torch.zeros((), device=device)
            self._apply = torch.compile(self._apply_eagerly, mode=compile_mode(device))

    def __call__(self, step: int) -> Tensor:
        """Change weights and average in place; return the gradient's norm () before clipping."""
        set_rate(self._optimizer, learning_rate(step, self._settings))
        decay = average_decay(step, self._settings)
        return self._apply(decay if self._decay is None else self._decay.fill_(decay))

    def _apply_eagerly(self, decay: float | Tensor) -> Tensor:
        clip = self._settings.gradient_clip
        norm = torch.nn.utils.clip_grad_norm_(self._policy.parameters(), clip)
        self._optimizer.step()
        update_average(self._average, self._policy, decay)
        return norm
