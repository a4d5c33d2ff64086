"""Tables on a terminal: nothing is cut, whatever the width."""

import io
import re

import pytest
from rich.console import Console

from ambient_policy.terminal import print_table

HEADER = ["arm", "success\n[%]", "squared jerk", "a long title of a column", "last"]
ROWS = [
    ["ambient", "83.3\n[64.1, 93.3]", "1234567", "1", "a"],
    ["all_the_others [bold]", "41.0\n[1.0, 2.0]", "7654321", "22", "b"],
]


def shown(width: int, total: bool = False) -> str:
    text = io.StringIO()
    print_table(Console(file=text, width=width), HEADER, ROWS, total=total)
    return text.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_cell_is_cut_and_no_line_is_too_long(width: int) -> None:
    text = shown(width)
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    words = {word for row in [HEADER, *ROWS] for cell in row for word in cell.split()}
    assert [word for word in words if word not in text] == []


def test_columns_that_do_not_fit_go_below_and_repeat_the_first() -> None:
    assert shown(200).count("ambient") == 1
    assert shown(60).count("ambient") == 2
    assert shown(40).count("all_the_others") == 4


def test_a_word_wider_than_the_terminal_is_folded() -> None:
    text = shown(12)
    assert "…" not in text and max(map(len, text.splitlines())) <= 12


def test_the_total_stands_apart() -> None:
    empty = [
        sum(not line.strip() for line in shown(200, bool(total)).splitlines()) for total in (0, 1)
    ]
    assert empty[1] == empty[0] + 1


def test_words_stand_on_the_left_and_numbers_on_the_right() -> None:
    text = shown(200)
    assert re.search(r" 22 +b", text) and re.search(r"  1 +a", text)
