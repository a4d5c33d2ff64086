"""One of our stores into a format of others, whole or not at all, an episode at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from ambient_datasets.keys import Keys
from ambient_datasets.lines import list_line
from ambient_datasets.records import Attributes, Episode
from ambient_datasets.store import Store, open_store
from ambient_policy.errors import DataError, SettingsError, unknown
from ambient_policy.files import create_path, refuse_inside
from ambient_policy.progress import Bar, progress
from ambient_policy.settings import Tables

FORMATS = ("diffusion_policy", "lerobot")


class Target(Protocol):
    """A format that a store can be written in."""

    def keys(
        self,
        store: Store,
        groups: Mapping[str, Sequence[str]],
        cameras: Mapping[str, str],
    ) -> Keys:
        """Where a store's columns and cameras will lie, every check done.

        Args:
            store: what is to be written.
            groups: names of its observation columns by key; none: all under the format's own key.
            cameras: key of a camera by its name, where it is to be another than the format's.

        Raises:
            SettingsError: naming what cannot be written so.
        """
        ...

    def write(self, path: Path, store: Store, episodes: Iterable[Episode], keys: Keys) -> None:
        """Write all episodes to a path where nothing lies."""
        ...


@dataclass(frozen=True)
class Export:
    """What an export wrote.

    Attributes:
        out: where it lies.
        episodes, rows: in it.
        keys: under which its columns and cameras lie.
        attributes: of the store.
        instructions: distinct texts.
        annotated: whether thresholds of its episodes lie beside it.
    """

    out: Path
    episodes: int
    rows: int
    keys: Keys
    attributes: Attributes
    instructions: int
    annotated: bool

    def __str__(self) -> str:
        keys = self.keys
        groups = {**keys.observations, keys.action: self.attributes.action_names}
        cameras = [f"{name} as {key}" for name, key in keys.cameras.items()]
        return "\n".join(
            [
                f"{self.out}: {self.episodes} episodes, {self.rows} rows",
                *(list_line(key, names) for key, names in groups.items()),
                list_line("cameras", cameras or ["none"]),
                f"instructions: {self.instructions or 'none'}; "
                f"annotation: {'beside it' if self.annotated else 'none'}",
            ]
        )


def make_target(kind: str, **options: Any) -> Target:
    """The format of a name.

    Args:
        kind: one of ``FORMATS``.
        options: of lerobot, as in its ``Options``; diffusion_policy has none.

    Raises:
        SettingsError: for an unknown format, an option that it has not, or where its libraries are
            not installed.
    """
    if kind not in FORMATS:
        raise unknown("format", kind, FORMATS)
    if kind == "diffusion_policy":
        if options:
            raise SettingsError(
                f"{', '.join(options)}: format=diffusion_policy has no such choice; leave it out, "
                "or choose format=lerobot."
            )
        replay: Target = _load("replay_write").ReplayTarget()
        return replay
    try:
        options_of = _load("lerobot_layout").Options
        lerobot: Target = _load("lerobot_write").LeRobotTarget(options_of(**options))
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"format '{kind}' needs the package '{error.name}', which is not installed. Install it "
            f"with: pip install 'ambient-policy[{kind}]'."
        ) from error
    return lerobot


def _load(module: str) -> Any:
    return import_module(f"ambient_datasets.formats.{module}")


def export(
    store: str | Path,
    target: Target,
    out: str | Path,
    *,
    observations: Mapping[str, Sequence[str]] | None = None,
    cameras: Mapping[str, str] | None = None,
    console: Console | None = None,
) -> Export:
    """Write a store anew in another format.

    Args:
        store: of our layout.
        target: from ``make_target``.
        out: new; for diffusion_policy a name that ends in .zip makes an archive.
        observations, cameras: as of ``Target.keys``.
        console: where the progress bar appears; None is the standard error.

    Raises:
        SettingsError: for settings that do not fit the store, or an ``out`` that is there or lies
            in the store.
        DataError: naming file, key and episode of what cannot be read. Nothing lies at ``out``.
        CheckpointError: when the disk refuses.
    """
    refuse_inside(Path(out), Path(store))
    source = open_store(store, Tables.disk)
    if len(source) == 0:
        raise DataError(f"{store}: no episodes yet, so nothing to export. Collect some first.")
    keys = target.keys(source, observations or {}, cameras or {})
    with (
        create_path(Path(out)) as partial,
        progress(f"export {store}", len(source), console=console) as bar,
    ):
        target.write(partial, source, _counted(source, bar), keys)
    texts, annotated = len(source.instructions), source.annotation is not None
    return Export(Path(out), len(source), source.rows, keys, source.attributes, texts, annotated)


def _counted(source: Store, bar: Bar) -> Iterator[Episode]:
    """The episodes, counted by a bar."""
    for episode in source.episodes():
        yield episode
        bar.advance()
