"""The progress bar: what it shows, and when it is silent."""

import io

from rich.console import Console

from ambient_policy.progress import progress


def shown(quiet: bool = False, terminal: bool = False) -> str:
    """The text a bar of 7 pieces leaves on an 80-column console."""
    text = io.StringIO()
    console = Console(file=text, width=80, quiet=quiet, force_terminal=terminal)
    with progress("train [a/b]", total=7, done=2, console=console) as bar:
        bar.advance()
        bar.advance(2)
        bar.update(6, title="train [c/d]")
    return text.getvalue()


def test_a_bar_shows_its_title_and_its_count_in_plain_text() -> None:
    assert "train [c/d]" in shown()
    assert "6/7" in shown()


def test_a_terminal_sees_the_bar_move() -> None:
    assert "train [c/d]" in shown(terminal=True)


def test_an_update_without_a_title_keeps_the_title() -> None:
    text = io.StringIO()
    with progress("annotate", total=3, console=Console(file=text, width=80)) as bar:
        bar.update(3)
    assert "annotate" in text.getvalue()
    assert "3/3" in text.getvalue()


def test_a_quiet_console_shows_nothing() -> None:
    assert shown(quiet=True) == ""
    assert shown(quiet=True, terminal=True) == ""
