"""The page "Your robot in 15 minutes": all of its blocks, one after the other, as a user would."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflows.tiny import TINY

PAGE = Path(__file__).resolve().parent.parent / "docs" / "your_robot.md"
# what a test has no time for
SHORTER = ["training.validation={every: 2, windows: 8, bands: [0.5]}", *TINY]


def lines_of(block: str) -> str:
    """The lines of a shell block as calls of the command."""
    commands = [shlex.split(line) for line in block.splitlines() if line.startswith("ambient-")]
    calls = []
    for _, verb, *words in commands:
        shorter = SHORTER if verb == "train" else []
        calls.append(f"assert main({[verb, *words, *shorter]}) == 0")
    return "\n".join(["from ambient_policy.cli import main", *calls])


@pytest.mark.slow
def test_the_page_runs_from_recordings_to_a_robot_that_acts(tmp_path: Path) -> None:
    blocks = re.findall(r"```(python|bash)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code = [text if kind == "python" else lines_of(text) for kind, text in blocks]
    script = tmp_path / "page.py"
    script.write_text("\n".join(code))
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "held-out loss [" in done.stdout and "a plan took" in done.stdout
    for path in ("good.png", "jerky.png", "configs/experiment/mine.yaml", "policies/mine"):
        assert (tmp_path / path).exists()
