"""The progress bar of everything that takes a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from ambient_policy.terminal import Screen, visible


class Bar:
    """One line of a progress display: a title, a bar, a count and the time left."""

    def __init__(self, display: Progress, task: TaskID) -> None:
        self._display = display
        self._task = task

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more as done."""
        self._display.advance(self._task, count)

    def update(self, done: int, title: str | None = None) -> None:
        """Set how many are done, and the title unless it is None."""
        self._display.update(
            self._task, completed=done, description=None if title is None else visible(title)
        )


@contextmanager
def progress(
    title: str, total: int, done: int = 0, console: Console | None = None
) -> Iterator[Bar]:
    """Show a progress bar while the block runs.

    Args:
        title: what the work is called, in plain text.
        total: number of pieces of work.
        done: number of pieces that were done before the block.
        console: where the bar appears; a quiet console shows none. None is the standard error.
    """
    console = Screen(stderr=True) if console is None else console
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=console.quiet
    ) as display:
        yield Bar(display, display.add_task(visible(title), total=total, completed=done))
