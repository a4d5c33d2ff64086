"""Thresholds into a store: from a table, or refused before anything is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import annotate
from ambient_datasets.store import open_store
from ambient_policy.errors import SettingsError


@pytest.fixture
def asked(maze: list[str]) -> list[str]:
    return [*(o for o in maze if ".path=" in o), "source=trusted"]


def test_a_table_has_a_line_for_each_episode(asked: list[str], tmp_path: Path) -> None:
    table = tmp_path / "thresholds.csv"
    table.write_text("0,inf\n0.3,0\n0.5,0.1\n")
    annotate.main([*asked, f"table={table}"])
    annotation: Any = open_store(tmp_path / "trusted.zarr").annotation
    np.testing.assert_array_equal(annotation.sigma_min, [0, 0.3, 0.5])
    np.testing.assert_array_equal(annotation.sigma_max, [np.inf, 0, 0.1])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ([], "sigma_min = None, sigma_max = None, table = None: give both"),
        (["sigma_min=0.3"], "sigma_min = 0.3, sigma_max = None, table = None: give both"),
        (["sigma_min=0.3", "table=t.csv"], "table = t.csv: give both.*not a part of each"),
        (["sigma_min=0", "sigma_max=0", "table=t.csv"], "table = t.csv: give both"),
        (["table=nowhere.csv"], "table = nowhere.csv cannot be read.*Write one line"),
        (["table={short}"], r"has shape \(2, 2\), but the store of 'trusted' has 3 episodes"),
        (["table={words}"], "words.csv cannot be read"),
        (["source=trustd"], "'trustd'.*trusted"),
    ],
)
def test_what_is_not_understood_is_refused(
    asked: list[str],
    snapshot: Callable[[], dict[str, bytes]],
    tmp_path: Path,
    changes: list[str],
    text: str,
) -> None:
    files = {name: tmp_path / f"{name}.csv" for name in ("short", "words")}
    files["short"].write_text("0,0\n0,0\n")
    files["words"].write_text("low,high\n")
    before = snapshot()
    with pytest.raises(SettingsError, match=text):
        annotate.main([*asked, *(change.format(**files) for change in changes)])
    assert snapshot() == before
