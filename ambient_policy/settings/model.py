"""What is trained and sampled: noise levels, network, solver."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from ambient_policy.actions import Representation
from ambient_policy.batch import INSTRUCTION, STATE
from ambient_policy.diffusion.grid import Spacing, solver_grid
from ambient_policy.diffusion.law import ContinuousLaw, Law, LawKind, UniformOverLevels
from ambient_policy.diffusion.noise import Schedule, Sigma, ddpm_levels
from ambient_policy.diffusion.precondition import Prediction
from ambient_policy.diffusion.solve import Call, Solver, solver_calls
from ambient_policy.errors import unknown
from ambient_policy.networks.sizes import check_network
from ambient_policy.settings.checks import Word, require, word, words_to_enums

MAX_LEVELS = 100_000  # of the schedule; real ones have 50 to 1000
MAX_STAGES = 16  # layers or stages of an encoder; real ones have up to 4


@dataclass
class ActionSettings:
    """How a chunk of actions is written down for the network; the policy turns it back."""

    representation: Word[Representation] = word(Representation.absolute)
    # for relative and delta: observations that actions are counted from, one per action dimension
    # and in its unit, e.g. where the robot is now
    origin: list[str] = field(default_factory=list)


class Language(Enum):
    """How instructions reach the network."""

    none = "none"  # not at all
    one_hot = "one_hot"  # by their number among the texts of the sources that teach
    embedding = "embedding"  # by the vectors of a table; texts nobody demonstrated may be said too

    def __post_init__(self) -> None:
        words_to_enums(self)


@dataclass
class LanguageSettings:
    """Whether the policy is told what to do; what rollouts say is task.instruction."""

    kind: Word[Language] = word(Language.none)
    # for kind = embedding: a safetensors file with one vector under each text
    table: str | None = None

    def __post_init__(self) -> None:
        words_to_enums(self)
        require(
            (self.kind is Language.embedding) == (self.table is not None),
            f"language.table = {self.table} with language.kind = {self.kind.value}: embedding "
            "needs the safetensors file that holds a vector under each text, the other kinds none.",
        )


@dataclass
class NoiseSettings:
    """Which noise levels are trained, and what the network is asked for."""

    # how sigma is drawn
    law: Word[LawKind] = word(LawKind.discrete)
    # the schedule: the levels of law = discrete, and what {step: 3} counts in a threshold
    schedule: Word[Schedule] = word(Schedule.squaredcos)
    # number of levels K
    levels: int = 100
    # of the other laws: ln sigma has this location and scale, from sigma_lo to sigma_hi
    location: float = -1.2
    scale: float = 1.2
    sigma_lo: float = 0.002
    sigma_hi: float = 80.0
    prediction: Word[Prediction] = word(Prediction.x0)
    # deviation of normalised chunks, for prediction = edm
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        words_to_enums(self)
        require(
            1 <= self.levels <= MAX_LEVELS,
            f"noise.levels = {self.levels} must be from 1 to {MAX_LEVELS}.",
        )
        require(self.sigma_data > 0, f"noise.sigma_data = {self.sigma_data} must be positive.")
        self.training_law()  # refuses what makes none

    def schedule_levels(self) -> Sigma:
        """(K,) sigma of the schedule's steps, rising."""
        return ddpm_levels(self.schedule, self.levels)

    def training_law(self) -> Law:
        """The law of sigma."""
        if self.law is LawKind.discrete:
            return UniformOverLevels(self.schedule_levels())
        return ContinuousLaw(self.law, self.location, self.scale, self.sigma_lo, self.sigma_hi)


@dataclass
class EncoderSettings:
    """From one part of the history to its share of the condition."""

    # units of the last layers, over the history; none = its features (of the state: itself)
    layers: list[int] = field(default_factory=list)
    # of the state only: sines and cosines of so many octaves of each observation stand beside it,
    # so that few layers learn a sharp function of a position; 0 = none
    octaves: int = 0
    # of cameras only: height and width of the crop [px], random in training, else central;
    # none = the whole frame
    crop: list[int] = field(default_factory=list)
    # of cameras only: channels of the ResNet's stages; this is ResNet-18
    channels: list[int] = field(default_factory=lambda: [64, 128, 256, 512])
    # of cameras only: points that the spatial softmax looks for
    keypoints: int = 32

    def check(self, name: str, image: bool) -> None:
        """Refuse, for the part of that name, what makes no encoder.

        Raises:
            SettingsError: naming the setting and what fits.
        """
        require(
            len(self.layers) <= MAX_STAGES and all(width >= 1 for width in self.layers),
            f"{name}.layers = {list(self.layers)[:20]}: at most {MAX_STAGES} layers, each of at "
            "least 1 unit.",
        )
        require(
            1 <= len(self.channels) <= MAX_STAGES and all(width >= 1 for width in self.channels),
            f"{name}.channels = {list(self.channels)[:20]}: give 1 to {MAX_STAGES} stages, each of "
            "at least 1 channel.",
        )
        require(
            0 <= self.octaves <= MAX_STAGES,
            f"{name}.octaves = {self.octaves} must be from 0 to {MAX_STAGES}.",
        )
        require(
            self.octaves == 0 or name.endswith(f".{STATE}"),
            f"{name}.octaves = {self.octaves}: octaves are of the state only; leave them out.",
        )
        require(
            image or EncoderSettings(self.layers, self.octaves) == self,
            f"{name}: crop, channels and keypoints are of cameras, and this part is no picture; "
            "give it layers only.",
        )
        require(
            len(self.crop) in (0, 2) and all(side >= 1 for side in self.crop),
            f"{name}.crop = {list(self.crop)}: give height and width [px], or [] for no crop.",
        )
        require(self.keypoints >= 1, f"{name}.keypoints = {self.keypoints} must be at least 1.")


@dataclass
class NetworkSettings:
    """The conditional 1-D U-Net; the defaults are diffusion_policy's."""

    # between observations and condition, by the name of the part: state, or a camera; a part that
    # is not named has the defaults
    encoders: dict[str, EncoderSettings] = field(default_factory=dict)
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

    def check_encoders(self, cameras: Sequence[str], follows: bool = False) -> None:
        """Refuse encoders of parts that the policy does not observe.

        Args:
            cameras: it looks through.
            follows: whether it is given instructions.

        Raises:
            SettingsError: naming the part, and those there are.
        """
        numbers = (STATE, INSTRUCTION) if follows else (STATE,)
        for name, encoder in self.encoders.items():
            if name not in (*numbers, *cameras):
                kind = "part in network.encoders (beside the state: what cameras=[...] names)"
                raise unknown(kind, name, (*numbers, *cameras))
            encoder.check(f"network.encoders.{name}", image=name not in numbers)


@dataclass
class SolverSettings:
    """How chunks are sampled; changeable after training."""

    kind: Word[Solver] = word(Solver.ddim)
    # levels from which it steps: network calls per chunk, of heun 2 steps - 1
    steps: int = 10
    # where they lie; the first three are for noise.law = discrete
    spacing: Word[Spacing] = word(Spacing.leading)

    def __post_init__(self) -> None:
        words_to_enums(self)

    def calls(self, noise: NoiseSettings) -> list[Call]:
        """Every network call with its level, falling, and what follows it."""
        return solver_calls(self.kind, solver_grid(self.spacing, self.steps, noise.training_law()))
