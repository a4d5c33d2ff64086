"""What somebody may do to files that others open: every attack is a function of its number."""

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VALUES: list[Any] = [
    *[None, True, -1, 0, 1, 10**9, 10**18, 10**4000, 1e308, float("nan")],
    *["", "x", "\x1b[31m", "O", "<U9", "|V100000000", "é" * 100],
    *[[], [1], [[]], [10**9], [None] * 3, {}, {"a": 1}],
]
KINDS = ("bytes", "cut", "empty", "gone", "folder", "pipe", "device", "link", "loop", "zeros")
HUGE = 20 * 2**30  # of a file of zeros, which takes no place on the disk [bytes]


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    if not isinstance(value, dict | list):
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*place, key)
        yield from places(item, (*place, key))


def change_json(record: Any, chance: random.Random) -> str:
    """Replace or remove something in a JSON value, in place; what was done."""
    place = chance.choice(list(places(record)))
    owner = record
    for key in place[:-1]:
        owner = owner[key]
    if chance.random() < 0.2:
        del owner[place[-1]]
        return f"without {place}"
    owner[place[-1]] = value = chance.choice(VALUES)
    return f"{place} = {f'{value!r:.30}' if value != 10**4000 else 'very large'}"


def write_json(file: Path, record: Any) -> None:
    """Also numbers of thousands of digits."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    file.write_text(json.dumps(record))
    sys.set_int_max_str_digits(limit)


def change_file(file: Path, kind: str, chance: random.Random) -> None:
    """Put something else in a file's place."""
    data = bytearray(file.read_bytes())
    if kind == "bytes":
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif kind == "cut":
        data = data[: chance.randrange(len(data))]
    file.unlink()
    if kind in ("bytes", "cut", "empty"):
        file.write_bytes(b"" if kind == "empty" else data)
    elif kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "zeros":
        file.touch()
        os.truncate(file, HUGE)
    elif kind != "gone":
        targets = {"device": "/dev/zero", "link": "/etc/passwd", "loop": file.name}
        file.symlink_to(targets[kind])
