"""Lists of names for a terminal."""

import textwrap
from collections.abc import Sequence

WIDTH = 80
GLUE = "\u00a0"  # a space at which textwrap does not break a line


def list_line(title: str, items: Sequence[str]) -> str:
    """ "title: item, item", on one line or several of at most ``WIDTH`` characters.

    No line breaks within an item, unless it is longer than a line.
    """
    glued = ", ".join(item.replace(" ", GLUE) for item in items)
    text = textwrap.fill(f"{title}: {glued}", WIDTH, subsequent_indent="  ", break_long_words=False)
    return text.replace(GLUE, " ")
