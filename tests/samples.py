"""Parameters of long tests: a few for `make test`, all of them for `make validate`."""

import random
from collections.abc import Iterable
from typing import Any

import pytest


def few(values: Iterable[Any], quick: int) -> list[Any]:
    """Values of a parameter; all but the first and some drawn from the others are marked slow."""
    rows = list(values)
    chosen = {0, *random.Random(0).sample(range(1, len(rows)), quick - 1)}
    return [
        row
        if place in chosen
        else pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.slow)
        for place, row in enumerate(rows)
    ]
