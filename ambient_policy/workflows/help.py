"""What ``--help`` prints, in 80 columns."""

import textwrap
from collections.abc import Iterator

from ambient_policy.workflows import VERBS
from ambient_policy.workflows.configs import choices, chosen, examples
from ambient_policy.workflows.schema import Key, docstring, keys

WIDTH = 80
OPTIONS = {
    "-h, --help": "this; after a verb: its keys",
    "--cfg": "print the composed config of a verb as YAML, and run nothing",
    "--config-dir DIR": "a folder of configs of your own, in front of ours",
    "--version": "which version this is",
}
ABOUT = """\
usage: ambient-policy VERB [key=value ...] [group=choice ...]

Trains diffusion policies from good and bad robot demonstrations.
"""
# verbs that are typed on, not composed
SYNTAX = """\
<name> is a name of yours, with any keys below it: sources.mine.path=mine.zarr,
or 'sources.mine={path: mine.zarr}'. Lists are 'key=[a,b]'. Values that
hold = ( ) [ ] { } , : ~ stand in quotes inside those of the shell:
'instruction="push it (now)"'. Relative paths start where you stand.
"""


def print_help() -> None:
    """List the verbs and options."""
    print(ABOUT)
    rows = {verb: docstring(verb).split("\n")[0].rstrip(".") for verb in VERBS}
    print("\n".join(["verbs", *_table(rows), "", "options", *_table(OPTIONS)]))
    print("\nambient-policy VERB --help lists every key of a verb.")


def print_verb_help(verb: str) -> None:
    """List every key of a verb's settings and every choice of its configs."""
    entries = keys(verb)
    ending = "key=value ... group=choice ..." if entries else "..."
    print(f"usage: ambient-policy {verb} {ending}\n\n{_reflow(docstring(verb))}\n")
    if not entries:
        return
    if commands := examples(verb):
        print("\n".join(["examples", *map(_command, commands), ""]))
    if groups := chosen(verb):
        print("groups (--config-dir adds your own; null: none is chosen)")
        print("\n".join([*_groups(groups), ""]))
    print("keys with their defaults; configs change them, --cfg shows the result")
    print("\n".join(_keys(entries)))
    print(f"\n{SYNTAX}", end="")


def _table(rows: dict[str, str]) -> Iterator[str]:
    wide = max(map(len, rows)) + 2
    for name, text in rows.items():
        yield from _wrap(text, f"  {name:<{wide}}", " " * (wide + 2))


def _groups(groups: dict[str, str | None]) -> Iterator[str]:
    for group, default in groups.items():
        yield f"  {group}={default or 'null'}"
        names = list(choices(group))
        yield from _wrap(", ".join(names), " " * 6, " " * 6)


def _keys(entries: list[Key]) -> Iterator[str]:
    """Keys that share a comment stand together, the comment below them."""
    for i, key in enumerate(entries):
        if not key.kind and not key.default:
            yield from _wrap(key.meaning, f"\n  {key.name}.*  ", " " * 6)
            continue
        yield f"  {key.name}={key.default or '...'}".ljust(44) + f"  {key.kind or 'objects'}"
        for word, text in key.words.items():
            yield from _wrap(text, f"        {word}{': ' if text else ''}", " " * 10)
        last = i + 1 == len(entries) or not entries[i + 1].shared
        if last and key.meaning:
            yield from _wrap(key.meaning, " " * 6, " " * 6)


def _command(text: str) -> str:
    """A command, over several lines where it is long."""
    lines = textwrap.wrap(text, WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    return "  " + " \\\n      ".join(lines)


def _wrap(text: str, first: str, rest: str) -> list[str]:
    lines = textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)
    return lines or [first.rstrip()]


def _reflow(text: str) -> str:
    formal = ("Args", "Raises", "Returns")
    blocks = [block for block in text.split("\n\n") if not block.startswith(formal)]
    return "\n\n".join(
        block if block.startswith(" ") else textwrap.fill(" ".join(block.split()), WIDTH)
        for block in blocks
    )
