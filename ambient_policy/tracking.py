"""The log of a run: JSON lines always, wandb if the settings say so, the same numbers in both."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ambient_policy.files import disk_errors, write_text
from ambient_policy.settings import RunSettings, WandbMode, to_json


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a JSON-lines file, without a last line that a kill cut short."""
    rows = []
    for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
        if line.endswith("\n"):
            rows.append(json.loads(line))
    return rows


class Tracker:
    """Append rows to ``folder/log.jsonl`` and to wandb.

    A resumed run first drops the rows after its step, so that the file reads like that of an
    unbroken run.
    """

    def __init__(self, folder: Path, settings: RunSettings, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = path = folder / "log.jsonl"
        rows = [row for row in read_rows(path) if row["step"] <= step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
        self._file = path.open("a")
        self._wandb = _start_wandb(folder, settings)

    def write(self, row: dict[str, Any]) -> None:
        """Write one row, which has a "step"."""
        with disk_errors(self._path):
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
        with suppress(OSError):  # write has raised what a full disk did not take
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
        id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],
        resume="allow",  # a resumed training goes on with the same curve
        dir=str(folder),
        mode=settings.tracking.wandb.value,
        config=to_json(settings),
    )
