"""Lists of names for a terminal."""

import textwrap
from collections.abc import Sequence

WIDTH = 80


def list_line(title: str, items: Sequence[str]) -> str:
    """ "title: item, item", on one line or several of at most ``WIDTH`` characters."""
    text = f"{title}: {', '.join(items)}"
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False)
