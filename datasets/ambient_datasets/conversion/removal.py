"""Folders that go at once, as far as their names tell, though their files go one by one."""

import glob
import shutil
import uuid
from pathlib import Path

GONE = ".gone"  # ends the name of a folder that is being removed


def discard(folder: Path) -> None:
    """Remove a folder; a kill leaves no half of it under its name, but perhaps one that is swept.

    Whatever refuses to go (a file that another process holds open, say) is left to ``sweep`` too.
    """
    if folder.suffix != GONE:
        folder = folder.rename(folder.with_name(f"{folder.name}.{uuid.uuid4().hex}{GONE}"))
    shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what is left of a folder that was discarded."""
    for gone in folder.parent.glob(f"{glob.escape(folder.name)}.*{GONE}"):
        shutil.rmtree(gone, ignore_errors=True)
