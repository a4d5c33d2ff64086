"""How it is trained: loss, optimiser, engine, validation, where the numbers go."""

from dataclasses import dataclass, field
from enum import Enum

from ambient_policy.settings.checks import Word, require, word, words_to_enums


class WandbMode(Enum):
    """Whether wandb hears what the JSON lines say."""

    disabled = "disabled"  # no
    offline = "offline"  # into files, for wandb sync
    online = "online"  # at once


class Precision(Enum):
    """Of the network's arithmetic in training; weights, average and moments are float32 always."""

    float32 = "float32"
    bfloat16 = "bfloat16"  # by autocast, around the loss


class Declared(Enum):
    """The checkpoint that evaluation takes unless told otherwise, chosen before training."""

    last = "last"  # of the last step
    best = "best"  # of the lowest loss on held-out episodes


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
class ValidationSettings:
    """The averaged weights on episodes that no step teaches (sources.<name>.val_ratio)."""

    # every so many steps, and at the last; null = never
    every: int | None = None
    # held-out windows, always the same, their noise levels spread evenly over the training law
    windows: int = 256
    # sigma [normalised action] between the bands whose loss is told apart, rising
    bands: list[float] = field(default_factory=lambda: [0.1, 0.3, 1.0])

    def __post_init__(self) -> None:
        require(
            self.every is None or self.every >= 1,
            f"training.validation.every = {self.every} must be at least 1, or null for never.",
        )
        require(
            self.windows >= 1,
            f"training.validation.windows = {self.windows} must be at least 1.",
        )
        edges = [0.0, *self.bands]
        require(
            all(low < high for low, high in zip(edges, self.bands, strict=False)),
            f"training.validation.bands = {list(self.bands)} must rise and be positive, "
            "e.g. [0.1,0.3,1.0].",
        )


@dataclass
class TrainingSettings:
    """The optimiser and the length of the run; the defaults are diffusion_policy's."""

    # optimiser steps
    steps: int = 10000
    # windows per step, over all processes
    batch: int = 256
    # parts in which each process works its share of the batch off, one after the other: less
    # memory, the same gradient
    accumulate: int = 1
    # of AdamW, at the end of the warm-up; and its other numbers
    learning_rate: float = 1e-4
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
    # how many of the latest checkpoints stay (the best one stays too); null = all
    keep_last: int | None = 3
    # which checkpoint evaluation takes by default
    declared: Word[Declared] = word(Declared.last)
    # a log line every so many steps
    log_every: int = 50
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    # torch's threads; results are bit-for-bit repeatable for an equal number
    threads: int = 1
    # where to train: cpu, cuda, cuda:1 ...; under torchrun cuda, and each process takes its own
    device: str = "cpu"
    precision: Word[Precision] = word(Precision.float32)
    # whether torch.compile makes loss, gradient and update; on CUDA they become CUDA graphs
    compile: bool = False

    def __post_init__(self) -> None:
        words_to_enums(self)
        counts = ("steps", "batch", "accumulate", "checkpoint_every", "log_every", "threads")
        for name in counts:
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
        require(
            self.keep_last is None or self.keep_last >= 1,
            f"training.keep_last = {self.keep_last} must be at least 1, or null to keep all.",
        )
        self._check_validation()

    def _check_validation(self) -> None:
        every = self.validation.every
        require(
            every is not None or self.declared is Declared.last,
            "training.declared = best needs training.validation.every: the best checkpoint is that "
            "of the lowest held-out loss. Set it, or declared=last.",
        )
        require(
            every is None or every % self.log_every == 0,
            f"training.validation.every = {every} must be a multiple of training.log_every = "
            f"{self.log_every}: its numbers stand in that line.",
        )
        require(
            every is None or self.checkpoint_every % every == 0,
            f"training.validation.every = {every} must divide training.checkpoint_every = "
            f"{self.checkpoint_every}: every checkpoint then has its held-out loss.",
        )


@dataclass
class TrackingSettings:
    """Where the numbers go besides the JSON lines."""

    wandb: Word[WandbMode] = word(WandbMode.disabled)
    # wandb's project
    project: str = "ambient-policy"

    def __post_init__(self) -> None:
        words_to_enums(self)
