"""What is learned from: the world, its demonstrations, who teaches what, the unit of sigma."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any

from pydantic import PlainSerializer

from ambient_policy.diffusion.noise import resolve_sigma
from ambient_policy.errors import listed
from ambient_policy.horizons import Horizons
from ambient_policy.settings.checks import Word, require, word, words_to_enums
from ambient_policy.settings.mixture import add_mixture
from ambient_policy.settings.model import ActionSettings, LanguageSettings, NoiseSettings

# sigma [normalised action], or a mapping of one coordinate to it: {vp: 0.074}, {flow: 0.07},
# {log_snr: 5.2}, {step: 3} of the schedule. Checked settings hold sigma.
Threshold = Annotated[Any, PlainSerializer(lambda sigma: sigma, return_type=float | None)]


class Trust(Enum):
    """The role of a source of demonstrations; the arm says what each role teaches."""

    trusted = "trusted"  # good demonstrations of the task
    suboptimal = "suboptimal"  # plentiful ones with a flaw
    rejected = "rejected"  # teaches nothing, whatever the arm


class Teaches(Enum):
    """The noise levels that the episodes of a role teach."""

    everything = "everything"  # every level
    nothing = "nothing"  # no level
    above = "above"  # sigma > sigma_min
    above_or_below = "above_or_below"  # sigma > sigma_min or sigma < sigma_max
    below = "below"  # sigma < the lowest sigma_min of the suboptimal episodes


class Tables(Enum):
    """Where the low-dimensional numbers of the stores are read from."""

    memory = "memory"  # read and checked at the start, kept on the training device
    disk = "disk"  # unpacked and checked when first used, then read row by row


class NormalizerKind(Enum):
    """Where the affine maps to normalised units come from."""

    bounds = "bounds"  # the given low and high -> [-1, 1]; the same for any data
    range = "range"  # the smallest and largest value -> [-1, 1]
    moments = "moments"  # to mean 0 and standard deviation 1
    quantiles = "quantiles"  # low_quantile and high_quantile -> [-1, 1]; nothing is clipped


class Dimensions(Enum):
    """Whether the sources of a mixture must have the same columns."""

    same = "same"  # names and units, in the same order
    union = "union"  # each has its own; the policy's are all of them, by name


class StatisticsOf(Enum):
    """Whose numbers decide the normaliser of a source; sigma is in units of it."""

    joint = "joint"  # of each column, all sources' that have it
    source = "source"  # the source's own


@dataclass
class BoundsSettings:
    """Smallest and largest value of each dimension of the mixture, in its own unit."""

    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)


@dataclass
class NormalizerSettings:
    """The unit of sigma depends on this: thresholds are bound to the result's fingerprint."""

    kind: Word[NormalizerKind] = word(NormalizerKind.range)
    # whose numbers it is made of; must be said where there are several sources. Not for kind =
    # bounds, which looks at none
    statistics: Word[StatisticsOf | None] = word(None)
    # used by kind = bounds only
    observations: BoundsSettings = field(default_factory=BoundsSettings)
    actions: BoundsSettings = field(default_factory=BoundsSettings)
    # used by kind = quantiles only: the shares of the values below -1 and below 1
    low_quantile: float = 0.01
    high_quantile: float = 0.99
    # not used by kind = bounds: a column whose range (of its quantiles; of moments its deviation)
    # is below this, in its own unit, hardly moves: it keeps its unit, and its noise is not scaled
    # to [-1, 1] (diffusion_policy's range_eps); 0 = scale whatever moves
    smallest_range: float = 1e-4

    def __post_init__(self) -> None:
        words_to_enums(self)
        require(
            0 <= self.smallest_range < float("inf"),
            f"normalizer.smallest_range = {self.smallest_range} must be a number of at least 0, "
            "in the unit of the columns.",
        )
        low, high = self.low_quantile, self.high_quantile
        require(
            0 <= low < high <= 1,
            f"normalizer.low_quantile = {low} and normalizer.high_quantile = {high}: give two "
            "shares from 0 to 1, the low one below the high one.",
        )
        require(
            self.kind is not NormalizerKind.bounds or self.statistics is None,
            "normalizer.statistics is given, but normalizer.kind = bounds looks at no numbers of "
            "the sources. Leave it out, or choose kind range, quantiles or moments.",
        )

    def check_sources(self, names: Sequence[str]) -> None:
        """Refuse several sources where nobody said whose numbers count.

        Args:
            names: of the sources.

        Raises:
            SettingsError: naming both choices.
        """
        require(
            self.kind is NormalizerKind.bounds or self.statistics is not None or len(names) < 2,
            f"normalizer.kind = {self.kind.value} with {len(names)} sources ({listed(names)}), "
            "and normalizer.statistics is not said: choose joint (each column by the numbers of "
            "all sources that have it) or source (each source by its own). The unit of sigma, and "
            "so the meaning of every threshold, depends on it.",
        )


@dataclass
class TaskSettings:
    """The world a policy is made for."""

    # a registered gymnasium id; empty = what the demonstrations are labelled with
    id: str = ""
    # keyword arguments of the environment
    kwargs: dict[str, Any] = field(default_factory=dict)
    # of a Dict observation: part of the policy's observation (state, a camera) -> its key there,
    # where the two differ
    observation: dict[str, str] = field(default_factory=dict)
    # names of the two observation dimensions that are the executed path
    path: list[str] = field(default_factory=list)
    # unit of those two, for titles
    path_unit: str = "m"
    # control steps after which an episode is over at the latest
    max_steps: int = 300
    # what rollouts tell the policy to do, where language says that it is told
    instruction: str | None = None

    def __post_init__(self) -> None:
        require(self.max_steps >= 1, f"task.max_steps = {self.max_steps} must be at least 1.")


