"""A verb of the command as a process of its own, with its memory.

Memory is the most of the whole process that ever was resident, with pages of mapped files (VmHWM of
Linux).
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ambient_policy.errors import SettingsError

PERIOD = 0.02  # between two looks at the process [s]


def watch(verb: str, overrides: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run ``ambient-policy VERB key=value ...`` and return its memory [MB] and duration [s].

    Args:
        verb: the verb.
        overrides: its settings, key=value each.
        folder: where its caches and its output lie.

    Raises:
        SettingsError: if the command fails, with its output.
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    start, most = time.perf_counter(), 0.0
    with (folder / "output").open("w+") as output:
        arguments = ["-m", "ambient_policy", verb, *overrides]
        child = subprocess.Popen(
            [sys.executable, *arguments], stdout=output, stderr=output, env=environment
        )
        while child.poll() is None:
            most = max(most, most_resident(child.pid))
            time.sleep(PERIOD)
        if child.returncode != 0:
            output.seek(0)
            command = " ".join(["ambient-policy", verb, *overrides])
            raise SettingsError(f"{command} failed: {output.read()}")
    return most, time.perf_counter() - start


def most_resident(process: int) -> float:
    """Return the most of a process that ever was resident [MB]; 0 if the process is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    line = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(line[1]) * 1024 / 1e6 if line else 0.0
