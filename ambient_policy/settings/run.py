"""One run as one value, with checks across its parts, to and from JSON."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ambient_policy.actions import Representation
from ambient_policy.batch import EMBODIMENT, INSTRUCTION, STATE
from ambient_policy.diffusion.noise import resolve_sigma
from ambient_policy.errors import SettingsError
from ambient_policy.horizons import Horizons
from ambient_policy.networks.unet1d import check_horizon
from ambient_policy.settings.checks import require
from ambient_policy.settings.data import (
    Dimensions,
    NormalizerSettings,
    SourceSettings,
    Tables,
    TaskSettings,
    Trust,
    TunedSettings,
)
from ambient_policy.settings.mixture import MixtureEntry, add_mixture
from ambient_policy.settings.model import (
    ActionSettings,
    Language,
    LanguageSettings,
    NetworkSettings,
    NoiseSettings,
    SolverSettings,
)
from ambient_policy.settings.training import LossSettings, TrackingSettings, TrainingSettings


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
    # more sources, in the field's form; they join `sources`, and checked settings hold them there
    mixture: list[MixtureEntry] = field(default_factory=list)
    # whether the sources must have the same columns, or the policy's are the union of theirs
    dimensions: Dimensions = Dimensions.same
    # memory, or disk where the demonstrations are larger than it; both give the same batches
    tables: Tables = Tables.memory
    normalizer: NormalizerSettings = field(default_factory=NormalizerSettings)
    horizons: Horizons = field(default_factory=Horizons)
    actions: ActionSettings = field(default_factory=ActionSettings)
    # cameras that the policy looks through, beside the state; every source must have them
    cameras: list[str] = field(default_factory=list)
    language: LanguageSettings = field(default_factory=LanguageSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    solver: SolverSettings = field(default_factory=SolverSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    def __post_init__(self) -> None:
        self.sources, self.mixture = add_mixture(self.sources, self.mixture), []
        check_horizon(self.horizons.pred, self.network.widths)
        self._check_cameras()
        self._check_language()
        self.normalizer.check_sources(list(self.sources))
        require(self.seed >= 0, f"seed = {self.seed} must not be negative.")
        self.solver.calls(self.noise)  # refuses a grid that does not fit the noise levels
        self._resolve_thresholds()
        require(
            not (self.loss.ambient and self.actions.representation is Representation.delta),
            "loss.ambient = true with actions.representation = delta: at one time step delta "
            "chunks show two quantities (counted from the origin where the chunk begins, from the "
            "action before elsewhere) under one kept noise, and their difference tells x0. Use "
            "relative or absolute actions, or loss.ambient=false.",
        )
        require(bool(self.root), "root is empty; name the folder of the runs, e.g. root=runs.")

    def _check_cameras(self) -> None:
        taken = (STATE, EMBODIMENT, INSTRUCTION)
        require(
            len({*taken, *self.cameras}) == len(taken) + len(self.cameras),
            f"cameras = {list(self.cameras)}: name each once, and none of them {' or '.join(taken)}"
            ": other parts of an observation are called so.",
        )

    def _check_language(self) -> None:
        told = self.language.kind is not Language.none
        self.network.check_encoders(self.cameras, told)
        require(
            told or self.task.instruction is None,
            f"task.instruction = '{self.task.instruction}', but language.kind = none: the policy "
            "is told nothing. Set language.kind=one_hot or embedding, or leave it out.",
        )

    def _resolve_thresholds(self) -> None:
        """Thresholds in any coordinate become sigma, which is what is stored."""
        levels = self.noise.schedule_levels()
        named = {f"sources.{name}": source for name, source in self.sources.items()}
        for name, holder in {"tuned": self.tuned, **named}.items():
            for key in ("sigma_min", "sigma_max"):
                given = getattr(holder, key)
                if given is not None or holder is self.tuned:
                    setattr(holder, key, resolve_sigma(f"{name}.{key}", given, levels))
        for name, source in self.sources.items():
            pair = source.sigma_min, source.sigma_max
            require(
                source.trust is not Trust.bounds or None not in pair,
                f"sources.{name}.sigma_min = {pair[0]} and sources.{name}.sigma_max = {pair[1]} "
                "with trust = bounds: give both (sigma_max=0 switches locality off).",
            )

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
            f"settings key '{strange[0]}' is unknown to this version, written by another. "
            "Train anew, or use the version that wrote them."
        )
    return settings


def _paths(record: Any, prefix: str = "") -> set[str]:
    """The dotted names of all values."""
    if not isinstance(record, dict) or (prefix and not record):
        return {prefix}
    return {path for key in record for path in _paths(record[key], f"{prefix}.{key}".lstrip("."))}
