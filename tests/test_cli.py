"""The command: its help, its errors, its exit status."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ambient_policy import cli
from ambient_policy.workflows import VERBS, is_composed
from ambient_policy.workflows.schema import keys

SCRIPTS = sorted((Path(__file__).resolve().parent.parent / "scripts").glob("*.py"))


def test_help_lists_the_verbs_and_imports_no_torch() -> None:
    code = "import sys; from ambient_policy.cli import main; main(['-h'])"
    code = f"{code}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert [verb for verb in VERBS if f"\n  {verb}" not in done.stdout] == []
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_names_every_key(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: ambient-policy {verb} ")
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert [key.name for key in keys(verb) if key.kind and f"{key.name}=" not in text] == []


def test_help_says_type_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "-h"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "training.steps=10000 whole number optimiser steps" in words
    assert "solver.kind=ddim one of these ddim: deterministic, first order ddpm:" in words
    assert "sources.<name>.path='' text folder (or .zarr.zip" in words
    assert "arm=" in words and "ambient_locality" in words


@pytest.mark.parametrize("verb", [v for v in VERBS if v == "sweep" or is_composed(v)])
def test_the_keys_read_from_source_are_those_of_the_settings(verb: str) -> None:
    from dataclasses import fields

    from ambient_policy.workflows import settings_of

    top = [key.name for key in keys(verb) if not {".", "["} & {*key.name}]
    assert top == [field.name for field in fields(settings_of(verb))]


def test_no_verb_is_help_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "usage: ambient-policy VERB" in capsys.readouterr().out


def test_an_unknown_verb_is_one_line_that_names_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["trian", "experiment=maze"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: unknown verb 'trian'") and "Did you mean 'train'?" in line


def test_an_unknown_option_is_answered_with_the_syntax(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--steps", "100"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--steps" in line and "key=value, as in training.steps=100" in line


def test_brackets_in_a_message_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a [bold]b[/bold] [1].zarr"
    assert cli.main(["plot", f"path='{path}'", "out=x.png"]) == 1
    assert str(path) in capsys.readouterr().err


def test_an_interruption_is_one_line_and_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(verb: str, overrides: list[str]) -> None:
        error = KeyboardInterrupt()
        if verb == "train":
            error.add_note("The last checkpoint is of step 4.")
        raise error

    monkeypatch.setattr(cli, "perform", interrupt)
    assert cli.main(["train", "experiment=maze"]) == 130
    assert capsys.readouterr().err == (
        "interrupted. The last checkpoint is of step 4. "
        "To go on: ambient-policy train experiment=maze\n"
    )
    assert cli.main(["plot", "path=x"]) == 130
    assert capsys.readouterr().err == "interrupted.\n"


def test_a_termination_is_an_interruption_of_status_143(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "perform", lambda *_: signal.raise_signal(signal.SIGTERM))
    assert cli.main(["train", "label=a b"]) == 143
    assert capsys.readouterr().err == "interrupted. To go on: ambient-policy train 'label=a b'\n"
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "train: [Errno 28] No space left on device."),
        (MemoryError(), "train: there is too little memory."),
    ],
)
def test_what_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    reason: str,
) -> None:
    def refuse(verb: str, overrides: list[str]) -> None:
        raise error

    monkeypatch.setattr(cli, "perform", refuse)
    assert cli.main(["train", "experiment=maze"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {reason}") and "start the same command again" in line


def test_the_composed_config_is_printed_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "experiment=maze", "training.steps=7", "--cfg"]) == 0
    text = capsys.readouterr().out
    assert "experiment: maze\n" in text and "  steps: 7\n" in text
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_prints_the_config_of_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "experiment=maze", "seed=3,4", "jobs.workers=2", "--cfg"]) == 0
    documents = capsys.readouterr().out.split("---\n")
    assert ["\nseed: 3\n" in documents[0], "\nseed: 4\n" in documents[1]] == [True, True]


def test_a_verb_without_settings_has_no_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["configs", "--cfg"]) == 1
    assert "configs has no config" in capsys.readouterr().err


def test_help_says_the_default_that_a_verb_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["convert", "--help"]) == 0
    assert "  jobs.workers=1 " in capsys.readouterr().out
    assert cli.main(["compare", "--help"]) == 0
    assert "  jobs.workers=null " in capsys.readouterr().out


def test_own_configs_stand_in_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ambient_policy.workflows.configs import OWN

    monkeypatch.setenv(OWN, "")  # given back afterwards
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "mine.yaml").write_text("# a short one\nsteps: 7\n")
    words = ["train", "experiment=maze", "training=mine", "--cfg", "--config-dir", str(tmp_path)]
    assert cli.main(words) == 0
    assert "  steps: 7\n" in capsys.readouterr().out
    assert cli.main(["configs", "training", f"--config-dir={tmp_path}"]) == 0
    assert "  mine                  a short one\n" in capsys.readouterr().out
    assert cli.main(["configs", "--config-dir", str(tmp_path / "none")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_configs_lists_groups_and_their_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["configs"]) == 0
    text = capsys.readouterr().out
    assert "experiment=\n" in text and "\n  maze  " in text
    assert cli.main(["configs", "arms"]) == 1
    assert "Did you mean 'arm'?" in capsys.readouterr().err


def test_scripts_are_the_command_and_shadow_no_installed_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is an installed package ``evaluate``: the scripts' folder must leave the path."""
    folder = str(SCRIPTS[0].parent)
    assert {path.stem for path in SCRIPTS} <= {*VERBS}
    assert {len(path.read_text().splitlines()) for path in SCRIPTS} == {5}
    for path in SCRIPTS:
        monkeypatch.setattr(sys, "path", [folder, *sys.path])
        monkeypatch.setattr(sys, "argv", [str(path), "--help"])
        with pytest.raises(SystemExit) as stop:
            cli.script(str(path))
        assert stop.value.code == 0 and folder not in sys.path
        assert f"usage: ambient-policy {path.stem} " in capsys.readouterr().out
