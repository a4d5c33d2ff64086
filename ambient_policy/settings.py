"""One run as one value: every choice with a comment over it, and checks across fields.

``configs/`` fills these dataclasses; ``__post_init__`` refuses what cannot work before any work.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ambient_policy.diffusion.noise import Schedule
from ambient_policy.diffusion.precondition import Prediction
from ambient_policy.diffusion.solve import Solver
from ambient_policy.errors import SettingsError
from ambient_policy.horizons import Horizons
from ambient_policy.networks.unet1d import check_horizon, check_network


class Trust(Enum):
    """What a source of demonstrations is taken for."""

    annotated = "annotated"  # per-episode sigma_min and sigma_max, as the store has them
    trusted = "trusted"  # (0, inf): teaches every noise level
    rejected = "rejected"  # (inf, 0): teaches none
    bounds = "bounds"  # one sigma_min and one sigma_max for all its episodes


class NormalizerKind(Enum):
    """Where the affine maps to normalised units come from."""

    bounds = "bounds"  # the given low and high -> [-1, 1]; the same for any data
    range = "range"  # the smallest and largest value of all sources' stores -> [-1, 1]
    moments = "moments"  # mean 0 and standard deviation 1 over all sources' stores


class WandbMode(Enum):
    """Whether wandb hears what the JSON lines say."""

    disabled = "disabled"
    offline = "offline"
    online = "online"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


@dataclass
class BoundsSettings:
    """Smallest and largest value of each dimension, in its own unit."""

    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)


@dataclass
class NormalizerSettings:
    """The unit of sigma depends on this: thresholds are bound to the result's fingerprint."""

    kind: NormalizerKind = NormalizerKind.range
    # used by kind = bounds only
    observations: BoundsSettings = field(default_factory=BoundsSettings)
    actions: BoundsSettings = field(default_factory=BoundsSettings)


@dataclass
class TaskSettings:
    """The world a policy is made for."""

    # a registered gymnasium id
    id: str = "ambient_envs/Maze-v0"
    # keyword arguments of the environment
    kwargs: dict[str, Any] = field(default_factory=dict)
    # names of the two observation dimensions that are the executed path
    path: list[str] = field(default_factory=list)
    # unit of those two, for titles
    path_unit: str = "m"
    # control steps after which an episode is over at the latest
    max_steps: int = 300

    def __post_init__(self) -> None:
        _require(self.max_steps >= 1, f"task.max_steps = {self.max_steps} must be at least 1.")


@dataclass
class SourceSettings:
    """One store of the mixture."""

    # folder (or .zarr.zip of diffusion_policy) with the episodes
    path: str = ""
    # what it is; null is allowed only for annotated stores and then means annotated
    trust: Trust | None = None
    # for trust = bounds, and only then [normalised action]
    sigma_min: float | None = None
    sigma_max: float | None = None
    # share of the mixture; null for all sources = as many as they have windows
    weight: float | None = None
    # use only the first so many episodes; null = all
    max_episodes: int | None = None
    # of diffusion_policy's stores: keys that make up the observation, and the action's
    observation_keys: list[str] = field(default_factory=lambda: ["state"])
    action_key: str = "action"
    # for stores that carry no attributes of their own (diffusion_policy): names, units, rate
    attributes: dict[str, Any] | None = None


@dataclass
class TunedSettings:
    """Numbers that arms refer to; tune them on other starts than those reported."""

    # suboptimal episodes teach sigma > sigma_min [normalised action]
    sigma_min: float = 0.0
    # and, with locality, sigma < sigma_max
    sigma_max: float = 0.0
    # reweighted cotraining: weight of the trusted source against 1 for the suboptimal
    trusted_weight: float = 1.0


@dataclass
class NoiseSettings:
    """Which noise levels are trained, and what the network is asked for."""

    schedule: Schedule = Schedule.squaredcos
    # number of levels K
    levels: int = 100
    prediction: Prediction = Prediction.x0

    def __post_init__(self) -> None:
        _require(self.levels >= 1, f"noise.levels = {self.levels} must be at least 1.")


