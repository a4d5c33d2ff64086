"""Demonstrations of others into a store of ours (docs/data.md has an example for every format)::

    python scripts/convert.py format=diffusion_policy path=replay.zarr out=data/replay.zarr \
        state=[state] action=[action] task=push source=human control_rate=10

Continues a conversion that was stopped; ``jobs.workers=4`` converts in four processes."""

from dataclasses import dataclass, field, fields

from rich.console import Console

from ambient_datasets.conversion import convert as inward
from ambient_datasets.conversion.columns import Column
from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.conversion.resample import Resample
from ambient_policy.jobs import JobSettings


@dataclass
class ConvertSettings:
    """What to convert, where to, what its numbers mean, and what to do with them."""

    # diffusion_policy, lerobot, robomimic or rlds; its file or folder; the folder of the store
    format: str = "???"
    path: str = "???"
    out: str = "???"
    # id of the world, and who demonstrated
    task: str = "???"
    source: str = "???"
    # keys whose columns make up observation and action, side by side, in the format's own names
    state: list[str] = field(default_factory=list)
    action: list[str] = field(default_factory=list)
    # instead of action: "key[t+k]", that key k rows later; the last k rows go
    action_from: str | None = None
    # the format's key of each camera by our name for it; [height, width] [px], null: as they come
    cameras: dict[str, str] = field(default_factory=dict)
    camera_size: list[int] | None = None
    # words for episodes that have none of their own; null: none
    instruction: str | None = None
    # of the source, rows per second [Hz]; null where the file says
    control_rate: float | None = None
    # one for each column; null: the file's own names (else key_0, key_1, ..), unit "unknown"
    observation_names: list[str] | None = None
    observation_units: list[str] | None = None
    action_names: list[str] | None = None
    action_units: list[str] | None = None
    # the store's columns in order, made of those; empty: all as they come
    observation_columns: list[Column] = field(default_factory=list)
    action_columns: list[Column] = field(default_factory=list)
    # the store's rate [Hz], and how columns go there
    resample: Resample = field(default_factory=Resample)
    # filter key or split; null: every episode
    split: str | None = None
    # to hold in the end (null: all), and numbers of episodes of the source not to take
    max_episodes: int | None = None
    leave_out: list[int] = field(default_factory=list)
    # how many convert at once, and where
    jobs: JobSettings = field(default_factory=lambda: JobSettings(workers=1))


def convert(settings: ConvertSettings) -> None:
    """Demonstrations of others into a store of ours."""
    recipe = Recipe(**{item.name: getattr(settings, item.name) for item in fields(Recipe)})
    places = settings.path, settings.format, settings.out
    conversion = inward.convert(
        *places,
        recipe,
        max_episodes=settings.max_episodes,
        leave_out=settings.leave_out,
        jobs=settings.jobs,
    )
    Console(soft_wrap=True).print(str(conversion), highlight=False, markup=False)
