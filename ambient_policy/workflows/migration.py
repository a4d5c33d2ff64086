"""What version 0.1 wrote, brought into today's format in place, its numbers untouched.

    ambient-policy migrate path=runs/maze/ambient/seed-0

A run, a checkpoint, an exported policy, or a folder that holds any of them. Every policy folder is
of one format or of the other at any moment: the new files are added, then config.json appears at
once, then the old files go. A kill leaves what the same command finishes.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from ambient_policy.errors import AmbientPolicyError, CheckpointError, SettingsError
from ambient_policy.files import replace_file, write_text
from ambient_policy.policy import Policy
from ambient_policy.policy_folder import (
    CONFIG,
    LIBRARY,
    MODEL,
    OPTIMIZER,
    STATE_0_1,
    WEIGHTS,
    Record,
    config_text,
    digest_of,
    from_strict,
    read_config,
)
from ambient_policy.saved import HELD_OUT_LOSS
from ambient_policy.settings import from_json, to_json
from ambient_policy.settings.migration import is_of_0_1, migrate_settings
from ambient_policy.spec import PolicySpec
from ambient_policy.terminal import Screen

SETTINGS = "settings.json"
AVERAGE_0_1 = "average.safetensors"  # of a checkpoint of 0.1: today's model.safetensors
FORMAT_0_1 = 3  # of its state.json


@dataclass
class MigrateSettings:
    """What is brought into today's format."""

    # a run, a checkpoint, an exported policy, or a folder that holds any of them
    path: str = "???"


def migrate(settings: MigrateSettings) -> int:
    """Bring what version 0.1 wrote under a path into today's format.

    Raises:
        SettingsError: if there is nothing to look at.
        CheckpointError: naming the file of 0.1 that is damaged; it stays as it is.
    """
    path, console = Path(settings.path), Screen(soft_wrap=True)
    if not path.is_dir():
        raise SettingsError(
            f"path = {path} is no folder. Name a run, a checkpoint, an exported policy, or a "
            "folder that holds any of them."
        )
    changed = 0
    for file, change in _files(path):
        if change(file):
            console.print(f"migrated {file}")
            changed += 1
    words = f"{changed} files" if changed else "nothing of version 0.1 is there"
    console.print(f"{path}: {words}")
    return changed


def _files(path: Path) -> Iterator[tuple[Path, Callable[[Path], bool]]]:
    """Files that version 0.1 may have written, checkpoints first, each with what migrates it."""
    kinds = {
        STATE_0_1: (WEIGHTS, migrate_checkpoint),
        CONFIG: (MODEL, migrate_exported),
        SETTINGS: ("", migrate_run),
    }
    for name, (neighbour, change) in kinds.items():
        for file in sorted(path.rglob(name)):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if file.with_name(neighbour or name).is_file() and not hidden:
                yield file, change


def migrate_checkpoint(state: Path) -> bool:
    """Make a checkpoint of 0.1 one of today's.

    Args:
        state: its state.json.

    Returns:
        True: there is no such file in one of today's.
    """
    folder = state.parent
    if not (folder / CONFIG).exists():
        record = _read(state)
        if record.get("format") != FORMAT_0_1:
            raise _damaged(state, f"format {record.get('format')!r:.80}, {FORMAT_0_1} is needed")
        described = _described(state, record)
        for name in (AVERAGE_0_1, WEIGHTS):
            _check_weights(described["policy"], folder / name)
        _tensors(folder / OPTIMIZER)
        _link(folder / AVERAGE_0_1, folder / MODEL)
        for name in (MODEL, WEIGHTS, OPTIMIZER):
            shutil.copymode(state, folder / name)
        described[HELD_OUT_LOSS] = record.get(HELD_OUT_LOSS)
        _write(folder / CONFIG, config_text(folder, described))
    read_config(folder)  # it says all that state.json did
    (folder / AVERAGE_0_1).unlink(missing_ok=True)
    state.unlink()
    return True


def _write(file: Path, text: str) -> None:
    """Write a file at once, and clear away what a kill left of an attempt before."""
    for partial in file.parent.glob(".partial-*"):
        partial.unlink()
    write_text(file, text)


def _link(file: Path, name: Path) -> None:
    """Give a file a second name; a copy where the disk knows no such thing."""
    name.unlink(missing_ok=True)
    try:
        name.hardlink_to(file)
    except OSError:
        with replace_file(name) as partial:
            shutil.copyfile(file, partial)


def migrate_exported(config: Path) -> bool:
    """Make the config.json of a policy exported by 0.1 one of today's; whether it was one."""
    record = _read(config)
    if record.get("library") != LIBRARY or record.get("format") != 1:
        return False
    model = config.parent / MODEL
    if not model.exists() or digest_of(model) != record.get("weights_sha256"):
        raise _damaged(model, f"its SHA-256 is not the one in {CONFIG}")
    described = _described(config, from_strict(record))
    _check_weights(described["policy"], model)
    shutil.copymode(config, model)
    _write(config, config_text(config.parent, described))
    return True


def migrate_run(settings: Path) -> bool:
    """Write a run's settings.json in today's words; whether they were in those of 0.1."""
    record = _read(settings)
    if not is_of_0_1(record):
        return False
    _write(settings, json.dumps(_settings(settings, record), indent=1))
    return True


def _described(file: Path, record: Record) -> Record:
    """The entries of today's config.json."""
    return {
        "step": record["step"],
        "policy": record["policy"],
        "settings": _settings(file, record["settings"]),
    }


def _settings(file: Path, record: Record) -> Record:
    """Settings in today's words, checked."""
    try:
        return to_json(from_json(migrate_settings(record) if is_of_0_1(record) else record))
    except (KeyError, TypeError, SettingsError) as error:
        raise _damaged(file, f"its settings cannot be read: {error}") from error


def _check_weights(spec: Record, file: Path) -> None:
    """Refuse weights that are not of this policy."""
    try:
        Policy(PolicySpec.from_json(spec)).load_state_dict(_tensors(file))
    except (KeyError, TypeError, ValueError, RuntimeError, AmbientPolicyError) as error:
        raise _damaged(file, f"{error}") from error


def _tensors(file: Path) -> dict[str, Any]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise _damaged(file, f"{error}") from error


def _read(file: Path) -> Record:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(file, f"{error}") from error
    return record if isinstance(record, dict) else {}


def _damaged(file: Path, problem: str) -> CheckpointError:
    return CheckpointError(
        f"{file} cannot be migrated: {problem}. It is as it was; what was migrated before it is "
        "done. Fetch it again, or take its folder away, and start again."
    )