@dataclass
class NetworkSettings:
    """The conditional 1-D U-Net; the defaults are diffusion_policy's."""

    # layers between observation history and condition; none = the history is the condition
    encoder: list[int] = field(default_factory=list)
    # channels per level
    widths: list[int] = field(default_factory=lambda: [256, 512, 1024])
    # width of the noise-level embedding
    embedding: int = 256
    # length of the convolutions [control steps], odd
    kernel: int = 5
    # groups of the group normalisation
    groups: int = 8

    def __post_init__(self) -> None:
        check_network(self.widths, self.embedding, self.kernel, self.groups)
        _require(
            all(width >= 1 for width in self.encoder),
            f"network.encoder = {list(self.encoder)}: every layer needs at least 1 unit.",
        )


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
        _require(
            self.min_snr is None or self.min_snr > 0,
            f"loss.min_snr = {self.min_snr} must be positive (5 is usual), or null.",
        )


@dataclass
class SolverSettings:
    """How chunks are sampled; changeable after training."""

    kind: Solver = Solver.ddim
    # network calls per chunk, on "leading" spacing
    steps: int = 10


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
            _require(value >= 1, f"training.{name} = {value} must be at least 1.")
        for name in ("beta1", "beta2", "ema_max"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"training.{name} = {value} must be from 0 to below 1.")
        for name in ("learning_rate", "gradient_clip"):
            value = getattr(self, name)
            _require(value > 0, f"training.{name} = {value} must be positive.")
        _require(
            self.checkpoint_every % self.log_every == 0,
            f"training.checkpoint_every = {self.checkpoint_every} must be a multiple of "
            f"training.log_every = {self.log_every}: a resumed run's log then equals a whole one.",
        )
        _require(self.warmup >= 0, f"training.warmup = {self.warmup} must not be negative.")


@dataclass
class TrackingSettings:
    """Where the numbers go besides the JSON lines."""

    wandb: WandbMode = WandbMode.disabled
    # wandb's project
    project: str = "ambient-policy"


@dataclass
class RunSettings:
    """Everything that decides a trained policy."""

    # what is studied, and which arm of it this is
    experiment: str = ""
    label: str = ""
    # training seed: weights, draws and noise are functions of it
    seed: int = 0
    # folder that holds the runs of the experiment, this one in label/seed-N
    root: str = "runs"
    # folder of a finished run whose averaged weights are the start; null = random weights
    start_from: str | None = None
    task: TaskSettings = field(default_factory=TaskSettings)
    tuned: TunedSettings = field(default_factory=TunedSettings)
    sources: dict[str, SourceSettings] = field(default_factory=dict)
    normalizer: NormalizerSettings = field(default_factory=NormalizerSettings)
    horizons: Horizons = field(default_factory=Horizons)
    # observation dimensions from which actions are counted, one per action dimension and in its
    # unit (e.g. where the robot is now); none = actions as they are
    relative_to: list[str] = field(default_factory=list)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    solver: SolverSettings = field(default_factory=SolverSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    def __post_init__(self) -> None:
        check_horizon(self.horizons.pred, self.network.widths)
        _require(self.seed >= 0, f"seed = {self.seed} must not be negative.")
        _require(
            self.solver.steps <= self.noise.levels,
            f"solver.steps = {self.solver.steps} exceeds noise.levels = {self.noise.levels}.",
        )
        _require(self.solver.steps >= 1, f"solver.steps = {self.solver.steps} must be at least 1.")
        _require(bool(self.root), "root is empty; name the folder of the runs, e.g. root=runs.")

    @property
    def folder(self) -> str:
        """Where this run lives."""
        return f"{self.root}/{self.label}/seed-{self.seed}"


_ADAPTER: TypeAdapter[RunSettings] = TypeAdapter(RunSettings)


def to_json(settings: RunSettings) -> dict[str, Any]:
    """Plain JSON values (infinities as Python's json writes them)."""
    record: dict[str, Any] = _ADAPTER.dump_python(settings, mode="json")
    return record


def from_json(record: dict[str, Any]) -> RunSettings:
    """The inverse of ``to_json``; a key that is missing has its default.

    Raises:
        SettingsError: naming the first key that is unknown or of a wrong type.
    """
    try:
        settings = _ADAPTER.validate_python(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"settings key '{place}': {first['msg']} (given: {first['input']!r}). "
            "These settings were written by another version; train anew or mend the file."
        ) from error
    strange = sorted(_paths(record) - _paths(to_json(settings)))
    if strange:
        raise SettingsError(
            f"settings key '{strange[0]}' is unknown to this version; known beside it: "
            f"{', '.join(sorted(_paths(to_json(settings))))}."
        )
    return settings


def _paths(record: Any, prefix: str = "") -> set[str]:
    """The dotted names of all values."""
    if not isinstance(record, dict) or (prefix and not record):
        return {prefix}
    return {path for key in record for path in _paths(record[key], f"{prefix}.{key}".lstrip("."))}
