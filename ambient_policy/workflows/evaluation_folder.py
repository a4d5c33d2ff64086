"""The folder of an evaluation: its summary, episodes and motions, which belong together.

The summary says what decides the episodes; it is written last and removed first.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.records import EpisodeRecord, read_episodes
from ambient_policy.workflows.film import VIDEOS

SUMMARY, EPISODES, MOTIONS = "evaluation.json", "episodes.jsonl", "motions.npz"
FILES = (SUMMARY, EPISODES, MOTIONS, VIDEOS)


def check_folder(folder: Path) -> None:
    """Refuse to write an evaluation among files of another kind.

    Raises:
        SettingsError: naming one of them.
    """
    strange = sorted(
        file.name
        for file in (folder.iterdir() if folder.exists() else ())
        if file.name not in FILES and not file.name.startswith(".")
    )
    if strange:
        raise SettingsError(
            f"out = {folder} holds {strange[0]}, which is of no evaluation; name a folder that is "
            "new, or was written by an evaluation."
        )


def read_stored(folder: Path, summary: dict[str, Any]) -> list[EpisodeRecord] | None:
    """The episodes that a summary speaks of, out of a record that may hold more; None without."""
    record = _summary_of(folder)
    if record is None or {**record, **_starts(summary)} != summary:
        return None
    seeds, held = _seeds(summary), _seeds(record)
    if not (held.start <= seeds.start and seeds.stop <= held.stop):
        return None
    return [episode for episode in read_episodes(folder / EPISODES) if episode.seed in seeds]


def _summary_of(folder: Path) -> dict[str, Any] | None:
    path = folder / SUMMARY
    record: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return record


def _starts(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: summary[key] for key in ("first_seed", "episodes")}


def _seeds(summary: dict[str, Any]) -> range:
    """The episode seeds of an evaluation."""
    return range(summary["first_seed"], summary["first_seed"] + summary["episodes"])


def refuse_loss(folder: Path, summary: dict[str, Any]) -> None:
    """Refuse to put few episodes in the place of many others.

    Raises:
        SettingsError: naming what differs and what to do.
    """
    record = _summary_of(folder) or {}
    if record.get("episodes", 0) <= summary["episodes"]:
        return
    differing = ", ".join(
        f"{key} = {record.get(key)} there and {value} here"
        for key, value in summary.items()
        if record.get(key) != value
    )
    raise SettingsError(
        f"{folder} holds an evaluation of {record['episodes']} episodes, and {summary['episodes']} "
        f"others would take its place ({differing}). Give these another folder (ambient-policy "
        f"evaluate out=...), or delete that one."
    )


def clear(folder: Path, console: Console) -> None:
    """Remove what an earlier evaluation says of files that are about to be replaced."""
    summary = folder / SUMMARY
    if summary.exists():
        console.print(f"replacing {summary}: {summary.read_text()}")
        summary.unlink()
        shutil.rmtree(folder / VIDEOS, ignore_errors=True)
