"""What a conversion does to demonstrations: reader, relabel, columns, resample, resize.

Each step is a function from demonstrations to demonstrations; a step not asked for does not happen.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from ambient_datasets.conversion.columns import Column, map_columns, methods
from ambient_datasets.conversion.relabel import parse_action_from, relabel
from ambient_datasets.conversion.resample import Resample, check_method, resample
from ambient_datasets.conversion.resize import check_size, resize
from ambient_datasets.demonstrations import Changed, Demonstrations, Request
from ambient_datasets.records import Episode
from ambient_policy.errors import SettingsError


@dataclass(frozen=True)
class Recipe(Request):
    """A request to a reader, and what is done to the episodes that it hands over.

    Attributes:
        action_from: "key[t+k]": the action of a row is that key k rows later, k >= 1, and the last
            k rows go; ``action`` is empty then, and becomes that key. None: actions as they come.
        instruction: words for episodes that have none of their own; None for none.
        observation_columns, action_columns: of the store, in order; none keeps the source's.
        resample: the store's rate, and how columns go there.
        camera_size: (H, W) [px] of every camera in the store; None keeps the source's.
    """

    action_from: str | None = None
    instruction: str | None = None
    observation_columns: tuple[Column, ...] = ()
    action_columns: tuple[Column, ...] = ()
    resample: Resample = field(default_factory=Resample)
    camera_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.action_from is not None:
            key, _ = parse_action_from(self.action_from)
            if tuple(self.action) not in ((), (key,)):
                raise SettingsError(
                    f"action = {list(self.action)} and action_from = '{self.action_from}' given: "
                    "the action comes from one of them. Give action=[] beside action_from."
                )
            object.__setattr__(self, "action", (key,))
        super().__post_init__()
        for name in ("observation_columns", "action_columns"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_methods()
        self._check_words()
        self._check_size()

    def _check_methods(self) -> None:
        for column in self.observation_columns:
            if column.resample is not None:
                place = f"observation column '{column.name or column.of}': resample"
                check_method(place, column.resample, observed=True)

    def _check_words(self) -> None:
        if self.instruction is not None and not self.instruction.strip():
            raise SettingsError("instruction is empty: give words, or null for none.")

    def _check_size(self) -> None:
        if self.camera_size is None:
            return
        check_size(self.camera_size)
        object.__setattr__(self, "camera_size", tuple(self.camera_size))
        if not self.cameras:
            raise SettingsError(
                f"camera_size = {list(self.camera_size)}, but no camera is asked for. Give "
                "cameras.<name>=<key>, or camera_size=null."
            )

    def record(self) -> dict[str, object]:
        """What makes it this recipe and no other: the request, and every step that happens."""
        plain = {item.name for item in fields(Request)}
        none = asdict(Recipe(("-",), ("-",), "-", "-"))
        values = asdict(self).items()
        return {key: value for key, value in values if key in plain or value != none[key]}


def follow(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    """What a reader hands over, changed as the recipe says.

    Args:
        path: of the source, for messages.
        source: opened with this recipe as its request.
        recipe: what to do.

    Raises:
        SettingsError: if the recipe does not fit the source's columns.
    """
    steps: tuple[Callable[[Path, Demonstrations, Recipe], Demonstrations], ...] = (
        _relabelled,
        _mapped,
        _resampled,
        _resized,
        _instructed,
    )
    for step in steps:
        source = step(path, source, recipe)
    return source


def _relabelled(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    if recipe.action_from is None:
        return source
    return relabel(path, source, parse_action_from(recipe.action_from)[1])


def _mapped(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    if not (recipe.observation_columns or recipe.action_columns):
        return source
    return map_columns(path, source, recipe.observation_columns, recipe.action_columns)


def _resampled(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    asked, attributes = recipe.resample, source.attributes
    if asked.rate is None:
        return source
    names = attributes.observation_names
    observations = (
        ("hold",) * len(names)
        if asked.causal
        else methods("observation", recipe.observation_columns, names, asked.observations)
    )
    actions = methods("action", recipe.action_columns, attributes.action_names, asked.actions)
    return resample(path, source, asked.rate, observations, actions)


def _resized(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    return source if recipe.camera_size is None else resize(path, source, recipe.camera_size)


def _instructed(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    words = recipe.instruction
    if words is None:
        return source

    def change(episode: Episode) -> Episode:
        return episode if episode.instruction else replace(episode, instruction=words)

    return Changed(path, source, source.attributes, source.cameras, change)
