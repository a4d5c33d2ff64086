"""The command ``ambient-policy VERB key=value ...``."""

import os
import shlex
import signal
import sys
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ambient_policy.errors import AmbientPolicyError, SettingsError
from ambient_policy.workflows import CONTINUED, check_verb, function_of, is_composed
from ambient_policy.workflows.configs import add_own

PATIENCE = 10.0  # of SIGTERM with a command that does not end [s]


def perform(verb: str, overrides: Sequence[str]) -> Any:
    """Compose a verb's settings and do its work; what is refused is raised."""
    from ambient_policy.workflows.settings import compose

    function = function_of(verb)
    return function(compose(verb, overrides) if is_composed(verb) else overrides)


class Terminated(KeyboardInterrupt):
    """The system asks this process to end (SIGTERM), as Ctrl-C does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 1 for what is refused, in one red line; 130 or 143 if it is stopped."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with _terminations():
            return _answer(parse(typed))
    except AmbientPolicyError as error:
        _say(str(error), "error: ")
        return 1
    except KeyboardInterrupt as error:
        words = ["interrupted.", *getattr(error, "__notes__", ())]
        if {*typed[:1]} & CONTINUED:
            words.append(f"To go on: ambient-policy {shlex.join(typed)}")
        _say(" ".join(words))
        return 143 if isinstance(error, Terminated) else 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        _say(_system_words(error, typed), "error: ")
        return 1


@contextmanager
def _terminations() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does: what it opened is closed, what it started ends."""
    patience = threading.Timer(PATIENCE, os._exit, (143,))  # a library may not let go
    patience.daemon = True

    def end(number: int, frame: object) -> None:
        if not patience.is_alive():
            patience.start()
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        patience.cancel()
        signal.signal(signal.SIGTERM, before)


def _system_words(error: OSError | MemoryError, typed: Sequence[str]) -> str:
    """What to do about a full disk, a file that may not be read, too little memory."""
    reason = "there is too little memory" if isinstance(error, MemoryError) else f"{error}"
    verb = typed[0] if typed else "ambient-policy"
    return (
        f"{verb}: {reason}. Files that are finished are whole; mend that and start the same "
        "command again."
    )


def script(file: str) -> None:
    """Run the command that a file scripts/VERB.py is named after, and exit.

    The folder of scripts leaves Python's path: its files are named like packages that exist.
    """
    folder = Path(file).resolve().parent
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != folder]
    sys.exit(main([Path(file).stem, *sys.argv[1:]]))


class Parser(ArgumentParser):
    """Refuses as everything else here does."""

    def error(self, message: str) -> NoReturn:
        """Argparse calls this."""
        raise SettingsError(
            f"{message}. Settings are key=value, as in training.steps=100; ambient-policy VERB "
            "--help lists them, ambient-policy --help the options."
        )


def parse(typed: Sequence[str]) -> Namespace:
    """The words (a verb and its overrides) and options of a command line."""
    parser = Parser("ambient-policy", add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--cfg", "--print", action="store_true")
    parser.add_argument("--config-dir", metavar="DIR")
    return parser.parse_intermixed_args(typed)


def _answer(line: Namespace) -> int:
    """Do what the command line says."""
    from ambient_policy.workflows.help import print_help, print_verb_help

    if line.config_dir is not None:
        add_own(line.config_dir)
    if line.version:
        print(f"ambient-policy {_version()}")
    elif not line.words:
        print_help()
        return 0 if line.help else 2
    else:
        verb, *overrides = line.words
        check_verb(verb)
        if line.help:
            print_verb_help(verb)
        elif line.cfg:
            _print_config(verb, overrides)
        else:
            perform(verb, overrides)
    return 0


def _version() -> str:
    from importlib.metadata import version

    return version("ambient-policy")


def _print_config(verb: str, overrides: Sequence[str]) -> None:
    """The settings as YAML; of a sweep a document for each run."""
    from ambient_policy.workflows.settings import combinations, compose_yaml

    points = [overrides] if is_composed(verb) else combinations(overrides)
    print("---\n".join(compose_yaml(verb, point) for point in points), end="")


def _say(text: str, red: str = "") -> None:
    """One line on stderr; under torchrun the first process says it."""
    from rich.text import Text

    from ambient_policy.terminal import Screen, visible

    if os.environ.get("RANK", "0") == "0":
        line = Text.assemble((red, "bold red"), visible(text))
        Screen(stderr=True, soft_wrap=True).print(line)
