"""Somebody else who is at work on a file or folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from ambient_policy.files import hold


@contextmanager
def held_elsewhere(path: Path) -> Iterator[None]:
    """Another thread holds a path until the block is left."""
    ready, done = Event(), Event()

    def work() -> None:
        with hold(path):
            ready.set()
            done.wait()

    thread = Thread(target=work)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()
