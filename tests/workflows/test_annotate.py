"""Thresholds into a store: from a table, or refused before anything is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.store import open_store
from ambient_policy.cli import perform
from ambient_policy.errors import SettingsError
from ambient_policy.workflows import preparation as assemble
from ambient_policy.workflows import settings as compose
from tests.workflows.tiny import TINY


@pytest.fixture
def asked(maze: list[str]) -> list[str]:
    return ["data=maze", *(o for o in maze if ".path=" in o), "source=trusted"]


def test_a_table_has_a_line_for_each_episode(asked: list[str], tmp_path: Path) -> None:
    table = tmp_path / "thresholds.csv"
    table.write_text("0,.inf\n0.3,0\n0.5,0.1\n")
    perform("annotate", [*asked, f"table={table}"])
    annotation: Any = open_store(tmp_path / "trusted.zarr").annotation
    np.testing.assert_array_equal(annotation.sigma_min, [0, 0.3, 0.5])
    np.testing.assert_array_equal(annotation.sigma_max, [np.inf, 0, 0.1])


LISTED = """# @package _global_
mixture:
  - {path: ROOT/suboptimal.zarr, trust: suboptimal, sigma_min: "${tuned.sigma_min}", sigma_max: 0}
  - {name: good, path: ROOT/trusted.zarr, trust: trusted}
dimensions: union
tables: disk
normalizer: {kind: range, statistics: source}
language: {kind: one_hot}
task: {instruction: go there}
cameras: []
"""


def test_a_mixture_is_annotated_as_training_normalises_it(
    maze: list[str],
    tmp_path: Path,
    own_configs: Callable[[str, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    own_configs("data/listed.yaml", LISTED.replace("ROOT", str(tmp_path)))
    perform("annotate", ["data=listed", "source=suboptimal", "sigma_min=0.3", "sigma_max=0"])
    assert "where the source is suboptimal and says" in " ".join(capsys.readouterr().out.split())
    annotated = LISTED.replace(', sigma_min: "${tuned.sigma_min}", sigma_max: 0', "")
    untold = annotated.replace("language: {kind: one_hot}\ntask: {instruction: go there}\n", "")
    own_configs("data/listed.yaml", untold.replace("ROOT", str(tmp_path)))
    world = [o for o in TINY if not o.startswith("sources.")]
    asked = ["experiment=mixture", "data=listed", "task.id=ambient_envs/Maze-v0", *world]
    mixture = assemble.prepare(compose.compose("train", asked)).mixture
    assert mixture.names == ("suboptimal", "good")
    np.testing.assert_array_equal(mixture.sigma_min, [0.3] * 5 + [0] * 3)


def test_a_list_of_two_sources_needs_whose_statistics_count(maze: list[str]) -> None:
    folder = next(o for o in maze if ".path=" in o).split("=")[1]
    asked = ["data=mixture", f"mixture=[{{path: {folder}}},{{path: {folder}, name: again}}]"]
    with pytest.raises(SettingsError, match="choose joint .* or source"):
        perform("annotate", [*asked, "source=again", "sigma_min=0.3", "sigma_max=0"])


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
        (["source=trustd", "sigma_min=0"], "unknown source 'trustd'; known: suboptimal, trusted"),
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
        perform("annotate", [*asked, *(change.format(**files) for change in changes)])
    assert snapshot() == before