@dataclass
class SourceSettings:
    """One store of the mixture. Several keys carry the names of the field's cotraining lists."""

    # folder (or .zarr.zip of diffusion_policy) with the episodes
    path: str = ""
    # its role: trusted, suboptimal or rejected; null is allowed only for annotated stores: of each
    # episode the annotation then decides, sigma_min 0 and sigma_max inf is trusted
    trust: Word[Trust | None] = word(None)
    # of a suboptimal source: thresholds of its own; null = its store's annotation, and where there
    # is none tuned.sigma_min and tuned.sigma_max
    sigma_min: Threshold = None
    # the same for the low levels, of arms with locality
    sigma_max: Threshold = None
    # share of the mixture, relative to the others; null for all sources = as many as their windows
    sampling_weight: float | None = None
    # use only the first so many episodes; null = all
    max_episodes: int | None = None
    # share of those episodes that no step teaches, rounded up, for training.validation; the same
    # ones for every arm and training seed; null = none
    val_ratio: float | None = None
    # of the episodes not for validation, only the first so many teach; null = all
    max_train_episodes: int | None = None
    # in a list (mixture): what the source is called; null = the end of the path, without suffix
    name: str | None = None
    # of diffusion_policy's stores: keys that make up the observation
    observation_keys: list[str] = field(default_factory=lambda: ["state"])
    # of diffusion_policy's stores: the key of the actions
    action_key: str = "action"
    # of diffusion_policy's stores: which columns of the observation are taken; null = all
    observation_columns: list[int] | None = None
    # of diffusion_policy's stores: key of the frames by the name their camera is to have
    cameras: dict[str, str] = field(default_factory=dict)
    # for stores that carry no attributes of their own (diffusion_policy): names, units, rate
    attributes: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        words_to_enums(self)


@dataclass
class TunedSettings:
    """Numbers that arms need; tune them on other starts than those reported."""

    # suboptimal episodes teach sigma > sigma_min; null = said by each source or its annotation
    sigma_min: Threshold = None
    # and, with locality, sigma < sigma_max
    sigma_max: Threshold = None
    # of reweighted cotraining: weight of all trusted episodes against 1 for all suboptimal ones
    trusted_weight: float | None = None


@dataclass
class ArmSettings:
    """What each role teaches; the defaults are those of arm=ambient."""

    # what trusted episodes teach
    trusted: Word[Teaches] = word(Teaches.everything)
    # what suboptimal episodes teach
    suboptimal: Word[Teaches] = word(Teaches.above)
    # whether trusted episodes together weigh tuned.trusted_weight and suboptimal ones 1
    reweight: bool = False

    def __post_init__(self) -> None:
        words_to_enums(self)
        require(
            self.suboptimal is not Teaches.below,
            "arm.suboptimal = below: only trusted episodes can teach below the others' sigma_min.",
        )
        require(
            self.trusted in (Teaches.everything, Teaches.nothing, Teaches.below),
            f"arm.trusted = {self.trusted.value}: trusted episodes have no thresholds; choose "
            "everything, nothing or below.",
        )

    @property
    def reads(self) -> tuple[str, ...]:
        """The thresholds of suboptimal episodes that count: sigma_min, sigma_max, both or none."""
        low = Teaches.below is self.trusted or self.suboptimal in (
            Teaches.above,
            Teaches.above_or_below,
        )
        high = self.suboptimal is Teaches.above_or_below
        return ("sigma_min",) * low + ("sigma_max",) * high


@dataclass
class DataSettings:
    """Which demonstrations, and what their numbers are: they decide the unit of sigma."""

    # the world that the policy is for
    task: TaskSettings = field(default_factory=TaskSettings)
    tuned: TunedSettings = field(default_factory=TunedSettings)
    # stores by a name of yours
    sources: dict[str, SourceSettings] = field(default_factory=dict)
    # more sources, as a list; they join `sources`, and checked settings hold them there
    mixture: list[SourceSettings] = field(default_factory=list)
    # whether the sources must have the same columns, or the policy's are the union of theirs
    dimensions: Word[Dimensions] = word(Dimensions.same)
    # memory, or disk where the demonstrations are larger than it; both give the same batches
    tables: Word[Tables] = word(Tables.memory)
    normalizer: NormalizerSettings = field(default_factory=NormalizerSettings)
    horizons: Horizons = field(default_factory=Horizons)
    actions: ActionSettings = field(default_factory=ActionSettings)
    # cameras that the policy looks through, beside the state; every source must have them
    cameras: list[str] = field(default_factory=list)
    language: LanguageSettings = field(default_factory=LanguageSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)

    def __post_init__(self) -> None:
        words_to_enums(self)
        self.sources, self.mixture = add_mixture(self.sources, self.mixture), []
        for name, source in self.sources.items():
            require(
                bool(source.path),
                f"sources.{name}.path is empty; name the folder of its store. The sources are "
                f"{listed(self.sources)}.",
            )
        self.normalizer.check_sources(list(self.sources))
        self._resolve_thresholds()

    def _resolve_thresholds(self) -> None:
        """Thresholds in any coordinate become sigma, which is what is stored."""
        levels = self.noise.schedule_levels()
        named = {f"sources.{name}": source for name, source in self.sources.items()}
        for name, holder in {"tuned": self.tuned, **named}.items():
            for key in ("sigma_min", "sigma_max"):
                value = getattr(holder, key)
                if value is not None:
                    setattr(holder, key, resolve_sigma(f"{name}.{key}", value, levels))
