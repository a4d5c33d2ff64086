"""Completion in the shell, bash's by bash itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ambient_policy.cli import main
from ambient_policy.workflows.completion import candidates
from ambient_policy.workflows.configs import OWN

ASK = """
eval "$(ambient-policy completion bash)"
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}
_ambient_policy
printf '<%s>' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ambient-policy tr", ["train "]),
        ("ambient-policy train arm=ambient", ["arm=ambient ", "arm=ambient_locality "]),
        ("ambient-policy train solver.", ["solver.kind=", "solver.steps=", "solver.spacing="]),
        ("ambient-policy train x=1 solver.kind=dd", ["solver.kind=ddim ", "solver.kind=ddpm "]),
        ("ambient-policy train trai", ["training=", "training."]),
        ("ambient-policy --c", ["--cfg ", "--config-dir "]),
        ("ambient-policy configs ar", ["arm "]),
        ("ambient-policy completion z", ["zsh "]),
        ("ambient-policy tarin ", []),
        ("ambient-policy train 'half", []),
    ],
)
def test_a_line_goes_on(line: str, expected: list[str]) -> None:
    assert candidates(line) == expected


def test_choices_of_the_users_own_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OWN, "")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("")
    line = f"ambient-policy train --config-dir {tmp_path} experiment=mi"
    assert candidates(line) == ["experiment=mine ", "experiment=mixture "]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ambient-policy ev", "<evaluate >"),
        ("ambient-policy train arm=ambient_", "<ambient_locality >"),
        ("ambient-policy train training.ste", "<training.steps=>"),
    ],
)
def test_bash_completes(tmp_path: Path, line: str, expected: str) -> None:
    command = tmp_path / "ambient-policy"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ambient_policy "$@"\n')
    command.chmod(0o755)
    bash, places = shutil.which("bash"), f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert bash is not None
    done = subprocess.run(
        [bash, "-c", ASK, "bash", line],
        env={**os.environ, "PATH": places},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "ambient-policy completion words" in capsys.readouterr().out


def test_without_a_shell_it_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion"]) == 1
    words = capsys.readouterr().err
    assert "name your shell, bash, zsh, fish" in words
    assert "ambient-policy completion bash >> ~/.bashrc" in words


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "csh"]) == 1
    assert "known: bash, fish, zsh" in capsys.readouterr().err
