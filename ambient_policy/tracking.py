"""Where a run's numbers go: JSON lines always, wandb when asked, the same numbers in both."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ambient_policy.errors import CheckpointError
from ambient_policy.settings import RunSettings, WandbMode, to_json


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; a last line cut short by a kill is left out."""
    rows = []
    for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
        if line.endswith("\n"):
            rows.append(json.loads(line))
    return rows


def write_atomically(path: Path, text: str) -> None:
    """Replace a text file whole: a kill leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.partial")
    with _told_if_full(path):
        temporary.write_text(text)
        os.replace(temporary, path)


@contextmanager
def _told_if_full(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written: {error}. Checkpoints are untouched; free disk space "
            "there and start again: the run resumes from the last one."
        ) from error


class Tracker:
    """Appends rows to ``folder/log.jsonl`` and to wandb.

    A resumed run first drops the rows beyond the step it resumes from, so that the file reads like
    that of an unbroken run.
    """

    def __init__(self, folder: Path, settings: RunSettings, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = path = folder / "log.jsonl"
        kept = [row for row in read_rows(path) if row["step"] <= step]
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = path.open("a")
        self._wandb = _start_wandb(folder, settings)

    def write(self, row: dict[str, Any]) -> None:
        """Tell one row, which has a "step"."""
        with _told_if_full(self._path):
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        if self._wandb is not None:
            self._wandb.log(row, step=row["step"])

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # what a full disk did not take has been told by write
            self._file.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if error is None else 1)


def _start_wandb(folder: Path, settings: RunSettings) -> Any:
    if settings.tracking.wandb is WandbMode.disabled:
        return None
    import wandb  # slow to import, and most runs do not want it

    name = f"{settings.experiment}-{settings.label}-{settings.seed}"
    return wandb.init(
        project=settings.tracking.project,
        name=name,
        dir=str(folder),
        mode=settings.tracking.wandb.value,
        config=to_json(settings),
    )
