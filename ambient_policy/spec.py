"""What decides a policy besides its weights."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from ambient_policy.actions import origin_columns, own_origin_columns
from ambient_policy.embodiments import Embodiment
from ambient_policy.errors import SettingsError, unknown
from ambient_policy.horizons import Horizons
from ambient_policy.language import Vocabulary
from ambient_policy.settings import (
    ActionSettings,
    NetworkSettings,
    NoiseSettings,
    SolverSettings,
)

MAX_DIMENSIONS = 10_000  # real robots have some 10 to 100
MAX_NUMBERS = 2**24  # of a table with a row for each embodiment


@dataclass(frozen=True)
class PolicySpec:
    """What decides a policy besides its weights; saved with them.

    Attributes:
        task: gymnasium id of the world it was trained for, with its keyword arguments.
        observation_names, action_names: the O and A dimensions, of all embodiments together.
        control_rate: [Hz].
        embodiments: whose dimensions and units these are, by name.
        acting: the one that lives in the task's world: rollouts speak its own columns.
        cameras: those it looks through, each with its (height, width, channels) [px].
        actions: how a chunk is written down for the network.
        language: the instructions it can be given; None where it is given none.
    """

    task: str
    task_kwargs: dict[str, Any]
    observation_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_rate: float
    embodiments: dict[str, Embodiment]
    acting: str
    horizons: Horizons
    noise: NoiseSettings
    network: NetworkSettings
    solver: SolverSettings
    actions: ActionSettings = field(default_factory=ActionSettings)
    cameras: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    language: Vocabulary | None = None

    def __post_init__(self) -> None:
        sizes = len(self.observation_names), len(self.action_names), len(self.embodiments)
        if max(sizes) > MAX_DIMENSIONS or max(sizes[:2]) * sizes[2] > MAX_NUMBERS:
            raise SettingsError(
                f"{sizes[0]} observations, {sizes[1]} actions and {sizes[2]} embodiments: at most "
                f"{MAX_DIMENSIONS} of each, and {MAX_NUMBERS} together."
            )
        if self.acting not in self.embodiments:
            raise unknown("embodiment in acting", self.acting, self.embodiments)
        _ = self.origin_columns  # refuses names that do not fit
        for name, body in self.embodiments.items():
            own_origin_columns(
                self.actions.representation,
                self.actions.origin,
                self.action_names,
                [self.observation_names[i] for i in body.observation_columns],
                [self.action_names[i] for i in body.action_columns],
                name,
            )

    @property
    def body(self) -> Embodiment:
        """The embodiment that acts in the task's world."""
        return self.embodiments[self.acting]

    @property
    def partial(self) -> bool:
        """Whether an embodiment lacks observations: which ones it has is then a part of them."""
        return any(
            len(body.observation_columns) < len(self.observation_names)
            for body in self.embodiments.values()
        )

    @property
    def own_observations(self) -> tuple[str, ...]:
        """Of the acting embodiment: what its world shows and rollouts record."""
        return tuple(self.observation_names[i] for i in self.body.observation_columns)

    @property
    def own_actions(self) -> tuple[str, ...]:
        """Of the acting embodiment: what its world takes."""
        return tuple(self.action_names[i] for i in self.body.action_columns)

    @property
    def origin_columns(self) -> list[int]:
        """The state dimensions that actions are counted from, (A,) or none."""
        return origin_columns(
            self.actions.representation,
            self.actions.origin,
            self.observation_names,
            self.action_names,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        record: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return record

    def foundation(self) -> dict[str, Any]:
        """As ``to_json``, but only what weights can be taken over under.

        Not how embodiments are called, in which order they come, or who there is beside the acting
        one; nor the solver and the instruction of rollouts.
        """
        record = self.to_json()
        for name in ("solver", "embodiments", "acting"):
            del record[name]
        if record["language"] is not None:
            del record["language"]["said"]
        return {
            **record,
            "acting embodiment (its columns or normaliser)": record_of(self.body),
            "answer to whether an embodiment lacks observations": self.partial,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "PolicySpec":
        """The inverse of ``to_json``."""
        return _ADAPTER.validate_python(record)


_ADAPTER: TypeAdapter[PolicySpec] = TypeAdapter(PolicySpec)


def record_of(body: Embodiment) -> dict[str, Any]:
    """Plain JSON values of an embodiment."""
    record: dict[str, Any] = TypeAdapter(Embodiment).dump_python(body, mode="json")
    return record


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What two descriptions (``to_json``, or ``foundation``) differ in, for a message."""
    words = {"embodiments": "embodiments (their columns or normalisers)"}
    return [words.get(name, name) for name in ours if ours[name] != theirs.get(name)]
