"""Train one arm; a run continues from its last checkpoint if there is one.

Several processes train one run together:
``torchrun --nproc-per-node 2 -m ambient_policy train experiment=maze``.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from ambient_datasets.mixture import Mixture
from ambient_policy.errors import SettingsError
from ambient_policy.files import hold, write_text
from ambient_policy.saved import steps_saved
from ambient_policy.settings import RunSettings, Tables, TrackingSettings, from_json, to_json
from ambient_policy.terminal import Screen
from ambient_policy.tracking import Tracker
from ambient_policy.training import loop
from ambient_policy.training.distributed import ALONE, World, join
from ambient_policy.workflows.preparation import Parts, initial_policy, prepare
from ambient_policy.workflows.screen import Row, show, show_sources

SETTINGS = "settings.json"
DATA = "data.sha256"  # of ``data_digest``
LABEL = r"\w[\w .,:=+@'{}-]*"  # one folder; sweeps put thresholds into it: ambient_{'vp': 0.07}
ELSEWHERE = "give another root= or label= (in compare the arms' names are the labels)"


def train(settings: RunSettings) -> Path:
    """Train one arm, alone or with the other processes of torchrun.

    Returns:
        The folder of the run.
    """
    torch.set_num_threads(settings.training.threads)
    with _interruptions(settings), join(settings.training) as world:
        for _ in _rows(settings, world, Screen(quiet=not world.leads)):
            pass
    return Path(settings.folder)


@contextmanager
def _interruptions(settings: RunSettings) -> Iterator[None]:
    """Note on Ctrl-C from which step the same command goes on."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(_next_start(settings))
        raise


def _next_start(settings: RunSettings) -> str:
    """Where a run would go on, in words."""
    saved = steps_saved(Path(settings.folder) / "checkpoints")
    if saved:
        return f"{settings.folder} has its last checkpoint at step {saved[-1]} and goes on there."
    return (
        f"{settings.folder} has no checkpoint yet (training.checkpoint_every = "
        f"{settings.training.checkpoint_every} steps) and begins anew."
    )


def training(settings: RunSettings) -> Iterator[Row]:
    """The rows of the log as they come, each after so many steps; nothing is printed.

    Whoever stops asking stops the training; the same call goes on from the last checkpoint.
    """
    torch.set_num_threads(settings.training.threads)
    yield from _rows(settings, ALONE, Screen(quiet=True))


def _rows(settings: RunSettings, world: World, console: Console) -> Iterator[Row]:
    """Prepare and train; the first process of the world alone writes and shows."""
    check_label(settings)
    folder = Path(settings.folder)
    parts = prepare(settings)
    policy = initial_policy(parts)  # before the folder is claimed: refusals leave no trace
    held_out, checkpoints = parts.held_out_batch(), folder / "checkpoints"
    with ExitStack() as stack:
        if world.leads:
            stack.enter_context(hold(folder))
            claim(folder, parts)
        show_sources(parts, console)
        state = loop.begin(policy, settings, checkpoints)
        start, steps = state.step, settings.training.steps
        line = f"training {folder} from step {start} to {steps}"
        console.print(line, soft_wrap=True)  # paths stay whole
        rows = loop.train(state, parts.batch_at, settings, checkpoints, held_out, world)
        tracker = stack.enter_context(Tracker(folder, settings, start)) if world.leads else None
        for row in show(rows, start, steps, console):
            if tracker is not None:
                tracker.write(row)
            yield row


def check_label(settings: RunSettings) -> None:
    """Refuse a label that is no name of one folder.

    Raises:
        SettingsError: naming the characters that are allowed.
    """
    if re.fullmatch(LABEL, settings.label) is None:
        raise SettingsError(
            f"label = {settings.label}: it is one folder in root={settings.root}. Give letters, "
            "digits, spaces and any of - _ . , : = + @ ' { }, a letter, digit or _ first; folders "
            "around it go into root=."
        )


def claim(folder: Path, parts: Parts) -> None:
    """Write the run's settings and what tells its data, or refuse a folder that holds another run.

    Raises:
        SettingsError: if it was begun with other settings or other demonstrations.
    """
    path, digest = folder / DATA, data_digest(parts.mixture)
    refuse_other(folder, parts.settings, moved=True)
    if path.exists() and path.read_text() != digest:
        raise SettingsError(
            f"{folder} was begun with other demonstrations: thresholds (an annotation), weights, "
            f"episodes or their numbers are not as they were. Restore them, or {ELSEWHERE}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / SETTINGS, json.dumps(to_json(parts.settings), indent=1))
    write_text(path, digest)


def data_digest(mixture: Mixture) -> str:
    """A hash of who teaches what: episodes, weights, thresholds, the first row of each episode."""
    starts = mixture.episode_starts
    arrays = (
        mixture.episode_lengths,
        mixture.window_weight,
        mixture.sigma_min,
        mixture.sigma_max,
        mixture.held_out,
        mixture.observations.read(starts),
        mixture.actions.read(starts),
    )
    digest = hashlib.sha256(json.dumps(mixture.names).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def refuse_other(folder: Path, settings: RunSettings, moved: bool = False) -> bool:
    """Whether the folder holds this very run already, but for what decides no number.

    Args:
        folder: of the run.
        settings: of this one.
        moved: whether the demonstrations may lie elsewhere now; then look at them too.

    Raises:
        SettingsError: when it holds a run with other settings, naming those that differ.
    """
    path = folder / SETTINGS
    if not path.exists():
        return False
    try:
        other = from_json(json.loads(path.read_text()))
    except ValueError as error:
        raise SettingsError(f"{path} cannot be read ({error}); delete {folder}.") from error
    differing = _differences(_numbers(settings, moved), _numbers(other, moved))
    if differing:
        raise SettingsError(
            f"{folder} holds a run with other settings (see {path}): {', '.join(differing)}. "
            f"Delete that folder, or {ELSEWHERE}."
        )
    return True


def _numbers(settings: RunSettings, moved: bool) -> dict[str, object]:
    """The settings that decide numbers, by their dotted names."""
    training = replace(settings.training, keep_last=None, threads=1)
    if moved:
        places = {name: replace(source, path="-") for name, source in settings.sources.items()}
        settings = replace(settings, sources=places)
    alike = replace(settings, tables=Tables.memory, tracking=TrackingSettings(), training=training)
    return _flat(to_json(alike))


def _flat(record: object, name: str = "") -> dict[str, object]:
    if not isinstance(record, dict) or not record:
        return {name: record}
    return {
        key: value
        for part in record
        for key, value in _flat(record[part], f"{name}.{part}".lstrip(".")).items()
    }


def _differences(ours: dict[str, object], theirs: dict[str, object]) -> list[str]:
    """What two runs differ in: "name = ours, not theirs"; of many the first four."""
    names = [n for n in {**ours, **theirs} if ours.get(n) != theirs.get(n)]
    shown = [f"{n} = {ours.get(n)} here and {theirs.get(n)} there" for n in names[:4]]
    return [*shown, f"and {len(names) - 4} more"] if len(names) > 4 else shown
