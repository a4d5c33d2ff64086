"""What a conversion does to demonstrations: reader, relabel, columns, trim, resample, resize.

Each step is a function from demonstrations to demonstrations; a step not asked for does not happen.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from ambient_datasets.conversion.columns import Column, map_columns, methods
from ambient_datasets.conversion.filters import check_filters
from ambient_datasets.conversion.relabel import parse_action_from, relabel
from ambient_datasets.conversion.resample import Resample, check_method, resample
from ambient_datasets.conversion.resize import check_size, resize
from ambient_datasets.conversion.trim import Trim, trim
from ambient_datasets.demonstrations import Changed, Demonstrations, Request
from ambient_datasets.records import JSON, Episode
from ambient_policy.errors import SettingsError

# what a store remembers of its conversion even where nobody gave it
LATER = {"episodes", "drop_last_observation", "stamps", "where"}
ALWAYS = {item.name for item in fields(Request)} - LATER


@dataclass
class Recipe(Request):
    """A request to a reader, and what is done to the episodes that it hands over."""

    # instead of action: "key[t+k]" or "key,key[t+k]", those keys k rows later, k >= 1; the last k
    # rows go
    action_from: str | None = None
    # words for episodes that have none of their own; null: none
    instruction: str | None = None
    # the store's columns in order, made of the source's; none: all as they come
    observation_columns: list[Column] = field(default_factory=list)
    action_columns: list[Column] = field(default_factory=list)
    # ends of episodes at which nothing moves are cut
    trim: Trim = field(default_factory=Trim)
    # the store's rate, and how columns go there
    resample: Resample = field(default_factory=Resample)
    # [height, width] [px] of every camera in the store; null: as they come
    camera_size: list[int] | None = None

    def __post_init__(self) -> None:
        if self.action_from is not None:
            keys, _ = parse_action_from(self.action_from)
            if [*self.action] not in ([], keys):
                raise SettingsError(
                    f"action = {[*self.action]} and action_from = '{self.action_from}' given: the "
                    "action comes from one of them. Give action=[] beside action_from."
                )
            self.action = keys
        super().__post_init__()
        check_filters(self.where)
        self._check_methods()
        self._check_instruction()
        self._check_size()

    def _check_methods(self) -> None:
        for column in self.observation_columns:
            if column.resample is not None:
                place = f"observation column '{column.name or column.of}': resample"
                check_method(place, column.resample, observed=True)

    def _check_instruction(self) -> None:
        if self.instruction is not None and not self.instruction.strip():
            raise SettingsError("instruction is empty: give words, or null for none.")

    def _check_size(self) -> None:
        if self.camera_size is None:
            return
        check_size(self.camera_size)
        if not self.cameras:
            raise SettingsError(
                f"camera_size = {list(self.camera_size)}, but no camera is asked for. Give "
                "+cameras.<name>=<key>, or camera_size=null."
            )

    def record(self) -> dict[str, JSON]:
        """What makes it this recipe and no other: the request, and every step that happens."""
        plain = asdict(Recipe(format="-", state=["-"], action=["-"]))
        values = json.loads(json.dumps(asdict(self)))
        return {key: value for key, value in values.items() if key in ALWAYS or value != plain[key]}


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
        _trimmed,
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


def _trimmed(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    return source if recipe.trim.speed is None else trim(path, source, recipe.trim)


def _resampled(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    settings, attributes = recipe.resample, source.attributes
    if settings.rate is None:
        return source
    names = attributes.observation_names
    observations = (
        ("hold",) * len(names)
        if settings.causal
        else methods("observation", recipe.observation_columns, names, settings.observations)
    )
    actions = methods("action", recipe.action_columns, attributes.action_names, settings.actions)
    return resample(path, source, settings.rate, observations, actions)


def _resized(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    return source if recipe.camera_size is None else resize(path, source, recipe.camera_size)


def _instructed(path: Path, source: Demonstrations, recipe: Recipe) -> Demonstrations:
    words = recipe.instruction
    if words is None:
        return source

    def change(episode: Episode) -> Episode:
        return episode if episode.instruction else replace(episode, instruction=words)

    return Changed(path, source, source.attributes, source.cameras, change)
