"""One run as one value, with checks across its parts, to and from JSON."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ambient_policy.actions import Representation
from ambient_policy.batch import EMBODIMENT, INSTRUCTION, STATE
from ambient_policy.errors import SettingsError
from ambient_policy.networks.sizes import check_horizon
from ambient_policy.settings.checks import require
from ambient_policy.settings.data import ArmSettings, DataSettings
from ambient_policy.settings.model import Language, NetworkSettings, SolverSettings
from ambient_policy.settings.training import LossSettings, TrackingSettings, TrainingSettings


@dataclass
class RunSettings(DataSettings):
    """Everything that decides a trained policy."""

    # what is studied: names this group of runs
    experiment: str = ""
    # which arm of it this run is
    label: str = "ambient"
    # training seed: weights, draws and noise are functions of it
    seed: int = 0
    # folder that holds the runs of the experiment, this one in label/seed-N
    root: str = "runs"
    # a policy whose averaged weights are the start (folder of a run, of a checkpoint or of an
    # exported policy); null = random weights
    start_from: str | None = None
    # what each role teaches
    arm: ArmSettings = field(default_factory=ArmSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    solver: SolverSettings = field(default_factory=SolverSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_horizon(self.horizons.pred, self.network.widths)
        self._check_cameras()
        self._check_language()
        require(self.seed >= 0, f"seed = {self.seed} must not be negative.")
        self.solver.calls(self.noise)  # refuses a grid that does not fit the noise levels
        self._check_arm()
        require(
            not (self.loss.ambient and self.actions.representation is Representation.delta),
            "loss.ambient = true with actions.representation = delta: at one time step delta "
            "chunks show two quantities (counted from the origin where the chunk begins, from the "
            "action before elsewhere) under one kept noise, and their difference tells x0. Use "
            "relative or absolute actions, or loss.ambient=false.",
        )
        require(bool(self.root), "root is empty; name the folder of the runs, e.g. root=runs.")
        require(bool(self.label), "label is empty; name this arm, e.g. label=ambient.")

    def _check_arm(self) -> None:
        """Refuse a reweighted arm without its weight; thresholds are looked for in the stores."""
        weight = self.tuned.trusted_weight
        require(
            not self.arm.reweight or weight is not None,
            f"arm '{self.label}' reweights, and tuned.trusted_weight is not said: give the weight "
            "of all trusted episodes against 1 for all suboptimal ones, e.g. "
            "tuned.trusted_weight=0.1 (or choose arm=cotrain: all by their natural number).",
        )
        require(
            weight is None or weight > 0,
            f"tuned.trusted_weight = {weight} must be positive.",
        )

    def _check_cameras(self) -> None:
        taken = (STATE, EMBODIMENT, INSTRUCTION)
        require(
            len({*taken, *self.cameras}) == len(taken) + len(self.cameras),
            f"cameras = {list(self.cameras)}: name each once, and none of them {' or '.join(taken)}"
            ": other parts of an observation are called so.",
        )

    def _check_language(self) -> None:
        follows = self.language.kind is not Language.none
        self.network.check_encoders(self.cameras, follows)
        require(
            follows or self.task.instruction is None,
            f"task.instruction = '{self.task.instruction}', but language.kind = none: the policy "
            "is told nothing. Set language.kind=one_hot or embedding, or leave it out.",
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
            "These settings were written by another version, or by hand: ambient-policy migrate "
            "path=... turns those of version 0.1 into today's."
        ) from error
    strange = sorted(_paths(record) - _paths(to_json(settings)))
    if strange:
        raise SettingsError(
            f"settings key '{strange[0]}' is unknown to this version, written by another. "
            "ambient-policy migrate path=... turns what version 0.1 wrote into today's."
        )
    return settings


def _paths(record: Any, prefix: str = "") -> set[str]:
    """The dotted names of all values."""
    if not isinstance(record, dict) or (prefix and not record):
        return {prefix}
    return {path for key in record for path in _paths(record[key], f"{prefix}.{key}".lstrip("."))}
