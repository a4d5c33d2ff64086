"""How it is trained: loss, optimiser, where the numbers go."""

from dataclasses import dataclass
from enum import Enum

from ambient_policy.settings.checks import require


class WandbMode(Enum):
    """Whether wandb hears what the JSON lines say."""

    disabled = "disabled"
    offline = "offline"
    online = "online"


@dataclass
class LossSettings:
    """Ordinary denoising loss (the paper's reported choice) or ambient loss."""

    # false: targets are x0; true: targets above sigma_min are x_trust, made with kept noise
    ambient: bool = False
    # bound on the ambient loss's amplification 1/(1 - r); > 1
    s_max: float = 4.0
    # gamma of the min-SNR weight min(1/sigma^2, gamma); null = plain error of the network's output
    min_snr: float | None = None
    # whether steps after an episode's end are left out of the loss; false teaches to hold still
    mask_padding: bool = False

    def __post_init__(self) -> None:
        require(
            self.min_snr is None or self.min_snr > 0,
            f"loss.min_snr = {self.min_snr} must be positive (5 is usual), or null.",
        )


@dataclass
class TrainingSettings:
    """The optimiser and the length of the run; the defaults are diffusion_policy's."""

    # optimiser steps; evaluation takes the checkpoint of the last one, declared here in advance
    steps: int = 10000
    # windows per step
    batch: int = 256
    learning_rate: float = 1e-4
    # AdamW's
    beta1: float = 0.95
    beta2: float = 0.999
    weight_decay: float = 1e-6
    # steps of linear warm-up before the cosine
    warmup: int = 500
    # largest norm of the gradient
    gradient_clip: float = 1.0
    # decay of the average at step n: min(ema_max, 1 - (1 + n)^-ema_power)
    ema_power: float = 0.75
    ema_max: float = 0.9999
    # a checkpoint every so many steps, beside the last one
    checkpoint_every: int = 1000
    # a log line every so many steps
    log_every: int = 50
    # torch's threads; results are bit-for-bit repeatable for an equal number
    threads: int = 1
    # where to train: cpu, cuda, cuda:1 ...
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "checkpoint_every", "log_every", "threads"):
            value = getattr(self, name)
            require(value >= 1, f"training.{name} = {value} must be at least 1.")
        for name in ("beta1", "beta2", "ema_max"):
            value = getattr(self, name)
            require(0 <= value < 1, f"training.{name} = {value} must be from 0 to below 1.")
        for name in ("learning_rate", "gradient_clip"):
            value = getattr(self, name)
            require(value > 0, f"training.{name} = {value} must be positive.")
        require(
            self.checkpoint_every % self.log_every == 0,
            f"training.checkpoint_every = {self.checkpoint_every} must be a multiple of "
            f"training.log_every = {self.log_every}: a resumed run's log then equals a whole one.",
        )
        require(self.warmup >= 0, f"training.warmup = {self.warmup} must not be negative.")


@dataclass
class TrackingSettings:
    """Where the numbers go besides the JSON lines."""

    wandb: WandbMode = WandbMode.disabled
    # wandb's project
    project: str = "ambient-policy"
