"""Completion in the shell, by the shells themselves."""

import os
import select
import shutil
import subprocess
import sys
import time
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


LINES = [
    ("ambient-policy ev", "evaluate "),
    ("ambient-policy train arm=ambient_l", "arm=ambient_locality "),
    ("ambient-policy train training.ste", "training.steps="),
]


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that has the command."""
    command = tmp_path / "ambient-policy"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ambient_policy "$@"\n')
    command.chmod(0o755)
    places = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": places, "HOME": str(tmp_path), "TERM": "dumb"}


def find_shell(name: str) -> str:
    """Its path; the test is skipped where it is not."""
    shell = shutil.which(name)
    return shell or pytest.skip(f"{name} is not installed here")


def answer(place: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=place, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_bash_completes(place: dict[str, str], line: str, expected: str) -> None:
    word = expected.replace("arm=", "")  # bash takes = for the end of a word
    assert answer(place, find_shell("bash"), "-c", ASK, "bash", line) == f"<{word}>"


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_fish_completes(place: dict[str, str], line: str, expected: str) -> None:
    ask = "ambient-policy completion fish | source; complete -C $argv[1]"  # it adds spaces itself
    assert answer(place, find_shell("fish"), "-N", "-c", ask, line) == f"{expected.strip()}\n"


@pytest.mark.slow
@pytest.mark.parametrize(("line", "expected"), LINES)
def test_zsh_completes(place: dict[str, str], line: str, expected: str) -> None:
    """A person types a line and the tabulator into zsh on a terminal."""
    zsh, (keyboard, terminal) = find_shell("zsh"), os.openpty()
    begin = """eval "$(ambient-policy completion zsh)"; echo g''o"""
    with subprocess.Popen(
        [zsh, "-f", "-i"],
        env=place,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as shell:
        try:
            os.write(keyboard, f"{begin}\n".encode())
            read_until(keyboard, "go\r\n")
            os.write(keyboard, f"{line}\t".encode())
            read_until(keyboard, f"{line.rpartition(' ')[0]} {expected}")
        finally:
            shell.kill()
    os.close(keyboard)
    os.close(terminal)


def read_until(terminal: int, words: str) -> None:
    """Read what is shown until the words are, for at most 20 s."""
    shown, end = "", time.monotonic() + 20
    while words not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert ready, f"{words!r} is not in {shown!r}"
        shown += os.read(terminal, 4096).decode(errors="replace")


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
