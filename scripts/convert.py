"""Demonstrations of others into a store of ours (docs/data.md has an example for every format)::

    python scripts/convert.py format=diffusion_policy path=replay.zarr out=data/replay.zarr \
        state=[state] action=[action] task=push source=human control_rate=10

Continues a conversion that was stopped."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from rich.console import Console

from ambient_datasets.convert import convert
from ambient_datasets.demonstrations import Request
from compose import compose, register, run


@dataclass
class ConvertSettings:
    """What to convert, where to, and what its numbers mean."""

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
    # the format's key of each camera by our name for it
    cameras: dict[str, str] = field(default_factory=dict)
    # rows per second [Hz]; null where the file says
    control_rate: float | None = None
    # one for each column; null: the file's own names (else key_0, key_1, ..), unit "unknown"
    observation_names: list[str] | None = None
    observation_units: list[str] | None = None
    action_names: list[str] | None = None
    action_units: list[str] | None = None
    # filter key or split; null: every episode
    split: str | None = None
    # to hold in the end (null: all), and numbers of episodes of the source not to take
    max_episodes: int | None = None
    leave_out: list[int] = field(default_factory=list)


register("convert_settings", ConvertSettings)


def main(overrides: Sequence[str]) -> None:
    """Compose, convert, tell."""
    settings: ConvertSettings = compose("convert", overrides)
    request = Request(**{item.name: getattr(settings, item.name) for item in fields(Request)})
    places = settings.path, settings.format, settings.out
    most, leave_out = settings.max_episodes, settings.leave_out
    conversion = convert(*places, request, max_episodes=most, leave_out=leave_out)
    Console(soft_wrap=True).print(str(conversion), highlight=False, markup=False)


if __name__ == "__main__":
    run(main)
